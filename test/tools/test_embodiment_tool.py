"""gr00t embodiment begins a file from a dataset and live topics, and finds the faults of a file."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from ros_fixtures import wait_until

from gr00t_ros.robot.field import FILL_IN
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.known import Known
from gr00t_ros.tools import embodiment as module
from gr00t_ros.tools.embodiment import main

KNUCKLE = "robotiq_85_left_knuckle_joint"
LIMIT = '<limit lower="-1" upper="2" velocity="3"/>'
URDF = f'<robot name="r"><joint name="pan" type="revolute">{LIMIT}</joint></robot>'


@pytest.fixture
def dataset(tmp_path):
    """Metadata of a robot with two joints and a camera."""
    keys = {"arm": {"start": 0, "end": 2}}
    modality = {"state": keys, "action": keys, "video": {"front": {}}, "annotation": {"task": {}}}
    names = {"names": ["pan", "lift"]}
    info = {"fps": 20, "features": {"observation.state": names, "action": names}}
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "modality.json").write_text(json.dumps(modality))
    (tmp_path / "meta" / "info.json").write_text(json.dumps(info))
    return tmp_path


def robot(node, lift=0.0):
    """Publishers of a small robot; returns what sends one message on each."""
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import CompressedImage, Image, JointState
    from std_msgs.msg import String

    from gr00t_ros.msg import ControllerState

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(String, "/robot_description", latched).publish(String(data=URDF))
    state = ControllerState(joint_names=["pan", "lift"])
    state.reference.positions = state.feedback.positions = [0.0, 0.0]
    messages = {
        "/joint_states": JointState(name=["lift", "pan"], position=[lift, 0.0]),
        "/cam/image_raw": Image(height=48, width=64, encoding="rgb8"),
        "/depth/compressed": CompressedImage(format="16UC1; compressedDepth", data=b"\0" * 20),
        "/jpg/compressed": CompressedImage(format="rgb8; jpeg compressed bgr8", data=jpeg()),
        "/arm_controller/controller_state": state,
    }
    pairs = [(node.create_publisher(type(m), topic, 1), m) for topic, m in messages.items()]
    return lambda: [publisher.publish(message) for publisher, message in pairs]


def jpeg():
    """A black picture of 24 x 32 pixels."""
    import cv2

    return cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes()


def test_a_live_robot_fills_in_topics_names_controllers_and_limits(
    processes, ros_node, dataset, tmp_path
):
    """What two sources agree on is filled in, cameras are offered, the rest is open."""
    send = robot(ros_node)
    file = tmp_path / "mine.yaml"
    new = ["new", "--dataset", str(dataset), "--topics", "--robot", "r"]
    new += ["--seconds", "10", "--output", str(file)]
    child = processes.start("-m", "gr00t_ros.tools.embodiment", *new, name="new")
    wait_until(lambda: send() and child.status is not None, "the tool's end", 60.0)
    assert child.status == 0, child.tail()
    text = file.read_text()
    begun = yaml.safe_load(text)
    assert begun["state"]["arm"]["topic"] == "/joint_states"
    assert begun["action"]["arm"] == {"output": "arm", "names": ["pan", "lift"]}
    assert begun["outputs"]["arm"]["topic"] == "/arm_controller/joint_trajectory"
    assert begun["outputs"]["arm"]["state_topic"] == "/arm_controller/controller_state"
    assert begun["limits"]["pan"]["position"] == [-1.0, 2.0]
    assert begun["limits"]["lift"]["position"] == FILL_IN
    assert "/cam/image_raw 48x64 raw" in text
    assert "/jpg/compressed 24x32 compressed" in text
    assert "/depth" not in text


def test_validate_says_what_a_shipped_file_says(capsys):
    """Tag, rate, streams and outputs, without ROS and without a server."""
    assert main(["validate", "franka_droid"]) == 0
    out = capsys.readouterr().out
    for part in ("40 at 15 Hz", "180x320 pad, [-15, 0]", "/fr3_arm_controller/joint_trajectory"):
        assert part in out


def test_validate_shows_each_value_in_its_order_with_scale_and_limits(tmp_path, capsys):
    """Two joints that are swapped look different; so does another scale."""
    path = tmp_path / "mine.yaml"
    text = Path(load_embodiment("franka_droid").source).read_text()

    def said(text):
        path.write_text(text)
        assert main(["validate", str(path)]) == 0
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    lines = said(text)
    assert ["state.joint_position", "1", "fr3_joint2", "as", "it", "is"] in lines
    assert ["action.joint_position", "1", "fr3_joint2", "rad"] in lines
    assert (
        "0 .. 1 is 0 .. 0.8, above 0.5 the upper".split()
        == next(line for line in lines if line[:1] == ["action.gripper_position"] and "is" in line)[
            -12:
        ][1:]
    )
    (limit,) = [line for line in lines if line[:2] == ["gripper", KNUCKLE]]
    assert limit[2:] == ["[0,", "0.8]", "0.5", "20", "400", "0", "unchecked", "unchecked"]
    swapped = said(text.replace("[fr3_joint1, fr3_joint2,", "[fr3_joint2, fr3_joint1,"))
    assert ["state.joint_position", "1", "fr3_joint1", "as", "it", "is"] in swapped
    assert ["action.joint_position", "1", "fr3_joint1", "rad"] in swapped
    assert ["arm", "fr3_joint2"] in [line[:2] for line in swapped]


@pytest.mark.parametrize("style", [(), ("--flat",), ("--codec", "A0")])
def test_new_and_validate_ask_a_live_server_of_either_key_style(
    processes, tmp_path, capsys, monkeypatch, style
):
    """Keys, history and horizon are the server's; a file that fits it is said to fit."""
    monkeypatch.delenv("GROOT_API_TOKEN", raising=False)
    server = processes.start(
        "-m", "gr00t_ros.sidecar", "hold", "--embodiment", "franka_droid", "--port", "0", *style
    )
    address = server.wait_for_line(r"READY tcp://(.*:\d+)")[1]
    file = tmp_path / "mine.yaml"
    assert main(["new", "--server", address, "--output", str(file)]) == 0, capsys.readouterr()
    begun, robot = yaml.safe_load(file.read_text()), load_embodiment("franka_droid")
    assert begun["action_horizon"] == robot.action_horizon
    assert list(begun["state"]) == [stream.key for stream in robot.state]
    assert main(["validate", str(file), "--server", address]) == 1  # it is not filled in
    assert "still to be filled in" in capsys.readouterr().err
    assert main(["validate", "franka_droid", "--server", address]) == 0, capsys.readouterr()
    assert main(["validate", "desk6", "--server", address]) == 1
    assert "joint_position" in capsys.readouterr().out


