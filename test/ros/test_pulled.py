"""A pulled subscription delivers over real DDS, and follows its publishers' type and QoS."""

import itertools
import time
from types import SimpleNamespace

import pytest
import rclpy
from ros_fixtures import collect, wait_for_discovery, wait_until
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Empty

from gr00t_ros.inputs import cdr
from gr00t_ros.ros import pulled, qos
from gr00t_ros.ros.pulled import Arrivals, PulledSubscription

PLAIN = (qos.SENSOR,)


def _image(stamp_s):
    message = Image(height=1, width=1, encoding="rgb8", step=3, data=[1, 2, 3])
    message.header.stamp.sec = stamp_s
    return message


def offer(topic_type, profile=qos.PICTURES[1]):
    """A publisher as the graph tells of it."""
    return SimpleNamespace(topic_type=topic_type, qos_profile=profile)


def reliability(node):
    """Of every subscription of the camera, as the graph shows them."""
    found = node.get_subscriptions_info_by_topic("/camera")
    return [info.qos_profile.reliability.name for info in found]


@pytest.fixture
def camera(ros_node):
    """A publisher of pictures."""
    return ros_node.create_publisher(Image, "/camera", 10)


def test_a_pull_takes_the_newest_frame(ros_node, camera):
    """Frames that nobody took are gone when a newer one is there."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera", profiles=PLAIN)
    everything = collect(ros_node, Image, "/camera")
    wait_for_discovery(lambda: camera.get_subscription_count() == 2, "both subscriptions")
    for stamp_s in range(1, 6):
        camera.publish(_image(stamp_s))
    wait_until(lambda: len(everything) == 5, "all frames at the other reader")
    taken = []

    def newest_taken():
        raw = subscription.take()
        taken.extend([] if raw is None else [cdr.image(raw).stamp_ns // 10**9])
        return taken[-1:] == [5]

    wait_until(newest_taken, "the newest frame")
    assert len(taken) < 5
    assert subscription.take() is None


def test_frames_cost_no_callback(ros_node, camera, monkeypatch):
    """The executor runs later events and leaves the frame where it is."""
    called = []
    monkeypatch.setattr(pulled, "_unused", called.append)
    subscription = PulledSubscription(ros_node, (Image,), "/camera", profiles=PLAIN)
    sentinels = collect(ros_node, Empty, "/sentinel")
    sentinel = ros_node.create_publisher(Empty, "/sentinel", 10)
    wait_for_discovery(camera.get_subscription_count, "the pulled subscription")
    wait_for_discovery(sentinel.get_subscription_count, "the sentinel's subscription")
    for count in range(1, 4):
        camera.publish(_image(count))
        sentinel.publish(Empty())
        wait_until(lambda count=count: len(sentinels) == count, "the sentinel")
    assert wait_until(subscription.take, "the frame that no callback took")
    assert not called


def test_a_destroyed_subscription_takes_nothing(ros_node):
    """A pull that races with shutdown is no fault."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera", profiles=PLAIN)
    subscription.destroy()
    assert subscription.take() is None


