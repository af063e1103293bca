"""The doctor finds each planted fault and lists it; the row is gone after the fault is removed.

One bring-up for all: the simulated robot behind the relay, a policy server, and one doctor for all
these faults. Faults of the embodiment file get their own doctor.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ros_fixtures import LIMIT_S, call, own_domain, spinning_node, started, wait_until

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator is not installed")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from node_robot import NEEDS_ROBOT  # noqa: E402
from pose_robot import POSE_FILE  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402
from visualization_msgs.msg import MarkerArray  # noqa: E402

from gr00t_ros.errors import EmbodimentError  # noqa: E402
from gr00t_ros.graph import traffic as counting  # noqa: E402
from gr00t_ros.graph.traffic import TopicTraffic  # noqa: E402
from gr00t_ros.inputs.controller_state import ControllerReading  # noqa: E402
from gr00t_ros.inputs.stream_report import StreamReport  # noqa: E402
from gr00t_ros.observe.buffer import Sample  # noqa: E402
from gr00t_ros.observe.readings import JointReading  # noqa: E402
from gr00t_ros.robot.files import find_embodiment, load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.robots import FRANKA  # noqa: E402
from gr00t_ros.srv import InjectFault  # noqa: E402
from gr00t_ros.supervise.launcher import free_port  # noqa: E402
from gr00t_ros.tools import doctor_checks  # noqa: E402
from gr00t_ros.tools.doctor import Doctor, doctors_node, report  # noqa: E402
from gr00t_ros.tools.doctor_checks import (  # noqa: E402
    clocks,
    server,  # noqa: E402
    traffic,
)

pytestmark = NEEDS_ROBOT

CAMERA, JOINTS, POSE = "/camera/exterior/image_raw", "/joint_states", "/ee_pose"
ARM = "/fr3_arm_controller"
FILE = find_embodiment("franka_droid").read_text()


@contextmanager
def admitted(domain: int, **values: object) -> Iterator[Doctor]:
    """A doctor in this process, with these parameters."""
    values = {"embodiment": "franka_droid", "instruction": "hold still", **values}
    arguments = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    context = rclpy.Context()
    rclpy.init(args=["doctor", "--ros-args", *arguments], context=context, domain_id=domain)
    node = doctors_node(context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield Doctor(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def found(doctor: Doctor, level: str, *words: str) -> str:
    """The row of that level with all words, once there is one."""
    said: list[str] = []

    def look() -> str:
        doctor.look(0.1)
        said[:] = [f"{r.level} {r.area} {r.subject}: {r.text}" for r in doctor.rows()]
        named = (line for line in said if line.startswith(level))
        return next((line for line in named if all(word in line for word in words)), "")

    try:
        return str(wait_until(look, f"{level} with {words}"))
    except pytest.fail.Exception as failure:
        pytest.fail("\n".join([str(failure), *said]))


class Clinic:
    """The bring-up: robot, relay, server, and a doctor who found nothing wrong with them."""

    def __init__(self, domain, processes, node, doctor) -> None:
        self.domain, self.processes, self.node, self.doctor = domain, processes, node, doctor

    def plant(self, stream: str, fault: str, value: float = 0.0) -> None:
        """Have the relay break a stream, or mend it with "none"."""
        request = InjectFault.Request(stream=stream, fault=fault, value=value)
        answer = call(self.node, InjectFault, "/gr00t_sim_relay/inject_fault", request)
        assert answer.success, answer.message
        self.doctor.traffic.forget()

    def serve(self, *options: str) -> int:
        """Another policy server; its port."""
        server = self.processes.start(
            "-m",
            "gr00t_ros.sidecar",
            "hold",
            "--embodiment",
            "franka_droid",
            "--port",
            "0",
            *options,
        )
        return int(server.wait_for_line(r"READY tcp://.*:(\d+)")[1])

    @contextmanager
    def on_port(self, port: int) -> Iterator[None]:
        """The doctor asks the server there, and afterwards again the one that is well."""
        doctor, values = self.doctor, self.doctor.values
        doctor.values = replace(values, port=port)
        doctor.ask_server()
        try:
            yield
        finally:
            doctor.values = values
            doctor.ask_server()

    def wait_until_well(self) -> None:
        """Until nothing fails."""
        doctor = self.doctor

        def well() -> bool:
            doctor.look(0.1)
            return all(row.level != doctor_checks.FAIL for row in doctor.rows())

        try:
            wait_until(well, "a robot with which nothing is wrong")
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}\n{report(doctor.rows()).text}")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """The one bring-up of this file."""
    with (
        own_domain() as domain,
        started(tmp_path_factory.mktemp("doctor")) as processes,
        spinning_node(domain) as node,
    ):
        remaps = [w for topic in FRANKA.sensor_topics for w in ("-r", f"{topic}:=/sim{topic}")]
        robot = ("--ros-args", "-p", "synthetic_cameras:=true", *remaps)
        processes.start("-m", "gr00t_ros.sim.robot", *robot, name="robot")
        processes.start("-m", "gr00t_ros.sim.relay")
        server = processes.start(
            "-m",
            "gr00t_ros.sidecar",
            "hold",
            "--embodiment",
            "franka_droid",
            "--port",
            "0",
            name="server",
        )
        port = server.wait_for_line(r"READY tcp://.*:(\d+)")[1]
        # loaded machines are late: what is planted is far beyond these
        late = {"max_camera_age_s": 0.6, "max_joint_age_s": 0.4}
        with admitted(domain, embodiment=POSE_FILE, port=port, **late) as doctor:
            doctor.ask_server()
            yield Clinic(domain, processes, node, doctor)


@pytest.fixture
def patient(clinic):
    """The clinic with nothing wrong, before and after."""
    clinic.wait_until_well()
    yield clinic
    clinic.plant("all", "none")
    clinic.wait_until_well()


@pytest.mark.parametrize(
    ("stream", "fault", "value", "level", "words"),
    [
        (CAMERA, "stop", 0, "fail", ("video.exterior_image_1_left", CAMERA, "old")),
        (CAMERA, "repeat", 0, "fail", ("exterior_image_1_left", "same")),
        (CAMERA, "black", 0, "fail", ("exterior_image_1_left", "black frames")),
        (CAMERA, "wrong_encoding", 0, "fail", ("exterior_image_1_left", "32FC1")),
        (CAMERA, "wrong_size", 0, "warn", (CAMERA, "90x320", "enlarged")),
        (CAMERA, "slow", 0.2, "warn", (CAMERA, "Hz are sent, the file says 30")),
        (CAMERA, "zero_stamp", 0, "fail", ("exterior_image_1_left", "stamp is zero")),
        (CAMERA, "shift_stamp", 0.5, "fail", ("exterior_image_1_left", "in the future", "clocks")),
        (JOINTS, "stop", 0, "fail", ("state.joint_position", JOINTS, "old")),
        (JOINTS, "delay", 0.9, "fail", ("state.joint_position", JOINTS, "old")),
        (JOINTS, "shift_stamp", -0.2, "warn", (JOINTS, "after its stamp", "synchronise")),
        (JOINTS, "drop_joint", 3, "fail", ("state.joint_position", "fr3_joint4")),
        (JOINTS, "duplicate", 0, "fail", ("state.joint_position", "fr3_joint1")),
        (JOINTS, "nan", 0, "fail", ("state.joint_position", "finite")),
        (POSE, "nan", 0, "fail", ("state.eef_9d", "finite")),
        (POSE, "stop", 0, "fail", ("state.eef_9d", POSE, "old")),
    ],
)
def test_a_broken_stream_is_named(patient, stream, fault, value, level, words):
    """Presence, age, rate, stamps, clocks, encoding, size, content, joint names."""
    patient.plant(stream, fault, float(value))
    found(patient.doctor, level, *words)


@contextmanager
def publishing(patient, kind, topic, **fields):
    """A second node beside the robot's own that sends this at 50 Hz."""
    publisher = patient.node.create_publisher(kind, topic, 1)

    def publish():
        message = kind(**fields)
        message.header.stamp = patient.node.get_clock().now().to_msg()
        publisher.publish(message)

    timer = patient.node.create_timer(0.02, publish)
    yield
    patient.node.destroy_timer(timer)
    patient.node.destroy_publisher(publisher)


