"""After every lifecycle transition in every mode the moving arm comes to rest.

Which of them a mode allows is ROS's state machine; what the arm does is ours: it rests afterwards.
"""

import signal

import pytest
from ros_fixtures import wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT  # noqa: E402

from gr00t_ros.ros import asked  # noqa: E402

TRANSITIONS = {*asked.TRANSITIONS, "shutdown"}

POSSIBLE = {
    "unconfigured": {"configure"},
    "inactive": {"activate", "cleanup"},
    "active": {"deactivate", "shutdown"},
}
# A late machine must not pause the arm in the midst of it; a robot that sleeps is no fault.
PATIENT = {
    **{"max_camera_age_s": 2.0, "max_joint_age_s": 1.0},
    "controller_silence_s": 60.0,
    **{"sidecar_silence_s": 60.0, "sidecar_fault_s": 600.0, "timeout_ms": 500},
}


def refuses_the_others(rig, *modes):
    """What the present state does not allow is answered so, and disturbs nothing.

    modes: the present one first, and those that a late machine may have after it.
    """
    mode = modes[0]
    state = rig.state
    for transition in TRANSITIONS - POSSIBLE[state]:
        assert not rig.change(transition), f"{transition} in {mode}"
    assert rig.state == state
    if mode != "waiting":
        assert rig.wait_for_mode(*modes)


def rests(rig):
    """The arm comes to rest and no window follows."""
    wait_until(lambda: rig.speed_rad_s < 0.02, "an arm at rest")
    rig.assert_rest()


def begin_motion(rig):
    """Active and in motion again, as soon as the node accepts that."""
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()


def instruct(rig):
    """Stopping, for a new instruction."""
    assert rig.instruct("something else").success


def pause(rig):
    """Paused by the operator."""
    assert rig.ask("pause").success
    rig.wait_for_mode("paused_by_operator")
    refuses_the_others(rig, "paused_by_operator")


def lose_the_robot(rig):
    """Paused by a watch: nothing is measured any more."""
    rig.robot.signal(signal.SIGSTOP)
    rig.wait_for_mode("paused")
    refuses_the_others(rig, "paused")


def lose_the_server(rig):
    """Holding: no chunk is left to play; or waiting for the first, where a late machine paused."""
    rig.server.signal(signal.SIGSTOP)
    waits = "waiting for the first action chunk"
    status = rig.wait_for_status(lambda s: s.mode == "holding" or waits in s.reason, "a hold")
    refuses_the_others(rig, status.mode, "blending_in")


def replay(rig):
    """In motion."""
    refuses_the_others(rig, "replaying")


def estop(rig):
    """In the latched fault."""
    assert rig.ask("estop").success
    rig.wait_for_mode("fault")
    refuses_the_others(rig, "fault")


@NEEDS_ROBOT
def test_each_transition_in_each_mode_is_answered_and_leaves_an_arm_at_rest(rig):
    """One arm: deactivated from every active mode, on from every inactive one, then shut down."""
    rig.start_policy(**PATIENT)
    refuses_the_others(rig, "unconfigured")
    assert rig.change("configure")
    refuses_the_others(rig, "waiting")
    assert not rig.change("activate"), "neither robot nor server"
    assert rig.change("cleanup")

    rig.start_robot()
    rig.start_server("sweep_policy:make_policy")
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    refuses_the_others(rig, "ready")
    assert rig.change("cleanup") and rig.change("configure")

    wait_until(lambda: rig.change("activate"), "an accepted activation")
    assert rig.change("deactivate"), "before the first chunk, or while it blends in"
    rests(rig)
    for reach in (instruct, pause, lose_the_robot, lose_the_server, replay):
        begin_motion(rig)
        reach(rig)
        assert rig.change("deactivate"), reach.__doc__
        for process in (rig.robot, rig.server):
            process.signal(signal.SIGCONT)
        assert rig.state == "inactive"
        rests(rig)
        rested_ns = rig.now_ns()
        rig.wait_for_mode("ready")
        rig.assert_no_commands_since(rested_ns)

    begin_motion(rig)
    estop(rig)
    assert rig.change("deactivate")
    refuses_the_others(rig, "fault_inactive")
    assert not rig.change("activate"), "the fault is latched"
    rests(rig)
    wait_for_success(rig.reset, "a reset")

    begin_motion(rig)
    assert rig.change("shutdown")
    rests(rig)
    assert rig.state == "finalized"
    for transition in TRANSITIONS:
        assert not rig.change(transition), "nothing leads out of it"
    rig.policy.signal(signal.SIGTERM)
    assert rig.policy.wait(10.0) == 0
