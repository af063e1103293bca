"""The arm is pushed against a wall that no scene has: the watch contact stops it early.

Judged by the robot's own record and its own clock. The robot's time runs at a fifth of its speed,
so that a busy machine has five times the time for its work.
"""

from pathlib import Path

import numpy as np
import pytest
from ros_fixtures import call, own_domain, spinning_node, started, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator is not installed")

from node_robot import NEEDS_ROBOT, SWEEP, Rig  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from gr00t_ros.collide.dynamics import InverseDynamics  # noqa: E402
from gr00t_ros.robot.contact.sources import ContactSource  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.record import TORQUES, WALL_FORCE, Record, load_record  # noqa: E402
from gr00t_ros.sim.robots import FRANKA  # noqa: E402
from gr00t_ros.sim.urdf import robot_urdf  # noqa: E402
from gr00t_ros.watch.contact import ContactWatch  # noqa: E402

pytestmark = NEEDS_ROBOT

MS = 1_000_000
WALL_Y_M = 0.16
BRAKING_RAD_S2 = 1.0  # of a stop ramp's 6; a cruise at constant speed has less
SPEED_RAD_S = 0.28  # of joint 1: 0.1 m/s at the fingers, 0.36 m from its axis
THRESHOLDS = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0)
BLOCK = f"""
contact:
  torques:
    type: external_torques
    topic: /franka_robot_state_broadcaster/external_joint_torques
    names: [{", ".join(f"fr3_joint{number}" for number in range(1, 8))}]
    thresholds: {list(THRESHOLDS)}
    source: the defaults of franka_ros
"""


def push(folder: Path) -> Record:
    """Sweep the arm against the wall until the watch has stopped it; the record."""
    file = folder / "franka.yaml"
    source = Path(load_embodiment("franka_droid").source).read_text()
    file.write_text(source.replace("delta_indices: [-15, 0]", "delta_indices: [0]") + BLOCK)
    options = {
        "publish_clock": "true",
        "real_time_factor": "0.2",
        "interpolate_from_desired_state": "true",
        "wall_y_m": str(WALL_Y_M),
        "record_path": str(folder / "record.npz"),
    }
    slow = {"max_camera_age_s": 2.0, "max_joint_age_s": 1.0, "contact_silence_s": 2.0}
    with own_domain() as domain, started(folder) as processes, spinning_node(domain) as node:
        rig = Rig(processes, node)
        try:
            rig.start_robot(*(word for k, v in options.items() for word in ("-p", f"{k}:={v}")))
            rig.start_server(SWEEP, str(file))
            rig.move(embodiment=str(file), use_sim_time="true", contact="pause", **slow)
            wait_until(
                lambda: any("contact torques on /franka_robot" in one for one in rig.told()),
                "the contact in the status",
            )
            rig.wait_for_mode("paused", "fault")
            answer = call(node, Trigger, "/gr00t_sim_robot/save_record", Trigger.Request())
            assert answer.success, answer.message
        finally:
            rig.close()
    return load_record(folder / "record.npz")


def crossing_ns(record: Record) -> int:
    """When an external torque first exceeded its threshold."""
    rows = record.commands[TORQUES]
    over = np.any(np.abs(rows.values) > THRESHOLDS, axis=1)
    assert over.any(), "no torque exceeded its threshold"
    return int(rows.time_ns[np.argmax(over)])


def stop_ns(record: Record, after_ns: int) -> int:
    """When joint 1 was first commanded to brake at or after that time; it cruises before."""
    later = record.time_ns >= after_ns
    brakes = record.acceleration[later, 0] < -BRAKING_RAD_S2
    assert brakes.any(), "the arm did not stop"
    return int(record.time_ns[later][np.argmax(brakes)])


def replayed_peak_n(record: Record, goes_on_from_ns: int | None = None) -> float:
    """The largest force on the wall if the physics alone gets the commands of a record, N.

    goes_on_from_ns: joint 1 keeps its speed from then on for half a second: nothing stops it.
    """
    simulation, commands = Simulation(FRANKA, 0, WALL_Y_M), record.position
    if goes_on_from_ns is not None:
        kept = record.time_ns <= goes_on_from_ns
        ahead = np.repeat(commands[kept][-1:], 500, axis=0)
        ahead[:, 0] += record.velocity[kept][-1, 0] * 1e-3 * np.arange(1, 501)
        commands = np.concatenate([commands[kept], ahead])
    peak = 0.0
    for targets in commands[1::2]:
        simulation.set_targets(targets)
        simulation.step()
        peak = max(peak, simulation.wall_force())
    return peak


def peak_n(record: Record) -> float:
    """The largest force on the wall, N."""
    return float(record.commands[WALL_FORCE].values.max())


def test_efforts_show_the_wall_and_nothing_in_free_motion() -> None:
    """Less what the masses of the robot's own description explain, they are the contact's torques.

    In the physics alone: joint 1 turns at 0.1 m/s of the fingers until it has pushed the wall.
    """
    simulation = Simulation(FRANKA, 0, WALL_Y_M)
    dynamics = InverseDynamics(robot_urdf(FRANKA, simulation.model), "the robot's own description")
    names = FRANKA.controllers[0].joints
    columns = FRANKA.columns(names)
    source = ContactSource("arm", "effort", "/j", names, THRESHOLDS, "us", 10 * MS, 100 * MS)
    watch, target, touched_s = ContactWatch(source), FRANKA.ready_rad.copy(), None
    for tick in range(1, 1000):
        target[0] += SPEED_RAD_S * 0.002
        simulation.set_targets(target)
        simulation.step()
        position, velocity = simulation.joint_state()[1:]
        motion = zip(FRANKA.joint_names, zip(position, velocity, strict=True), strict=True)
        explained = dynamics.torques(dict(motion))
        residual = simulation.efforts()[columns] - [explained[name] for name in names]
        watch.take(tick * 2 * MS, residual, tick * 2 * MS, True)
        external = simulation.external_torques()[columns]
        touched_s = touched_s or (tick * 0.002 if np.abs(external).max() > 0.0 else None)
        found = watch.findings(tick * 2 * MS, False)
        assert (touched_s is not None) or not found
        if found:
            break
    assert touched_s is not None and found
    assert "at most" in found[0].reason
    np.testing.assert_allclose(residual, -external, atol=2.0)


def test_an_arm_at_a_wall_stops_within_50_ms_of_the_residuals_crossing(tmp_path: Path) -> None:
    """And pushes less than without the watch: the same commands without the stop."""
    record = push(tmp_path)
    crossed_ns = crossing_ns(record)
    late_ms = (stop_ns(record, crossed_ns) - crossed_ns) / MS
    unwatched_n = replayed_peak_n(record, crossed_ns)
    print(
        f"stop {late_ms:.0f} ms after the crossing; peak force {peak_n(record):.0f} N, without "
        f"the watch {unwatched_n:.0f} N"
    )
    assert late_ms <= 50.0
    assert peak_n(record) < unwatched_n
    assert replayed_peak_n(record) == pytest.approx(peak_n(record), rel=0.01)