def test_two_drivers_on_one_topic_are_named(patient):
    """Both would be mixed into one observation; whoever they are, by their nodes."""
    name = "fr3_joint2"
    with publishing(patient, JointState, JOINTS, name=[name], position=[0.0]):
        words = ("state.joint_position", "two publishers at once", name, "gr00t_sim_relay", "test")
        found(patient.doctor, "fail", *words)
    patient.wait_until_well()
    with publishing(patient, PoseStamped, POSE):
        found(patient.doctor, "fail", "two publishers at once", POSE)
    patient.wait_until_well()
    patient.doctor.traffic.forget()
    other = patient.node.create_publisher(Image, CAMERA, 1)
    found(patient.doctor, "warn", CAMERA, "2 publishers at once (gr00t_sim_relay, test)")
    patient.node.destroy_publisher(other)


def test_joints_of_another_driver_on_the_same_topic_are_nothing_to_warn_of(patient):
    """A gripper, or another arm, beside the robot's own."""
    with publishing(patient, JointState, JOINTS, name=["other_arm"], position=[9.0]):
        two = lambda: len(patient.node.get_publishers_info_by_topic(JOINTS)) == 2  # noqa: E731
        wait_until(two, "both publishers")

        def levels():
            patient.doctor.look(0.5)
            return {r.level for r in patient.doctor.rows() if JOINTS in (r.subject, r.text[:13])}

        # on a busy machine a message may come late once; a warning of two publishers would stay
        wait_until(lambda: levels() == {"pass"}, "rows of the joints without a warning")


