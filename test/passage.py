"""A topic between the simulated robot and the node, through which a test changes its messages.

The robot publishes under /sim; `remaps` are the arguments that make it do so.
"""

from rclpy.serialization import deserialize_message, serialize_message

from gr00t_ros.ros import qos
from gr00t_ros.sim.qos import SENSOR_OUT


class Passage:
    """Bytes pass untouched until `alter` is set; what it returns passes then, None nothing."""

    def __init__(self, node, kind, topic):
        self.topic, self._kind = topic, kind
        self._alter = None
        self._publisher = node.create_publisher(kind, topic, SENSOR_OUT)
        node.create_subscription(kind, f"/sim{topic}", self._pass, qos.SENSOR, raw=True)

    @property
    def remaps(self):
        """What the robot is started with."""
        return ("-r", f"{self.topic}:=/sim{self.topic}")

    def alter(self, change):
        """From now on publish what `change(message)` returns."""
        self._alter = change

    def mend(self):
        """From now on change nothing."""
        self._alter = None

    def _pass(self, data):
        if self._alter is None:
            self._publisher.publish(data)
            return
        message = self._alter(deserialize_message(data, self._kind))
        if message is not None:
            self._publisher.publish(bytes(serialize_message(message)))
