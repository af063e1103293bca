"""A robot of one camera and one arm, for tests of the input side over real DDS."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from ros_fixtures import wait_for_discovery, wait_until
from sensor_msgs.msg import Image, JointState

from gr00t_ros.core.embodiment import Output, StateStream, VideoStream, parse
from gr00t_ros.core.observation import ObservationSettings
from gr00t_ros.core.scale import UNIT, Scale
from gr00t_ros.ros.inputs import Inputs

ROOT = Path(__file__).parents[1]
SETTINGS = ObservationSettings(video_max_age_ns=3 * 10**9, state_max_age_ns=3 * 10**9)
FRONT = VideoStream("front", "/front", 24, 32, "stretch", (0,))
ARM = StateStream("arm", "joints", "/joints", ("j1", "j2", "j3"))
HAND = StateStream("hand", "joints", "/joints", ("finger",), Scale(((0.0, 0.8),), (UNIT,)))
EEF = StateStream("eef", "pose", "/pose", encode="xyz_rot6d_rows", frame="base")
OUTPUT = Output("arm", "joint_trajectory", "/arm/command", "/arm/state", ("j1", "j2", "j3"))


def small_embodiment(video=(FRONT,), state=(ARM,), outputs=(OUTPUT,)):
    """DROID's embodiment with these streams and outputs."""
    file = ROOT / "config/embodiments/franka_droid.yaml"
    real = parse(yaml.safe_load(file.read_text()), file.name)
    return replace(real, video=video, state=state, outputs=outputs)


class Robot:
    """Publishers of one test and the inputs that read them."""

    def __init__(self, node, embodiment, settings=SETTINGS):
        self.node = node
        self.inputs = Inputs(node, embodiment, settings)
        self._publishers = {}
        self._readers = {
            topic: f"state.{stream.key}" for stream in embodiment.state for topic in stream.topics
        }

    def publisher(self, kind, topic):
        """The publisher of `topic`, matched with its reader."""
        if topic not in self._publishers:
            publisher = self.node.create_publisher(kind, topic, 10)
            self._publishers[topic] = publisher
            wait_for_discovery(publisher.get_subscription_count, f"a subscription of {topic}")
        return self._publishers[topic]

    def send(self, message, topic, stamp_ns=None):
        """Publish with a stamp of now, or the given one, and pull until it was taken."""
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        publisher, before = self.publisher(type(message), topic), self.received(topic)
        publisher.publish(message)
        wait_until(lambda: self.received(topic) > before, f"the message on {topic}")

    def received(self, topic):
        """Messages taken so far from `topic`."""
        self.inputs.pull()
        reader = self._readers.get(topic)  # of several topics a report names the oldest only
        return next(
            report.received
            for report in self.reports()
            if report.topic == topic or report.name == reader
        )

    def now_ns(self):
        """ROS time."""
        return self.node.get_clock().now().nanoseconds

    def reports(self):
        """All streams as they are now."""
        return self.inputs.streams(self.now_ns(), time.monotonic_ns())

    def report(self, name):
        """The stream of that name."""
        return {report.name: report for report in self.reports()}[name]


def picture(colour=(250, 10, 20), encoding="rgb8"):
    """One picture of one colour, 24x32."""
    message = Image(height=24, width=32, encoding=encoding, step=96)
    message.data.frombytes(np.full((24, 32, 3), colour, np.uint8).tobytes())
    return message


def joint_state(names=("j3", "j1", "j2"), position=(3.0, 1.0, 2.0)):
    """A joint state in another order than the embodiment's."""
    return JointState(name=names, position=position)