def test_another_commander_is_named(patient):
    """Whoever it is, by its node."""
    other = patient.node.create_publisher(JointTrajectory, f"{ARM}/joint_trajectory", 1)
    found(patient.doctor, "fail", f"another publisher commands {ARM}/joint_trajectory", "test")
    patient.node.destroy_publisher(other)


def test_a_controller_that_is_not_active_is_named(patient):
    """It says nothing more, and would follow nothing."""
    service = "/gr00t_sim_robot/set_controller_active"
    call(patient.node, SetBool, service, SetBool.Request(data=False))
    found(patient.doctor, "fail", "controller of arm", f"{ARM}/controller_state")
    call(patient.node, SetBool, service, SetBool.Request(data=True))


def test_a_controller_that_would_break_windows_is_named(patient):
    """Its parameter, and what to set it to."""
    name = "allow_nonzero_velocity_at_trajectory_end"
    for value in (True, False):
        parameter = rclpy.Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        call(patient.node, SetParameters, f"{ARM}/set_parameters", request)
        patient.doctor._checks.controllers.forget()  # as a doctor that was called anew
        if value:
            found(patient.doctor, "fail", ARM, f"{name} is true", "set it to false")
    patient.wait_until_well()


def test_what_the_subscription_of_a_command_topic_offers_is_told(patient):
    """A real trajectory controller's is best effort, and so is the simulated one's."""
    found(patient.doctor, "pass", f"{ARM}/joint_trajectory", "best effort", "commit_ms")