def test_a_dataset_s_keys_that_the_server_lacks_are_named(processes, dataset, capsys):
    """The server's keys win; the dataset's others are not lost in silence."""
    server = processes.start(
        "-m", "gr00t_ros.sidecar", "hold", "--embodiment", "franka_droid", "--port", "0"
    )
    address = server.wait_for_line(r"READY tcp://(.*:\d+)")[1]
    assert main(["new", "--server", address, "--dataset", str(dataset)]) == 0
    said = capsys.readouterr().out
    assert "keys that the server does not have: video.front, state.arm, action.arm" in said


def test_validate_compares_the_limits_with_the_running_robot(processes, ros_node, tmp_path):
    """Its description and where it is now: what the file does not allow is named, with status 1."""
    file = tmp_path / "mine.yaml"
    mapping = yaml.safe_load(Path(load_embodiment("desk6").source).read_text())
    text = yaml.safe_dump(mapping).replace("desk6_joint1", "pan").replace("desk6_joint2", "lift")
    file.write_text(text)
    send = robot(ros_node, lift=1.79)
    words = ["validate", str(file), "--topics", "--seconds", "10"]
    child = processes.start("-m", "gr00t_ros.tools.embodiment", *words, name="validate")
    wait_until(lambda: send() and child.status is not None, "the tool's end", 60.0)
    assert child.status == 1
    said = child.tail()
    assert "limits.pan.position: [-2.8, 2.8] in" in said
    assert (
        "limits.lift: it is at 1.7900, limits -0.9500 to 1.7500 (margin 0.05 of -1 to 1.8): move "
        "the joint inside, or give it a smaller margin" in said
    )


