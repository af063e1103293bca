"""Watches on the operator: the e-stop that latches and the dead-man switch that must be held.

Takes steady time. Functional stops only: neither replaces a hardware e-stop (README).
"""

from __future__ import annotations

from collections.abc import Callable

from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding


class EStop:
    """Latches a press from a service or a topic until `clear`."""

    def __init__(self, required: bool = False, silence_ns: int = 500_000_000) -> None:
        """With `required`, a topic silent for more than `silence_ns` is a press as well."""
        self.required, self.silence_ns = required, silence_ns
        self._by: str | None = None
        self._held = False
        self._heard_ns: int | None = None

    def press(self, by: str) -> None:
        """A single press, such as a call of ~/estop; `by` names it in the reason."""
        self._by = by if self._by is None else self._by

    def see(self, pressed: bool, by: str, now_ns: int) -> None:
        """Take a message of the topic: the present state of the button."""
        self._held, self._heard_ns = pressed, now_ns
        if pressed:
            self.press(by)

    def clear(self) -> bool:
        """Forget the press, as a part of ~/reset; False while the button is still pressed."""
        if not self._held:
            self._by = None
        return not self._held

    def finding(
        self, now_ns: int, awake_ns: Callable[[int], int] = lambda age_ns: age_ns
    ) -> Finding | None:
        """The latched press, or the silence of a topic that is required.

        awake_ns: how much of an age the process was awake, and could have heard, ns.
        """
        if self._by is not None:
            return finding("e_stop", f"e-stop pressed by {self._by}")
        if not self.required:
            return None
        if self._heard_ns is None:
            return finding("e_stop", "e-stop topic required, nothing was received on it")
        silent_ns = awake_ns(now_ns - self._heard_ns)
        if silent_ns <= self.silence_ns:
            return None
        text = (
            f"e-stop topic silent for {silent_ns / 1e9:.2f} s, at most "
            f"{self.silence_ns / 1e9:.2f} s allowed"
        )
        return finding("e_stop", text)


class DeadMan:
    """Motion only while the operator's switch keeps being reported pressed; off by default."""

    def __init__(self, required: bool = False, limit_ns: int = 500_000_000) -> None:
        """With `required`, pause above `limit_ns` since the last report of a pressed switch."""
        self.required, self.limit_ns = required, limit_ns
        self._pressed_ns: int | None = None

    def see(self, pressed: bool, now_ns: int) -> None:
        """Take a message: a release counts at once."""
        self._pressed_ns = now_ns if pressed else None

    def finding(self, now_ns: int) -> Finding | None:
        """The released or silent switch, where one is required."""
        if not self.required:
            return None
        if self._pressed_ns is None:
            return finding("dead_man", "dead-man switch is not pressed")
        silent_ns = now_ns - self._pressed_ns
        if silent_ns <= self.limit_ns:
            return None
        text = (
            f"dead-man switch last reported pressed {silent_ns / 1e9:.2f} s ago, at most "
            f"{self.limit_ns / 1e9:.2f} s allowed"
        )
        return finding("dead_man", text)
