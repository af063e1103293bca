"""The 1 kHz record of what the controllers commanded: kept, saved and read.

Refuses to know: ROS, clocks, physics. Rows come from the simulated robot's physics
thread; a snapshot may be taken from another one.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROW_NS = 1_000_000
"""Time between two rows: one cycle of a 1 kHz controller, ns."""

BLOCK_ROWS = 10_000
_TIMES, _VALUES = "command_time_ns ", "command_values "  # before a topic's name


@dataclass(frozen=True, slots=True)
class TimedRows:
    """Values (M, D) float64 that came at ``time_ns`` (M,) int64 on the controllers' clock."""

    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Record:
    """What N controller cycles commanded to J joints, and where the joints were.

    ``time_ns``: (N,) int64, ns of the controllers' clock (steady clock, or simulated time);
    ``time_ns + ros_offset_ns`` is the ROS time. ``position`` rad, ``velocity`` rad/s,
    ``acceleration`` rad/s^2: (N, J) float64, as sampled from the trajectories.
    ``measured``: (N, J) float64, rad. ``commands``: what else was commanded, by topic.
    """

    joint_names: tuple[str, ...]
    ros_offset_ns: int
    time_ns: NDArray[np.int64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    measured: NDArray[np.float64]
    commands: Mapping[str, TimedRows] = field(default_factory=dict)


class Recorder:
    """Keeps the newest rows of a run, in blocks that grow and then drop their oldest.

    One thread appends; ``snapshot`` may run in another, since a row counts only after
    it was written.
    """

    def __init__(self, joint_names: tuple[str, ...], span_s: float) -> None:
        """Keep at least ``span_s`` seconds of rows of these joints."""
        self._names = joint_names
        kept = max(1, -(-round(span_s * 1e9 / ROW_NS) // BLOCK_ROWS))
        self._blocks: deque[_Block] = deque(maxlen=kept + 1)

    def append(
        self,
        time_ns: int,
        position: NDArray[np.float64],
        velocity: NDArray[np.float64],
        acceleration: NDArray[np.float64],
        measured: NDArray[np.float64],
    ) -> None:
        """Add one row; each array (J,) float64 in the order of the joint names."""
        if not self._blocks or self._blocks[-1].count == BLOCK_ROWS:
            self._blocks.append(_Block(len(self._names)))
        self._blocks[-1].append(time_ns, (position, velocity, acceleration, measured))

    def snapshot(
        self, ros_offset_ns: int, commands: Mapping[str, TimedRows] | None = None
    ) -> Record:
        """Return a copy of all rows kept so far, with these other commands."""
        parts = [block.rows() for block in list(self._blocks)] or [_Block(len(self._names)).rows()]
        time_ns = np.concatenate([part[0] for part in parts])
        values = np.concatenate([part[1] for part in parts])
        position, velocity, acceleration, measured = (
            np.ascontiguousarray(values[:, field]) for field in range(4)
        )
        arrays = (time_ns, position, velocity, acceleration, measured)
        return Record(self._names, ros_offset_ns, *arrays, commands or {})


class _Block:
    def __init__(self, joint_count: int) -> None:
        self.count = 0
        self._time_ns = np.empty(BLOCK_ROWS, dtype=np.int64)
        self._values = np.empty((BLOCK_ROWS, 4, joint_count))

    def append(self, time_ns: int, fields: tuple[NDArray[np.float64], ...]) -> None:
        row = self._values[self.count]
        for index, values in enumerate(fields):
            row[index] = values
        self._time_ns[self.count] = time_ns
        self.count += 1

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self._time_ns[: self.count], self._values[: self.count]


def save_record(path: str | Path, record: Record) -> None:
    """Write a record as .npz; raises OSError when the path cannot be written."""
    with open(path, "wb") as file:
        np.savez(
            file,
            joint_names=np.array(record.joint_names),
            ros_offset_ns=np.int64(record.ros_offset_ns),
            time_ns=record.time_ns,
            position=record.position,
            velocity=record.velocity,
            acceleration=record.acceleration,
            measured=record.measured,
            **{_TIMES + topic: rows.time_ns for topic, rows in record.commands.items()},
            **{_VALUES + topic: rows.values for topic, rows in record.commands.items()},
        )


def load_record(path: str | Path) -> Record:
    """Read a record that ``save_record`` wrote; raises OSError, or KeyError on other content."""
    with np.load(path, allow_pickle=False) as content:
        return Record(
            joint_names=tuple(str(name) for name in content["joint_names"]),
            ros_offset_ns=int(content["ros_offset_ns"]),
            time_ns=content["time_ns"],
            position=content["position"],
            velocity=content["velocity"],
            acceleration=content["acceleration"],
            measured=content["measured"],
            commands={
                topic: TimedRows(content[_TIMES + topic], content[_VALUES + topic])
                for topic in (name[len(_TIMES) :] for name in content if name.startswith(_TIMES))
            },
        )
