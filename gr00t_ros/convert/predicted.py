"""What the policy predicted for each time of a bag: the newest chunk that was accepted by then."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.bags.bag import BagMessage
from gr00t_ros.bags.message_types import read_message
from gr00t_ros.msg import ActionChunk
from gr00t_ros.robot.embodiment import Embodiment

_SECOND_NS = 1_000_000_000


class Predicted:
    """The newest accepted chunk at the present message of a bag."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Start without a chunk."""
        self._keys = {key.key: key.width for key in embodiment.action}
        self._rows: Mapping[str, NDArray[np.float32]] = {}
        self._stamp_ns, self._step_ns = 0, 1
        self.seen = False
        """Whether any chunk was accepted so far."""

    def put(self, one: BagMessage) -> None:
        """Take one message of ~/action_chunk; chunks that were not accepted have no effect.

        Raises BagError for one that is no chunk.
        """
        message = read_message(one, ActionChunk)
        step = message.step_duration
        step_ns = step.sec * _SECOND_NS + step.nanosec
        if not message.accepted or step_ns <= 0:
            return
        rows = {}
        for group in message.groups:
            width = self._keys.get(group.action_key)
            if width is not None and group.rows * width == len(group.data):
                values = np.array(group.data, dtype=np.float32)
                rows[group.action_key] = values.reshape(group.rows, width)
        stamp = message.header.stamp
        self._stamp_ns, self._step_ns = stamp.sec * _SECOND_NS + stamp.nanosec, step_ns
        self._rows, self.seen = rows, True

    def at(self, now_ns: int) -> dict[str, NDArray[np.float32]]:
        """(D,) of each action key for that time; NaN after the end of the chunk and without one."""
        step = round((now_ns - self._stamp_ns) / self._step_ns)
        found = {}
        for key, width in self._keys.items():
            rows = self._rows.get(key)
            known = rows is not None and 0 <= step < len(rows)
            found[key] = rows[step] if rows is not None and known else _unknown(width)
        return found


def _unknown(width: int) -> NDArray[np.float32]:
    return np.full(width, np.nan, np.float32)
