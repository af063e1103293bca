"""A policy node's windows for test_streamer.py: a real plan that moves on for ever, every 20 ms.

    python -m window_child TOPIC POSITION...

Ends only by a signal; SIGKILL is the node's death in mid-motion.
"""

import sys
import time

import numpy as np
import rclpy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.limits import JointLimits
from gr00t_ros.core.replay import Replay, ReplaySettings
from gr00t_ros.ros.outputs import to_duration, to_time
from gr00t_ros.ros.qos import COMMAND

NAMES = ("a", "b")
STEP_NS = 50_000_000


def limits():
    """Two joints as FR3's."""
    ones = np.ones(2)
    return JointLimits(
        NAMES, -3 * ones, 3 * ones, 2 * ones, 6 * ones, 400 * ones, 0.05 * ones, 9 * ones,
        0.05 * ones, np.full((2, 4), np.nan),
    )  # fmt: skip


def chunk(number, now_ns, start_ns, held):
    """Both joints swing out of phase about where they were held."""
    seconds = (now_ns - start_ns + STEP_NS * np.arange(40)) * 1e-9
    # slow at first: the streamer may find this publisher a little later than it finds the streamer
    gently = np.minimum(seconds, 1.0)[:, None] ** 3
    joints = held + 0.3 * gently * np.sin(np.outer(seconds, [1.0, 1.7]))
    return ActionChunk(number, 1, now_ns, STEP_NS, joints, {})


def message(window, offset_ns):
    """As the policy node sends it."""
    made = JointTrajectory(joint_names=list(NAMES))
    made.header.stamp = to_time(window.stamp_ns + offset_ns)
    fields = (window.times_ns, window.positions, window.velocities, window.accelerations)
    made.points = [
        JointTrajectoryPoint(
            positions=q.tolist(),
            velocities=v.tolist(),
            accelerations=a.tolist(),
            time_from_start=to_duration(int(t)),
        )
        for t, q, v, a in zip(*fields, strict=True)
    ]
    return made


def main():
    """Publish until killed."""
    topic, *held = sys.argv[1:]
    held = np.array(held, dtype=np.float64)
    rclpy.init()
    publisher = rclpy.create_node("policy").create_publisher(JointTrajectory, topic, COMMAND)
    while publisher.get_subscription_count() < 2:  # the streamer's and the test's
        time.sleep(0.01)
    replay, start_ns = Replay(limits(), ReplaySettings()), time.monotonic_ns()
    replay.start(start_ns, held)
    number = 0
    while True:
        now_ns = time.monotonic_ns()
        if number % 20 == 0:
            replay.accept(chunk(number, now_ns, start_ns, held), now_ns)
        window = replay.tick(now_ns)
        if window is not None:
            publisher.publish(message(window, time.time_ns() - time.monotonic_ns()))
        number += 1
        time.sleep(0.02)


if __name__ == "__main__":
    main()