def test_a_pulled_subscription_knows_its_type_and_profile(ros_node, camera):
    """As the graph shows them to others."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera", profiles=PLAIN)
    assert (subscription.type_names, subscription.topic) == (("sensor_msgs/msg/Image",), "/camera")
    (info,) = wait_until(
        lambda: ros_node.get_subscriptions_info_by_topic("/camera"), "the graph to know it"
    )
    assert (info.topic_type,) == subscription.type_names
    assert info.qos_profile.reliability == qos.SENSOR.reliability


def test_it_follows_the_type_that_is_published(ros_node, ros_domain):
    """Which of two types a controller speaks is seen, not configured."""
    subscription = PulledSubscription(ros_node, (CompressedImage, Image), "/camera", profiles=PLAIN)
    context = rclpy.Context()  # another participant: one alone cannot have both types
    rclpy.init(context=context, domain_id=ros_domain)
    stranger = rclpy.create_node("stranger", context=context)
    publisher = stranger.create_publisher(Image, "/camera", 10)
    try:
        subscription.follow([offer("std_msgs/msg/String")])
        subscription.follow([offer("std_msgs/msg/String"), offer("sensor_msgs/msg/Image")])
        wait_for_discovery(publisher.get_subscription_count, "the subscription of the other type")

        def frame():  # again: the reader may discover the publisher later than it is discovered
            publisher.publish(_image(4))
            return subscription.take()

        raw = wait_until(frame, "the frame")
        assert cdr.image(raw).stamp_ns == 4 * 10**9
        both = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
        subscription.follow([offer(name) for name in both])
        assert publisher.get_subscription_count() == 1
    finally:
        stranger.destroy_node()
        rclpy.shutdown(context=context)


def test_a_reliable_camera_is_subscribed_reliable_from_the_start(ros_node, camera):
    """Where its publisher is known by then; a profile that may not be reliable stays as it is."""
    wait_until(lambda: ros_node.get_publishers_info_by_topic("/camera"), "the camera in the graph")
    reliable = PulledSubscription(ros_node, (Image,), "/camera", profiles=qos.PICTURES)
    wait_until(lambda: reliability(ros_node) == ["RELIABLE"], "a reliable subscription")
    reliable.destroy()
    plain = PulledSubscription(ros_node, (Image,), "/camera", profiles=PLAIN)
    wait_until(lambda: reliability(ros_node) == ["BEST_EFFORT"], "one of best effort")
    plain.follow(ros_node.get_publishers_info_by_topic("/camera"))
    assert reliability(ros_node) == ["BEST_EFFORT"]


def test_it_changes_over_as_publishers_change_and_loses_nothing(ros_node):
    """The old subscription is taken from until the new one delivers; no frame comes twice."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera", profiles=qos.PICTURES)
    camera = ros_node.create_publisher(Image, "/camera", 10)
    stamps = itertools.count(1)

    def arrives():
        """Publish the next frame and take it alone."""
        stamp_s = next(stamps)
        camera.publish(_image(stamp_s))
        raw = wait_until(subscription.take, "the frame")
        assert cdr.image(raw).stamp_ns == stamp_s * 10**9

    def changed_to(reliability_name):
        """Publish and take frame by frame until the one subscription left is of this kind."""
        arrives()
        return reliability(ros_node) == [reliability_name]

    wait_until(camera.get_subscription_count, "the subscription")
    arrives()
    subscription.follow(ros_node.get_publishers_info_by_topic("/camera"))
    wait_until(lambda: changed_to("RELIABLE"), "the reliable subscription alone")
    second = ros_node.create_publisher(Image, "/camera", qos.SENSOR)
    wait_until(lambda: len(ros_node.get_publishers_info_by_topic("/camera")) == 2, "a second one")
    subscription.follow(ros_node.get_publishers_info_by_topic("/camera"))
    wait_until(lambda: changed_to("BEST_EFFORT"), "the one of best effort alone")
    assert second.get_subscription_count() == 1
    subscription.follow([])  # nobody publishes: nothing to follow
    arrives()


def test_a_change_back_before_it_was_over_leaves_the_old_subscription(ros_node):
    """A graph that flutters costs nothing."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera", profiles=qos.PICTURES)
    subscription.follow([offer("sensor_msgs/msg/Image")])
    subscription.follow([offer("sensor_msgs/msg/Image", qos.SENSOR)])
    wait_until(lambda: reliability(ros_node) == ["BEST_EFFORT"], "the old one alone")
    subscription.follow([offer("sensor_msgs/msg/Image")])
    subscription.destroy()
    wait_until(lambda: reliability(ros_node) == [], "none after destroy")
    assert subscription.take() is None


def test_a_subscription_that_is_replaced_while_a_query_begins_to_wait_ends_no_later_wait(ros_node):
    """A camera's driver has come back with other QoS; only a shutdown ends the waits for good."""
    replaced = ros_node.create_subscription(Image, "/camera", lambda _: None, qos.SENSOR)
    handle = replaced.handle
    ros_node.destroy_subscription(replaced)
    arrivals = Arrivals(ros_node.context, [SimpleNamespace(handles=(handle,))])
    arrivals.wait(time.monotonic_ns() + 60 * 10**9)
    assert not arrivals.ended
    arrivals.end()
    arrivals.wait(time.monotonic_ns() + 60 * 10**9)
    assert arrivals.ended
