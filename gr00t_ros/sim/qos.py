"""The QoS with which simulated sensors and controllers publish; knows no topic names."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# Reliable: a best-effort subscription takes it too, and larger images on loopback lose
# frames otherwise (environment.md, DDS). Depth 1: nobody wants yesterday's frame.
SENSOR_OUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
