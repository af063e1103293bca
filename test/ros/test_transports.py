"""Commands do not go through shared memory, whose locks a killed process can hold; images may."""

import os
import random
import threading
import time

import pytest
from ros_fixtures import wait_for_discovery, wait_until

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from std_msgs.msg import UInt64  # noqa: E402

from gr00t_ros.ros.transports import (  # noqa: E402
    LOOPBACK_ONLY,
    PROFILES,
    RANGE,
    TRANSPORTS_VARIABLE,
    without_shared_memory,
)

# As a node that commands a robot, it publishes when a message was sent, all the time.
PUBLISHER = """
import sys, time, rclpy
from std_msgs.msg import UInt64
from gr00t_ros.ros.transports import avoid_shared_memory
avoid_shared_memory()
rclpy.init()
node = rclpy.create_node("publisher")
publisher = node.create_publisher(UInt64, "/sent", 10)
while not publisher.get_subscription_count():
    time.sleep(0.01)
print("SENDS", flush=True)
while True:
    publisher.publish(UInt64(data=time.monotonic_ns()))
    time.sleep(0.0005)
"""
LATE_NS = 100_000_000
"""The default commit_ms: a window that arrives later than that is a step."""


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "UDPv4"),
        ("DEFAULT", "UDPv4"),
        ("SHM", "UDPv4"),
        ("LARGE_DATA", "UDPv4"),
        ("DEFAULTv6", "UDPv6"),
        ("UDPv6", "UDPv6"),
    ],
)
def test_the_users_transports_without_shared_memory(given, used):
    """The version of IP stays, and the range of discovery that is not the loopback."""
    users = {TRANSPORTS_VARIABLE: given, RANGE: "SUBNET"}
    assert without_shared_memory(users, "file", PROFILES[0]) == {TRANSPORTS_VARIABLE: used}


@pytest.mark.parametrize("users", [{RANGE: "localhost"}, {LOOPBACK_ONLY: "1"}])
@pytest.mark.parametrize(("profiles", "other"), [PROFILES, PROFILES[::-1]])
def test_the_loopback_stays_the_only_interface(users, profiles, other):
    """With that range rmw_fastrtps would add shared memory."""
    assert without_shared_memory(users, "file", profiles) == {
        TRANSPORTS_VARIABLE: "UDPv4",
        RANGE: "SYSTEM_DEFAULT",
        LOOPBACK_ONLY: None,
        profiles: "file",
        other: None,
    }


# Prints the segments of shared memory that are mapped, in all and before there were images.
NODE = """
import pathlib, re, rclpy
from gr00t_ros.ros.transports import ImageNode, avoid_shared_memory
def mapped():
    return len(set(re.findall("/dev/shm/fast.*", pathlib.Path("/proc/self/maps").read_text())))
avoid_shared_memory()
rclpy.init()
node = rclpy.create_node("commands", namespace="robot")
before = mapped()
images = ImageNode(node)
print("MAPPED", before, mapped(), images.node.get_fully_qualified_name(), flush=True)
rclpy.spin(node)
"""


@pytest.mark.parametrize("discovery", ["LOCALHOST", "SUBNET"])
def test_only_the_node_for_images_has_shared_memory(processes, ros_node, monkeypatch, discovery):
    """Both are discovered by other nodes, as with shared memory."""
    for name in (TRANSPORTS_VARIABLE, *PROFILES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(RANGE, discovery)
    child = processes.start("-c", NODE, name="node")
    before, after, name = child.wait_for_line(r"MAPPED (\d+) (\d+) (.*)").groups()
    assert (before, name) == ("0", "/robot/commands_images")
    assert int(after) > 0
    nodes = {"commands", "commands_images"}
    wait_for_discovery(lambda: nodes <= set(ros_node.get_node_names()), "both nodes")


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_last_messages_of_a_killed_node_are_never_late(processes, ros_node):
    """200 kills at random moments on a busy machine; this process' own delays do not count.

    With shared memory six of 300 were late, by up to 0.3 s.
    """
    received: list[tuple[int, int]] = []
    asleep: list[tuple[int, int]] = []

    def on_message(message):
        received.append((time.monotonic_ns(), message.data))

    def watch_this_process():
        before = time.monotonic_ns()
        while not done.wait(0.001):
            now = time.monotonic_ns()
            if now - before > LATE_NS // 4:
                asleep.append((before, now))
            before = now

    done = threading.Event()
    ros_node.create_subscription(UInt64, "/sent", on_message, 10)
    watcher = threading.Thread(target=watch_this_process)
    watcher.start()
    busy = [processes.start("-c", "while True: pass", name="busy") for _ in range(os.cpu_count())]
    late = []
    try:
        for _ in range(200):
            received.clear()
            child = processes.start("-c", PUBLISHER, name="publisher")
            child.wait_for_line("SENDS")
            wait_until(lambda: len(received) > random.randint(20, 60), "messages")
            child.popen.kill()
            child.wait()
            end = time.monotonic() + 0.6
            wait_until(lambda end=end: time.monotonic() > end, "what is still on its way")
            late += [
                (at, sent)
                for at, sent in received
                if at - sent > LATE_NS and not any(a < at and b > sent for a, b in asleep)
            ]
    finally:
        done.set()
        watcher.join()
        for child in busy:
            child.stop()
    assert not late, f"{len(late)} messages late, by up to {max(a - s for a, s in late) / 1e6} ms"