@pytest.mark.parametrize(
    ("description", "level", "words"),
    [
        ('lower="-1" upper="1" velocity="9"', "fail", ("fr3_joint1.position", "[-1, 1]")),
        ('lower="-9" upper="9" velocity="1"', "fail", ("fr3_joint1.velocity", "2.62")),
        (None, "fail", ("/robot_description", "no XML", "publish a description")),
    ],
)
def test_limits_beyond_the_robots_description_are_named(patient, description, level, words):
    """The joint and both numbers."""
    joint = f'<joint name="fr3_joint1" type="revolute"><limit {description}/></joint>'
    wide = '<limit lower="-9" upper="9" velocity="9"/>'
    publisher = patient.node.create_publisher(String, "/robot_description", qos.STATUS)
    publisher.publish(String(data=f"<robot>{joint}</robot>" if description else "<robot"))
    found(patient.doctor, level, *words)
    fine = f'<robot><joint name="fr3_joint1" type="revolute">{wide}</joint></robot>'
    publisher.publish(String(data=fine))
    found(patient.doctor, "pass", "limits", "inside")
    patient.node.destroy_publisher(publisher)


def test_a_server_that_is_not_there_is_named(patient):
    """With its address."""
    port = free_port("127.0.0.1")
    with patient.on_port(port):
        found(patient.doctor, "fail", "server", f"127.0.0.1:{port}", "nobody listens")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--embodiment", "franka_droid_n16"),
            ("modality", "video.exterior_image_1_left", "[-15, 0]"),
        ),
        (("--delay-ms", "1400"), ("latency", "too short", "inference 1")),  # below timeout_ms: 2000
    ],
    ids=["another embodiment's", "too slow"],
)
def test_a_server_that_does_not_fit_is_named(patient, options, words):
    """Each key that differs; the latency against the horizon, in numbers."""
    with patient.on_port(patient.serve(*options)):
        found(patient.doctor, "fail", *words)


def test_a_server_that_wants_a_token_is_named(patient, tmp_path):
    """In the server's words."""
    secret = tmp_path / "token"
    secret.write_text("a-token-of-more-than-sixteen-characters")
    secret.chmod(0o600)
    with patient.on_port(patient.serve("--token-file", str(secret))):
        found(patient.doctor, "fail", "server", "token")


def test_a_server_that_the_node_would_start_is_not_asked(clinic):
    """Nobody listens there yet: a warning, no failure."""
    values = replace(clinic.doctor.values, sidecar_mode="local")
    (row,) = server(clinic.doctor.embodiment, values)
    assert (row.level, row.area, row.subject) == ("warn", "server", "n17")


def test_a_busy_processor_is_named(patient, monkeypatch):
    """By its load."""
    monkeypatch.setattr(os, "getloadavg", lambda: (50.0, 50.0, 50.0))
    found(patient.doctor, "warn", "cpu", "free the processor")


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ("fr3_joint7", "fr3_joint8", ("state.joint_position", "fr3_joint8")),
        ("fr3_joint7", "fr3_joint8", ("controller.arm", "fr3_joint8", "of these joints?")),
        (f"topic: {ARM}", "topic: /panda_arm", ("nobody reads /panda_arm", "controller loaded")),
        (f"topic: {CAMERA}", "topic: /left", ("exterior_image_1_left", "nobody publishes /left")),
        (f"topic: {ARM}/joint_t", "topic: /late/joint_t", ("/late/joint_t", "transient_local")),
        ("rate_hz: 15.0", "rate_hz: {unsettled: 'Is it?', assumed: 15.0}", ("rate_hz", "Is it?")),
    ],
    ids=["joint names", "its joints", "controller", "camera topic", "qos", "unsettled"],
)
def test_a_file_that_is_not_this_robots_is_named(clinic, tmp_path, ours, theirs, words):
    """Joint names, topics, QoS; and what is still a question in the file."""
    file = tmp_path / "other.yaml"
    file.write_text(FILE.replace(ours, theirs))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    picky = clinic.node.create_subscription(
        JointTrajectory, "/late/joint_trajectory", lambda _: None, latched
    )
    with admitted(clinic.domain, embodiment=file) as doctor:
        found(doctor, "fail", *words)
    clinic.node.destroy_subscription(picky)


