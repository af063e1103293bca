"""Waits until a message arrives on one of some pulled subscriptions; takes no message.

rclpy's own wait set, without an executor: nothing runs for messages that nobody waits for. The
subscriptions stay alive while they are in it, even if another thread destroys them meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy

from gr00t_ros.ros.pulled import InvalidHandle, PulledSubscription


class Arrivals:
    """One thread waits at a time; any thread may `end` it."""

    def __init__(self, context: Context, subscriptions: Sequence[PulledSubscription]) -> None:
        self._context, self._subscriptions = context, subscriptions
        with context.handle:
            self._guard = _rclpy.GuardCondition(context.handle)
        self.ended = False

    def wait(self, until_ns: int) -> None:
        """Return at the next message, at steady time `until_ns`, or once ended.

        Returns at once if a message waits already. It may also return without a cause.
        """
        left_ns = until_ns - time.monotonic_ns()
        if left_ns <= 0 or self.ended:
            return
        try:
            self._wait(left_ns)
        except (InvalidHandle, _rclpy.RCLError):  # destroyed or shut down meanwhile: no more comes
            self.ended = True

    def end(self) -> None:
        """End the present wait and all later ones; the owner destroys the subscriptions."""
        self.ended = True
        with self._guard:
            self._guard.trigger_guard_condition()

    def _wait(self, left_ns: int) -> None:
        with ExitStack() as alive:
            handles = [one for pulled in self._subscriptions for one in pulled.handles]
            for entity in (self._context.handle, self._guard, *handles):
                alive.enter_context(entity)
            waits = _rclpy.WaitSet(len(handles), 1, 0, 0, 0, 0, self._context.handle)
            alive.enter_context(waits)
            waits.clear_entities()
            waits.add_guard_condition(self._guard)
            for handle in handles:
                waits.add_subscription(handle)
            waits.wait(left_ns)
