"""gr00t_ros.ros.pulled over real DDS."""

import pytest
import rclpy
from ros_fixtures import collect, wait_for_discovery, wait_until
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Empty

from gr00t_ros.ros import cdr, pulled, qos
from gr00t_ros.ros.pulled import PulledSubscription


def _image(stamp_s):
    message = Image(height=1, width=1, encoding="rgb8", step=3, data=[1, 2, 3])
    message.header.stamp.sec = stamp_s
    return message


@pytest.fixture
def camera(ros_node):
    """A publisher of pictures."""
    return ros_node.create_publisher(Image, "/camera", 10)


def test_a_pull_takes_the_newest_frame(ros_node, camera):
    """Frames that nobody took are gone when a newer one is there."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera")
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
    subscription = PulledSubscription(ros_node, (Image,), "/camera")
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
    subscription = PulledSubscription(ros_node, (Image,), "/camera")
    subscription.destroy()
    assert subscription.take() is None


def test_a_pulled_subscription_knows_its_type_and_profile(ros_node, camera):
    """As the graph shows them to others."""
    subscription = PulledSubscription(ros_node, (Image,), "/camera")
    assert (subscription.type_names, subscription.topic) == (("sensor_msgs/msg/Image",), "/camera")
    (info,) = wait_until(
        lambda: ros_node.get_subscriptions_info_by_topic("/camera"), "the graph to know it"
    )
    assert (info.topic_type,) == subscription.type_names
    assert info.qos_profile.reliability == qos.SENSOR.reliability


def test_it_follows_the_type_that_is_published(ros_node, ros_domain):
    """Which of two types a controller speaks is seen, not configured."""
    subscription = PulledSubscription(ros_node, (CompressedImage, Image), "/camera")
    context = rclpy.Context()  # another participant: one alone cannot have both types
    rclpy.init(context=context, domain_id=ros_domain)
    stranger = rclpy.create_node("stranger", context=context)
    publisher = stranger.create_publisher(Image, "/camera", 10)
    try:
        subscription.follow({"std_msgs/msg/String"})
        subscription.follow({"std_msgs/msg/String", "sensor_msgs/msg/Image"})
        wait_for_discovery(publisher.get_subscription_count, "the subscription of the other type")
        publisher.publish(_image(4))
        raw = wait_until(subscription.take, "the frame")
        assert cdr.image(raw).stamp_ns == 4 * 10**9
        subscription.follow({"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"})
        assert publisher.get_subscription_count() == 1
    finally:
        stranger.destroy_node()
        rclpy.shutdown(context=context)