def test_the_operators_stops_are_named(clinic):
    """A required topic that is silent, a switch that is not held."""
    with admitted(clinic.domain, e_stop_required=True, dead_man_required=True) as doctor:
        found(doctor, "fail", "operator", "e-stop topic required")
        found(doctor, "fail", "operator", "dead-man switch is not pressed")


def test_the_collision_check_is_examined(clinic):
    """Scene, links, frames, the nearest pair where the arm stands, and the obstacles' stream."""
    wall = {"collision": "required", "scene": "franka_wall"}
    with admitted(clinic.domain, **wall, obstacles="markers") as doctor:
        found(doctor, "fail", "/gr00t_policy/obstacles: nothing received")
        detector = clinic.node.create_publisher(
            MarkerArray, "/gr00t_policy/obstacles", qos.OBSTACLES
        )
        timer = clinic.node.create_timer(0.1, lambda: detector.publish(MarkerArray()))
        found(doctor, "pass", "/gr00t_policy/obstacles: alive, 0 shapes")
        found(doctor, "pass", "franka_wall.yaml: readable", "table, wall")
        found(doctor, "pass", "start: nearest: ", " and ", " mm")
        clinic.node.destroy_timer(timer)
        clinic.node.destroy_publisher(detector)


SOURCES = f"""
contact:
  torques:
    type: external_torques
    topic: /franka_robot_state_broadcaster/external_joint_torques
    names: [{", ".join(f"fr3_joint{number}" for number in range(1, 8))}]
    thresholds: [20, 20, 18, 18, 16, 14, 12]
    source: the defaults of franka_ros
  efforts: {{type: effort, topic: /joint_states, names: [fr3_joint1]}}
  sensor: {{type: flag, topic: /bumper}}
  wrist: {{type: wrench, topic: {POSE}, threshold: 5.0, source: us}}
"""


def test_the_sources_of_contacts_are_examined(clinic, tmp_path):
    """Published or not, as what, how often, and with which thresholds."""
    file = tmp_path / "contact.yaml"
    file.write_text(FILE + SOURCES)
    with admitted(clinic.domain, embodiment=file, contact="pause") as doctor:
        found(doctor, "pass", "contact torques on /franka", " Hz, thresholds 20, 20, 18", "pauses")
        found(doctor, "warn", "contact efforts on /joint_states", " Hz, no thresholds", "gr00t bag")
        found(doctor, "fail", "contact sensor on /bumper: nobody publishes it")
        found(doctor, "fail", "contact wrist on", "PoseStamped, wrench expects geometry_msgs")
    with admitted(clinic.domain, embodiment=file) as doctor:
        found(doctor, "pass", "contact torques on /franka", "only shown")
        found(doctor, "warn", "contact sensor on /bumper: nobody publishes it")
        bumpers = [clinic.node.create_publisher(Bool, "/bumper", 1) for _ in range(2)]
        name = clinic.node.get_name()
        found(doctor, "warn", f"contact sensor on /bumper: 2 publishers at once ({name}, {name})")
        for one in bumpers:
            clinic.node.destroy_publisher(one)


def test_messages_that_come_faster_than_they_are_taken_leave_no_topic_out(
    clinic, tmp_path, monkeypatch
):
    """As on a busy machine: the contact's topic is subscribed last, and all others are ready."""
    taker = counting._taker

    def slow(*of):
        take = taker(*of)
        return lambda raw, info: (time.sleep(0.03), take(raw, info))

    monkeypatch.setattr(counting, "_taker", slow)
    file = tmp_path / "contact.yaml"
    file.write_text(FILE + SOURCES)
    with admitted(clinic.domain, embodiment=file, contact="pause") as doctor:
        found(doctor, "warn", "contact efforts on /joint_states", " Hz, no thresholds")


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ("objects:\n  box: {type: bx}\n", ("missing margin", "scene.yaml")),
        (
            "margin: 0.01\nobjects:\n  post: {type: sphere, xyz: [9, 0, 0], radius: 0.1, "
            "frame: hall}\n",
            ("frame 'hall'", "tf2"),
        ),
        (
            "margin: 0.01\nkeep_in:\n  cell: {xyz: [0, 0, 0], size: [9, 9, 9], links: [paw]}\n",
            ("keep_in.cell.links: got paw",),
        ),
    ],
)
def test_a_scene_that_does_not_fit_is_named(clinic, tmp_path, scene, words):
    """A file that cannot be read, a frame that is not known, a link that the robot lacks."""
    (tmp_path / "scene.yaml").write_text(scene)
    wanted = {"collision": "required", "scene": tmp_path / "scene.yaml"}
    with admitted(clinic.domain, **wanted) as doctor:
        found(doctor, "fail collision", *words)


