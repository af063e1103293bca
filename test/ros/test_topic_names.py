"""A topic that ROS takes is taken here, private ones too; what it refuses is refused first."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.exceptions import NameValidationException  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.robot.field import MOST_LETTERS  # noqa: E402
from gr00t_ros.ros.process import checked_topic  # noqa: E402
from gr00t_ros.sim.relay import RelayNode  # noqa: E402
from gr00t_ros.stream.points import declare_settings  # noqa: E402

TAKEN = ["/a", "a", "a/b_1", "_a", "~", "~/x", "{node}/x", "/b/{node}", "{ns}/x", "/" + "a" * 246]
REFUSED = [
    "",
    "/",
    "a/",
    "/a//b",
    "1a",
    "/1a",
    "bad name",
    "x/~",
    "/b~/x",
    "{none}/x",
    "{node",
    "\u00e9",
]


@pytest.fixture
def joined():
    """Join with these ROS arguments; left at the end."""
    yield lambda *words: rclpy.init(args=["--ros-args", *words])
    rclpy.shutdown()


@pytest.mark.parametrize("name", TAKEN + REFUSED)
def test_a_name_is_taken_if_ros_takes_it(joined, name):
    """Asked of a node itself."""
    joined()
    node = Node("node", namespace="/ns", enable_rosout=False)
    try:
        node.create_publisher(String, name, 1)
        taken = True
    except (NameValidationException, ValueError):
        taken = False
    finally:
        node.destroy_node()
    assert taken is (name in TAKEN)
    if taken:
        assert checked_topic("parameter p", name) == name
    else:
        with pytest.raises(SettingsError, match="parameter p: got .*, expected a ROS topic name"):
            checked_topic("parameter p", name)


@pytest.mark.parametrize("name", ["/" + "a" * MOST_LETTERS, "~/" + "a" * MOST_LETTERS, "\udcff"])
def test_a_name_that_dds_or_unicode_cannot_have_is_refused(name):
    """A longer one ends in DDS, after the node was made."""
    with pytest.raises(SettingsError, match="at most 247 letters"):
        checked_topic("parameter p", name)


def test_a_streamer_takes_private_topics(joined):
    """Where it is one of several, each has its own."""
    joined()
    given = {"joints": ["a"], "window_topic": "~/windows", "command_topic": "{node}/commands"}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = Node("node", enable_rosout=False, parameter_overrides=overrides)
    settings = declare_settings(node)
    node.destroy_node()
    assert (settings.window_topic, settings.command_topic) == ("~/windows", "{node}/commands")


def test_a_relay_reads_a_private_topic_under_its_prefix(joined):
    """The prefix stands before the full name, as before that of any other topic."""
    none = [f"{name}:=['']" for name in ("image_topics", "pose_topics")]
    words = [word for one in (*none, "joint_state_topics:=[~/joints]") for word in ("-p", one)]
    joined(*words)
    relay = RelayNode()
    sources = [one.topic_name for one in relay.subscriptions]
    published = [one.topic_name for one in relay.publishers]
    relay.destroy_node()
    assert "/sim/gr00t_sim_relay/joints" in sources and "/gr00t_sim_relay/joints" in published
