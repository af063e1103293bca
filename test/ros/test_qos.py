"""The QoS profiles receive from the publishers that they must receive from."""

import pytest
from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from gr00t_ros.ros import qos

# Compatible beyond doubt is never said (OK) where a profile leaves a policy to the middleware.


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
@pytest.mark.parametrize(
    "durability", [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
)
def test_sensor_subscriptions_receive_from_every_driver(reliability, durability):
    """No driver's QoS leaves the node without pictures."""
    driver = QoSProfile(depth=5, reliability=reliability, durability=durability)
    compatibility, why = qos_check_compatible(driver, qos.SENSOR)
    assert compatibility != QoSCompatibility.ERROR, why


@pytest.mark.parametrize("profile", [qos.SENSOR, qos.COMMAND, qos.STATUS])
def test_only_the_newest_is_kept_where_an_older_one_does_harm(profile):
    """Old frames age the observation, old windows replace newer ones."""
    assert profile.depth == 1


def test_a_late_controller_is_not_handed_an_old_window():
    """Commands arrive for certain, and only those of the present."""
    assert qos.COMMAND.reliability == ReliabilityPolicy.RELIABLE
    assert qos.COMMAND.durability == DurabilityPolicy.VOLATILE


def test_a_late_reader_gets_the_status():
    """The mode is seen without waiting for its next change."""
    late = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    assert qos_check_compatible(qos.STATUS, late)[0] != QoSCompatibility.ERROR


@pytest.mark.parametrize("profile", [qos.COMMAND, qos.STATUS, qos.DIAGNOSTICS, qos.CHUNK])
def test_everybody_can_read_what_the_node_publishes(profile):
    """An ordinary subscription (reliable, depth 10) of any tool is compatible."""
    assert qos_check_compatible(profile, QoSProfile(depth=10))[0] != QoSCompatibility.ERROR


LATCHED = qos.STATUS
DEADLINE = QoSProfile(depth=1, deadline=Duration(seconds=0.1))


@pytest.mark.parametrize(
    ("offered", "requested", "word"),
    [
        (qos.COMMAND, qos.SENSOR, ""),
        (qos.SENSOR, qos.COMMAND, "reliable"),
        (qos.COMMAND, LATCHED, "transient_local"),
        (LATCHED, qos.COMMAND, ""),
        (qos.COMMAND, DEADLINE, "deadline"),
        (DEADLINE, DEADLINE, ""),
    ],
)
def test_a_mismatch_is_named_by_its_policy(offered, requested, word):
    """DDS's rules of request and offer."""
    assert word in qos.mismatch(offered, requested)
    assert bool(word) == bool(qos.mismatch(offered, requested))