def test_a_missing_instruction_fails_as_it_refuses_an_activation(clinic):
    """Both ask the same check."""
    with admitted(clinic.domain, instruction="''") as doctor:
        found(doctor, "fail", "instruction", "~/set_instruction")


def test_more_executed_steps_than_a_chunk_allows_fail_without_any_server(clinic):
    """As configure refuses them."""
    with admitted(clinic.domain, execute_steps=39) as doctor:
        found(doctor, "fail", "horizon", "execute_steps 39", "lower execute_steps to 38")
    with admitted(clinic.domain, execute_steps=38) as doctor:
        found(doctor, "pass", "horizon", "a chunk is long enough")


def test_a_compressed_picture_is_measured_too(clinic, tmp_path):
    """By its header."""
    file = tmp_path / "compressed.yaml"
    own = FILE.replace(f"topic: {CAMERA}", "topic: /small\n    transport: compressed")
    file.write_text(own)
    jpeg = cv2.imencode(".jpg", np.zeros((40, 50, 3), np.uint8))[1].tobytes()
    camera = clinic.node.create_publisher(CompressedImage, "/small", qos.COMMAND)
    timer = clinic.node.create_timer(0.05, lambda: camera.publish(CompressedImage(data=jpeg)))
    with admitted(clinic.domain, embodiment=file) as doctor:
        found(doctor, "warn", "topic /small", "pictures are 40x50", "enlarged")
    clinic.node.destroy_timer(timer)
    clinic.node.destroy_publisher(camera)


def test_a_distorted_picture_is_named(clinic, tmp_path):
    """The file asks for another shape than the camera has, without bars."""
    file = tmp_path / "square.yaml"
    square = FILE.replace("size: [180, 320]", "size: [180, 180]").replace(
        "fit: pad", "fit: stretch"
    )
    file.write_text(square)
    with admitted(clinic.domain, embodiment=file) as doctor:
        found(doctor, "warn", f"topic {CAMERA}", "180x320", "choose pad")


@pytest.mark.parametrize(("behind_ms", "word"), [(70, "after"), (-70, "before")])
def test_a_controller_on_another_clock_is_named(clinic, behind_ms, word):
    """Whichever way; 10 ms old on this host's clock is none."""
    now_ns = 9_000_000_000
    for offset_ms, found in ((behind_ms, True), (0, False)):
        stamp_ns = now_ns - (10 + offset_ms) * 1_000_000
        sample = Sample(stamp_ns, 5 - 10_000_000, None)
        rows = clocks(clinic.node, (("/a/state", sample), ("/b/state", None)), now_ns, 5)
        assert bool(rows) == found
        assert all(word in row.text and row.subject == "/a/state" for row in rows)


@pytest.mark.parametrize("shadow", [True, False])
def test_a_controllers_clock_is_told_where_no_watch_refuses_it(clinic, monkeypatch, shadow):
    """In shadow nothing is commanded, so no watch looks; the first motion would be refused."""
    with admitted(clinic.domain, shadow=shadow) as doctor:
        ros_ns, now_ns = doctor.node.get_clock().now().nanoseconds, time.monotonic_ns()
        late = Sample(ros_ns - 500_000_000, now_ns, None)
        monkeypatch.setattr(doctor._checks.inputs, "controller", lambda output: late)
        rows = [row for row in doctor.rows() if row.area == "clock"]
    assert (f"{ARM}/controller_state" in [row.subject for row in rows]) is shadow


