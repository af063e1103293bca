"""The button topics ~/e_stop and ~/dead_man (std_msgs/Bool, true: pressed) and their watches.

The executor and the replay thread both use the watches, so a lock protects them; it is held for
microseconds. These are functional stops: neither topic replaces a hardware e-stop.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Bool

from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.operator import DeadMan, EStop

E_STOP, DEAD_MAN = "~/e_stop", "~/dead_man"
ESTOP_SERVICE = "~/estop"


class OperatorWatches:
    """The watches on both topics; each press calls `on_press(reason)` on the executor thread."""

    def __init__(
        self,
        node: Node,
        values: Parameters,
        on_press: Callable[[str], None],
        awake_ns: Callable[[int], int] = lambda age_ns: age_ns,
    ) -> None:
        """Subscribe to both topics; awake_ns: the part of an age, ns, the process was awake."""
        self._awake_ns = awake_ns
        self._node, self._on_press = node, on_press
        self._lock = threading.Lock()
        self._e_stop, self._dead_man = EStop(), DeadMan()
        self.pressed_s = -math.inf
        """When the button of ~/e_stop was pressed last, steady time."""
        self.apply(values)
        # One of these subscriptions fits any QoS that the button's driver offers. The default event
        # callbacks would warn about the incompatible ones.
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
        self._subscriptions = [
            node.create_subscription(Bool, topic, take, profile, event_callbacks=quiet)
            for topic, take in ((E_STOP, self._take_e_stop), (DEAD_MAN, self._take_dead_man))
            for profile in qos.ANY
        ]

    def apply(self, values: Parameters) -> None:
        """Apply changed thresholds."""
        with self._lock:
            self._e_stop.required = values.e_stop_required
            self._e_stop.silence_ns = int(values.e_stop_silence_s * 1e9)
            self._dead_man.required = values.dead_man_required
            self._dead_man.limit_ns = int(values.dead_man_s * 1e9)

    def findings(self) -> tuple[Finding, ...]:
        """The present findings, on steady time."""
        now_ns = time.monotonic_ns()
        with self._lock:
            e_stop = self._e_stop.finding(now_ns, self._awake_ns)
            found = (e_stop, self._dead_man.finding(now_ns))
        return tuple(finding for finding in found if finding is not None)

    def misnamed(self) -> tuple[str, ...]:
        """A problem if a button publishes under the name of the service ~/estop; reads the graph.

        The two names differ by an underscore, and nothing would receive such a button.
        """
        if not self._node.count_publishers(ESTOP_SERVICE):
            return ()
        text = (
            f"a publisher on topic {ESTOP_SERVICE}, which is the name of a service and is not "
            f"received: let the button publish on topic {E_STOP}"
        )
        return (text,)

    def clear(self) -> None:
        """Clear a press whose button is released; part of ~/reset."""
        with self._lock:
            self._e_stop.clear()

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take_e_stop(self, message: Bool) -> None:
        now_ns = time.monotonic_ns()
        with self._lock:
            anew = message.data and not self._e_stop.pressed  # a driver repeats the button's state
            if anew:
                self.pressed_s = now_ns / 1e9
            self._e_stop.see(message.data, f"button topic {E_STOP}", now_ns)
            found = self._e_stop.finding(now_ns) if message.data else None
        if found is None:
            return
        self._on_press(found.reason)
        if anew:
            self._node.get_logger().error(found.reason, throttle_duration_sec=1.0)

    def _take_dead_man(self, message: Bool) -> None:
        with self._lock:
            self._dead_man.see(message.data, time.monotonic_ns())
