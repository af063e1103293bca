"""The QoS of simulated sensors and controllers; knows no topic names."""

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_system_default,
)

# Reliable: a best-effort subscription takes it too, and larger images on loopback lose
# frames otherwise (environment.md, DDS). Depth 1: nobody wants yesterday's frame.
SENSOR_OUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# As joint_trajectory_controller subscribes (rclcpp::SystemDefaultsQoS): what DDS itself defaults
# to for a reader, which is best effort, the newest message alone.
COMMAND_IN = qos_profile_system_default