def test_a_topic_that_is_well_tells_how_it_arrives(patient):
    """Rate, delay, size, type, publisher and QoS."""
    times_ns = [number * 33_333_333 for number in range(9)]
    camera = TopicTraffic(CAMERA, 30.0, size_px=(180, 320))
    camera.steady_ns.extend(times_ns)
    camera.stamps_ns.extend(times_ns)
    camera.ros_ns.extend(ns + 4_000_000 for ns in times_ns)
    (row,) = traffic(patient.node, patient.doctor.embodiment, {CAMERA: camera})
    arrives = "30.0 Hz, 4 ms after its stamp, 180x320, sensor_msgs/msg/Image of gr00t_sim_relay"
    assert (row.level, row.subject, row.text) == ("pass", CAMERA, f"{arrives}, reliable")


def test_a_controller_with_further_joints_is_named():
    """It takes windows for some of its joints only where it is told to."""
    output = load_embodiment("franka_droid").outputs[0]
    names = (*output.names, "fr3_finger")
    held = JointReading(names, np.zeros(8), None)
    (row,) = doctor_checks.controllers(((output, ControllerReading(held, held, 1.0)),))
    assert (row.level, row.subject) == ("warn", "arm")
    assert "fr3_finger" in row.text
    assert "allow_partial_joints_goal" in row.text
    assert not doctor_checks.controllers(((output, None),))


def test_a_broken_file_is_named_before_anything_is_looked_at(clinic, tmp_path):
    """As the node would say it at configure."""
    file = tmp_path / "broken.yaml"
    file.write_text(FILE.replace("rate_hz: 15.0", "rate_hz: fast"))
    with (
        pytest.raises(EmbodimentError, match="rate_hz"),
        admitted(clinic.domain, embodiment=file),
    ):
        pass


def doctors_report(clinic, *arguments: str) -> tuple[int, dict]:
    """Exit status and JSON of the command."""
    log = clinic.processes.start(
        "-m", "gr00t_ros.tools.doctor", "--json", *arguments, name="doctor"
    )
    status = log.wait(LIMIT_S)
    text = log.text()
    return status, json.loads(text[text.index("{") :])


def test_the_command_says_well_with_status_0_and_moves_nothing(patient):
    """A robot that is well. A doctor's node has nothing to publish on and offers no service."""
    node = patient.doctor.node
    assert {p.topic_name for p in node.publishers} == {"/gr00t_doctor/parameter_events"}
    assert not list(node.services)
    port = patient.doctor.values.port
    arguments = ("--ros-args", "-p", f"port:={port}")
    arguments += ("-p", "max_joint_age_s:=1.0", "-p", "max_camera_age_s:=2.0")
    arguments += ("-p", "embodiment:=franka_droid", "-p", "instruction:=hold still")
    status, told = doctors_report(patient, "--seconds", "2", *arguments)
    assert status == 0, told
    assert told["verdict"] in ("pass", "warn")
    assert told["counts"]["pass"] > 5
    assert {*"server latency modality operator stream topic command limits start cpu".split()} <= {
        row["area"] for row in told["rows"]
    }


def test_a_look_of_one_second_begins_when_the_topics_are_discovered(patient):
    """What is not discovered yet is no failure: nothing is wrong with this robot."""
    arguments = ("--ros-args", "-p", f"port:={patient.doctor.values.port}")
    arguments += ("-p", "max_joint_age_s:=1.0", "-p", "max_camera_age_s:=2.0")
    arguments += ("-p", "embodiment:=franka_droid", "-p", "instruction:=hold still")
    status, told = doctors_report(patient, "--seconds", "1", *arguments)
    assert status == 0, [row for row in told["rows"] if row["level"] == "fail"]