def surveyed(urdf):
    """What a survey of a robot with this description has found: it, and where the joints are."""
    from sensor_msgs.msg import JointState
    from std_msgs.msg import String

    from gr00t_ros.graph.traffic import SeenTopic, Survey

    survey = Survey(None)
    for topic, message in (
        ("/robot_description", String(data=urdf)),
        ("/joint_states", JointState(name=["pan", "lift"], position=[0.0, 9.0])),
    ):
        survey.seen[topic] = SeenTopic(type(message))
        survey.seen[topic].take(message, 0)
    return survey.known()


def test_a_description_that_cannot_be_read_takes_nothing_else_away(
    dataset, tmp_path, capsys, monkeypatch
):
    """`new` fills in the rest and says why limits are open; `validate` names it with the rest."""
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    monkeypatch.setattr(module, "_look", lambda _: surveyed(URDF + "<!--"))
    file = tmp_path / "mine.yaml"
    new = ["new", "--dataset", str(dataset), "--topics", "--output", str(file)]
    assert main(new) == 0
    begun = yaml.safe_load(file.read_text())
    assert begun["state"]["arm"]["topic"] == "/joint_states"
    assert begun["limits"] == FILL_IN
    assert "/robot_description: no XML: line 1: '<!--'" in file.read_text()

    mapping = Path(load_embodiment("desk6").source).read_text()
    file.write_text(mapping.replace("desk6_joint1", "pan").replace("desk6_joint2", "lift"))
    assert main(["validate", str(file), "--topics"]) == 1
    said = capsys.readouterr().err
    assert "- limits.lift: it is at 9.0000" in said
    assert "- /robot_description: no XML: line 1: '<!--'" in said


def test_what_is_odd_about_the_topics_is_said(dataset, monkeypatch, capsys):
    """As a comment of the begun file, beside the dataset's own remarks, and by validate."""
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    odd = "/joint_states has several types"
    known = Known(joint_topics={"/joint_states": (), "/arm": ("pan",)}, remarks={"": (odd,)})
    monkeypatch.setattr("gr00t_ros.graph.traffic.survey", lambda _seconds: known)
    modality = dataset / "meta" / "modality.json"
    modality.write_text(json.dumps(json.loads(modality.read_text()) | {"tactile": {}}))
    assert main(["new", "--dataset", str(dataset), "--topics"]) == 0
    said = capsys.readouterr().out
    assert f'# "{odd}"' in said and "modality.json has tactile too" in said
    assert "/joint_states has no positions" in said and '/arm has ["pan"]' in said
    assert main(["validate", "franka_droid", "--topics"]) == 0
    assert odd in capsys.readouterr().out


def test_validate_names_what_is_open(dataset, tmp_path, capsys):
    """The file that `new` has begun is refused until it is filled in; 1 is the status."""
    file = tmp_path / "mine.yaml"
    assert main(["new", "--dataset", str(dataset), "--output", str(file)]) == 0
    assert main(["validate", str(file)]) == 1
    assert "still to be filled in:\n- robot\n- embodiment_tag\n" in capsys.readouterr().err


