"""Watches on the operator: e-stop and dead-man switch.

They are functional stops and do not replace a hardware e-stop (README). Times are steady time.
"""

from __future__ import annotations

from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake
from gr00t_ros.watch.table import default_ns, finding


class EStop:
    """Latches a press, by a service or a topic, until `clear`."""

    def __init__(
        self, required: bool = False, silence_ns: int = default_ns("e_stop_silence_s")
    ) -> None:
        """With `required`, a topic that is silent for more than `silence_ns` stops as well."""
        self.required, self.silence_ns = required, silence_ns
        self._by: str | None = None
        self.pressed = False
        """Whether the topic's button is pressed, by its last message."""
        self._received_ns: int | None = None

    def press(self, by: str) -> None:
        """A single press, such as a call of the service ~/estop; `by` names it in the reason."""
        self._by = by if self._by is None else self._by

    def see(self, pressed: bool, by: str, now_ns: int) -> None:
        """Take a message of the topic: whether the button is pressed now."""
        self.pressed, self._received_ns = pressed, now_ns
        if pressed:
            self.press(by)

    def clear(self) -> bool:
        """Clear the press, as a part of ~/reset; False while the button is still pressed."""
        if not self.pressed:
            self._by = None
        return not self.pressed

    def finding(self, now_ns: int, awake_ns: AwakeTime = all_awake) -> Finding | None:
        """A finding for the latched press, or for the silence of a required topic.

        awake_ns: how much of an age this process was awake and could receive.
        """
        if self._by is not None:
            return finding("e_stop", f"e-stop pressed by {self._by}")
        if not self.required:
            return None
        if self._received_ns is None:
            return finding("e_stop", "e-stop topic required, nothing was received on it")
        silent_ns = awake_ns(now_ns - self._received_ns)
        if silent_ns <= self.silence_ns:
            return None
        text = (
            f"e-stop topic silent for {silent_ns / 1e9:.2f} s, at most "
            f"{self.silence_ns / 1e9:.2f} s allowed"
        )
        return finding("e_stop", text)


class DeadMan:
    """Allows motion only while the operator's switch is reported pressed; off by default."""

    def __init__(self, required: bool = False, limit_ns: int = default_ns("dead_man_s")) -> None:
        """With `required`, pause if the switch was last reported pressed over `limit_ns` ago."""
        self.required, self.limit_ns = required, limit_ns
        self._pressed_ns: int | None = None

    def see(self, pressed: bool, now_ns: int) -> None:
        """Take a message; a release takes effect at once."""
        self._pressed_ns = now_ns if pressed else None

    def finding(self, now_ns: int) -> Finding | None:
        """A finding if the switch is required and released or silent."""
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