def test_the_look_goes_on_until_the_controllers_have_told_their_parameters():
    """Where the first answer was lost, the next is asked for after the second that was given."""
    unknown, looks = iter([["/arm"], ["/arm"], []]), []
    doctor = SimpleNamespace(
        traffic=SimpleNamespace(topics=()),
        look=looks.append,
        _unpublished=lambda topics: [],
        _unknown_clock=lambda: False,
        _checks=SimpleNamespace(
            observation=lambda: [],
            controllers=SimpleNamespace(unknown=lambda: next(unknown)),
        ),
    )
    doctor._lacks = lambda: Doctor._lacks(doctor)
    Doctor.look_until_complete(doctor, 1.0)
    assert looks == [0.1, 0.1]


def test_a_camera_that_nobody_publishes_is_named_after_one_second_too(clinic, tmp_path):
    """The wait for its publisher ends; no other stream is blamed."""
    file = tmp_path / "absent.yaml"
    file.write_text(FILE.replace(CAMERA, "/camera/absent/image_raw"))
    words = ("-p", f"embodiment:={file}", "-p", "instruction:=hold still")
    words += ("-p", f"port:={clinic.doctor.values.port}")
    words += ("-p", "max_joint_age_s:=1.0", "-p", "max_camera_age_s:=2.0")
    status, told = doctors_report(clinic, "--seconds", "1", "--ros-args", *words)
    failed = [row for row in told["rows"] if row["level"] == "fail" and row["area"] == "stream"]
    assert status == 1
    assert [row["subject"] for row in failed] == ["video.exterior_image_1_left"], failed
    assert "/camera/absent/image_raw" in failed[0]["text"]


def test_a_wrong_type_and_a_silent_clock_fail_the_command(clinic, tmp_path):
    """A camera that is raw where the file says compressed; use_sim_time without a simulator."""
    file = tmp_path / "compressed.yaml"
    file.write_text(FILE.replace("    fit: pad\n", "    fit: pad\n    transport: compressed\n"))
    words = ("-p", f"embodiment:={file}", "-p", "use_sim_time:=true")
    status, told = doctors_report(clinic, "--ros-args", *words)
    assert status == 1
    texts = [f"{row['subject']} {row['text']}" for row in told["rows"] if row["level"] == "fail"]
    assert any("sensor_msgs/msg/Image, expected" in text for text in texts), "\n".join(texts)
    assert any("/clock" in text and "use_sim_time" in text for text in texts), texts


def test_what_fails_comes_first_and_decides_the_exit_status():
    """The table's order, and 0 for what is only worth a word."""
    passes, warns, fails = (
        doctor_checks.DoctorRow(x, "area", "of", x) for x in ("pass", "warn", "fail")
    )
    assert report([passes, warns]).status == 0
    both = report([passes, warns, fails])
    assert both.status == 1
    assert [row["level"] for row in both.figures["rows"]] == ["fail", "warn", "pass"]
    assert "1 fail, 1 warn, 1 pass: the node would refuse to move" in both.text


def test_the_script_is_installed():
    """`ros2 run gr00t_ros doctor`."""
    root = Path(__file__).parents[2]
    assert (root / "scripts" / "doctor").stat().st_mode & 0o111
    assert "scripts/doctor" in (root / "CMakeLists.txt").read_text()


@pytest.mark.parametrize(
    ("age_ns", "problem", "text"),
    [
        (None, "", "nothing from /a/state; the plan would start as measured"),
        (0, "stamp is 5.000 s in the future", "stamp is 5.000 s in the future"),
    ],
)
def test_a_plan_starts_as_measured_only_where_a_controller_is_silent(age_ns, problem, text):
    """One that tells is where the plan starts, whatever is wrong with its stamps."""
    report = StreamReport("controller.a", "/a/state", age_ns, 200_000_000, 1, 0, problem, True)
    (row,) = doctor_checks.streams([report], [])
    assert (row.level, row.subject, row.text) == ("warn", "controller.a", text)