def test_a_begun_file_names_the_schema_for_editors_in_its_first_line(dataset, capsys):
    """By the path of this installation, where the file is."""
    assert main(["new", "--dataset", str(dataset)]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    comment, _, path = first.partition("$schema=")
    assert comment == "# yaml-language-server: "
    assert json.loads(Path(path).read_text())["title"] == "Embodiment file of gr00t_ros"


def test_validate_asks_what_is_unsettled_until_it_is_named(tmp_path, capsys):
    """The table has the assumed value; question and status 1 until --settled names the place."""
    file = tmp_path / "mine.yaml"
    text = Path(load_embodiment("franka_droid").source).read_text()
    mark = "rate_hz: {unsettled: 'Is it really?', assumed: 15.0}\n"
    file.write_text(text.replace("rate_hz: 15.0 ", mark + "#", 1))
    assert main(["validate", str(file)]) == 1
    said = capsys.readouterr()
    assert "assumed: 15.0" in said.out
    assert "rate_hz: Is it really?" in said.err
    assert main(["validate", str(file), "--settled", "rate_hz"]) == 0
    assert main(["validate", str(file), "--settled", "rate"]) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["new"], "expected --dataset, --server or both"),
        (["new", "--server", "nowhere"], "expected HOST:PORT"),
        (["new", "--dataset", "/nowhere"], "No such file"),
        (["validate", "no_such_robot"], "no_such_robot"),
        (["validate", "/no/such.yaml"], "'/no/such.yaml': no such file"),
        (["validate", str(Path(__file__).parent)], "a folder, expected a file: name a file in it"),
        (["validate", "README.md"], "a path ends in .yaml or has a folder: ./README.md"),
        (["explain", "foo"], "no map of an embodiment file has the key 'foo'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words, reason, capsys, monkeypatch):
    """On stderr, with status 2: there is nothing to give an answer about."""
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(words) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1


def test_a_file_of_that_name_in_the_present_folder_is_named(tmp_path, capsys, monkeypatch):
    """The nearest shipped file would be another robot."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_ur5e.yaml").write_text("")
    assert main(["validate", "my_ur5e"]) == 2
    assert capsys.readouterr().err.endswith("did you mean the file my_ur5e.yaml?\n")


def test_a_file_that_is_no_embodiment_file_is_refused_with_what_one_is(capsys, monkeypatch):
    """It was read, so the answer is no: status 1."""
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["validate", "./README.md"]) == 1
    said = capsys.readouterr().err
    assert "an embodiment file is a YAML map of keys: gr00t embodiment new begins one" in said


def test_an_interrupt_while_it_looks_at_topics_ends_it_without_a_traceback(processes, ros_node):
    """With the status of a command that has no answer yet."""
    where = ("-m", "gr00t_ros.tools.embodiment", "validate", "desk6", "--topics")
    child = processes.start(*where, "--seconds", "600", name="validate")
    wait_until(lambda: "gr00t_survey" in ros_node.get_node_names(), "the tool's node")
    child.signal(signal.SIGINT)
    assert child.wait() == 130
    assert "Traceback" not in child.text()


def test_topics_without_a_robot_are_named_with_what_to_check(processes, dataset, tmp_path):
    """Nothing is written: a file without topics would look as if the robot had none."""
    file = tmp_path / "mine.yaml"
    for words in (["new", "--dataset", str(dataset), "--output", str(file)], ["validate", "desk6"]):
        where = ("-m", "gr00t_ros.tools.embodiment", *words, "--topics", "--seconds", "0.5")
        child = processes.start(*where, name=words[0])
        assert child.wait() == 2, child.tail()
        for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "start the robot"):
            assert name in child.tail()
    assert not file.exists()


def test_an_existing_file_is_not_overwritten(dataset, tmp_path, capsys):
    """It may be somebody's afternoon."""
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    assert main(["new", "--dataset", str(dataset), "--output", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "File exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "a: &a [*a]",
        "a: !!int b",
        "a: " + "9" * 9000,
        "? [1]\n: 2",
        "[" * 9000,
        "a: \x00",
        "\x1b[2J",
    ],
)
def test_a_file_of_a_stranger_is_refused_in_one_printable_line(tmp_path, capsys, content):
    """No traceback, nothing that steers a terminal: file, line and cause, with status 1."""
    path = tmp_path / "theirs.yaml"
    path.write_text(content)
    assert main(["validate", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"gr00t embodiment validate: {path}:1:")
    assert said.err.count("\n") == 1 and said.err.rstrip("\n").isprintable()
