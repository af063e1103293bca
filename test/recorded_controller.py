"""What ros2_controllers' joint_trajectory_controller did with recorded messages, cycle by cycle.

Reads a folder of cases: test/jtc, or the whole recordings in ../shared/jtc where they are. Both
have the same files, which test/jtc/README.md explains. `python test/recorded_controller.py` makes
the first from the second. Imports nothing of ROS before a message is made.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXCERPTS = Path(__file__).resolve().parent / "jtc"
WHOLE = Path(__file__).resolve().parent.parent.parent / "shared" / "jtc"
CYCLE_NS = 1_000_000

# Words of the controller's refusals -> words of ours of the same kind.
KINDS = {
    "is not zero": "final velocity of joint",
    "Incoming joint": "incoming joint",
    "don't match the controller joints": "don't match the controller's joints",
    "is not strictly increasing": "strictly increasing",
    "Mismatch between joint_names size": "mismatch of",
    "Empty trajectory": "empty trajectory",
    "ends in the past": "in the past",
}


class Message(NamedTuple):
    """One trajectory: each point has its time, ns, and one to three lists of numbers."""

    stamp_ns: int
    joints: tuple[str, ...]
    points: list[tuple[int, list[list[float]]]]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """`command` (N, J) rad is what was commanded in the cycles at `time_ns` (N,).

    arrived: time and message in the order of arrival. refused: place in that order -> the
    controller's own words.
    """

    name: str
    joints: tuple[str, ...]
    initial: Floats
    parameters: dict[str, str]
    arrived: list[tuple[int, Message]]
    time_ns: NDArray[np.int64]
    command: Floats
    refused: dict[int, str]

    @property
    def desired(self) -> bool:
        """The controller's interpolate_from_desired_state."""
        return self.parameters["interpolate_from_desired_state"] == "true"

    @property
    def method(self) -> str:
        """The controller's interpolation_method."""
        return self.parameters.get("interpolation_method", "splines")

    def only(self, compared: NDArray[np.bool_]) -> "Case":
        """The case with a part of its recorded commands; all messages stay."""
        return replace(self, time_ns=self.time_ns[compared], command=self.command[compared])

    def cycles(self) -> Iterator[tuple[int, list[tuple[int, Message]], Floats | None]]:
        """Each cycle: its time, what it is the first to see, and the recorded command, if any."""
        rows = {int(at_ns): row for at_ns, row in zip(self.time_ns, self.command, strict=True)}
        first_ns = int(self.time_ns[0])
        last_ns = max(int(self.time_ns[-1]), self.arrived[-1][0] + CYCLE_NS)
        before = -(-max(0, first_ns - self.arrived[0][0]) // CYCLE_NS) + 1
        waiting = list(reversed(self.arrived))
        for now_ns in range(first_ns - before * CYCLE_NS, last_ns + 1, CYCLE_NS):
            seen = []
            while waiting and waiting[-1][0] <= now_ns:
                seen.append(waiting.pop())
            yield now_ns, seen, rows.get(now_ns)

    def compare(self, play: Callable[[int, list[tuple[int, Message]]], Floats]) -> float:
        """Largest difference of play(cycle, arrivals) from the record, rad; NaN must meet NaN."""
        worst = 0.0
        for now_ns, seen, recorded in self.cycles():
            got = play(now_ns, seen)
            if recorded is not None:
                np.testing.assert_array_equal(np.isnan(got), np.isnan(recorded))
                worst = max(worst, float(np.nanmax(np.abs(got - recorded), initial=0.0)))
        return worst


def ros_message(message: Message) -> Any:
    """The message as it comes over the topic, a trajectory_msgs/JointTrajectory."""
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from gr00t_ros.ros.outputs import to_duration, to_time

    made = JointTrajectory(joint_names=list(message.joints))
    made.header.stamp = to_time(message.stamp_ns)
    for at_ns, fields in message.points:
        names = ("positions", "velocities", "accelerations")[: len(fields)]
        point = JointTrajectoryPoint(**dict(zip(names, fields, strict=True)))
        point.time_from_start = to_duration(at_ns)
        made.points.append(point)
    return made


def same_kind(theirs: str, ours: str) -> bool:
    """Whether both refuse for the same reason."""
    return [word for word in KINDS if word in theirs] == [w for w, o in KINDS.items() if o in ours]


def all_cases(but: str = "") -> list[object]:
    """Every case of both folders `but` one, for a test; the whole ones skip where there are none.

    Each is a function that reads the case, so that collecting reads nothing.
    """
    found = [
        pytest.param(lambda n=name: read(EXCERPTS, n), id=f"{name}-excerpt")
        for name in names(EXCERPTS)
        if name != but
    ]
    if not WHOLE.is_dir():
        why = pytest.mark.skip(reason=f"no recordings in {WHOLE}: a public clone has the excerpts")
        return [*found, pytest.param(None, id="whole", marks=why)]
    whole = [
        pytest.param(lambda n=name: read(WHOLE, n), id=f"{name}-whole")
        for name in names(WHOLE)
        if name != but
    ]
    return [*found, *whole]


def names(folder: Path) -> list[str]:
    """The cases of a folder."""
    return [case["name"] for case in json.loads((folder / "cases.json").read_text())]


def read(folder: Path, name: str) -> Case:
    """One case of a folder."""
    listed = json.loads((folder / "cases.json").read_text())
    of_case = next(case for case in listed if case["name"] == name)
    own = of_case["windows"] == "its own .txt"
    joints, messages = _messages(folder / (f"{name}.txt" if own else of_case["windows"]))
    with np.load(folder / f"{name}.npz") as record:
        if own:
            arrived = list(messages)
        else:
            pairs = zip(record["arrival_ns"].tolist(), record["window"].tolist(), strict=True)
            arrived = [(arrival_ns, messages[window][1]) for arrival_ns, window in pairs]
        time_ns, command = record["t_ns"], record["cmd"]
    events = (folder / f"{name}.events").read_text().splitlines()
    return Case(
        name,
        joints,
        np.array(of_case["initial"]),
        dict(one.split(":=") for one in of_case["parameters"]),
        arrived,
        time_ns,
        command,
        {at: e.split("\t")[4] for at, e in enumerate(events) if e.split("\t")[3] == "rejected"},
    )


@cache
def _messages(path: Path) -> tuple[tuple[str, ...], list[tuple[int, Message]]]:
    """The joints of a file and each message with the time at which it arrived."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        lines = [line.split(maxsplit=2) for line in file]
    joints = tuple(" ".join(lines[0][1:]).split())
    found: list[tuple[int, Message]] = []
    for kind, number, *rest in lines[1:]:
        if kind == "message":
            stamp_ns, *own = rest[0].split()
            found.append((int(number), Message(int(stamp_ns), tuple(own) or joints, [])))
        else:
            fields = [[float(x) for x in field.split()] for field in rest[0].split("|")]
            found[-1][1].points.append((int(number), fields))
    return joints, found


def _excerpt(case: Case) -> Case:
    """About three hundred cycles where most happens, of the two joints that move most."""
    if len(case.joints) == 2:
        return replace(case, time_ns=case.time_ns[::20], command=case.command[::20])
    pushed = np.abs(np.diff(case.command, 2, axis=0))
    kept = np.sort(np.argsort(np.ptp(case.command, axis=0))[-2:])
    middle = int(np.argmax(pushed[:, kept].max(axis=1)))
    first = min(max(0, middle - 150), len(case.time_ns) - 300)
    rows = slice(first, first + 300)
    time_ns = case.time_ns[rows]
    before = sum(arrival_ns <= time_ns[0] for arrival_ns, _ in case.arrived)
    arrived = [
        (arrival_ns, _columns(message, kept))
        for arrival_ns, message in case.arrived[max(0, before - 2) :]
        if arrival_ns <= time_ns[-1]
    ]
    joints = tuple(case.joints[column] for column in kept)
    command, initial = case.command[rows][:, kept], case.initial[kept]
    return replace(
        case, joints=joints, initial=initial, arrived=arrived, time_ns=time_ns, command=command
    )


def _columns(message: Message, kept: NDArray[np.int64]) -> Message:
    points = [(at, [[row[c] for c in kept] for row in rows]) for at, rows in message.points]
    return Message(message.stamp_ns, tuple(message.joints[c] for c in kept), points)


def _write(folder: Path, case: Case, listed: dict[str, object]) -> None:
    windows: dict[str, int] = {}
    text = [f"joints {' '.join(case.joints)}\n"]
    order = []
    for arrival_ns, (stamp_ns, joints, points) in case.arrived:
        own = "" if joints == case.joints else " " + " ".join(joints)
        rows = [f"point {at} {' | '.join(' '.join(map(repr, f)) for f in fs)}" for at, fs in points]
        body = "\n".join([f"{stamp_ns}{own}", *rows])
        if body not in windows:
            windows[body] = len(windows)
            text.append(f"message {arrival_ns} {body}\n")
        order.append((arrival_ns, windows[body]))
    compressed = gzip.compress("".join(text).encode(), mtime=0)
    (folder / f"{case.name}.txt.gz").write_bytes(compressed)
    arrivals_ns, window = np.array(order).T
    record = {"t_ns": case.time_ns, "cmd": case.command}
    np.savez_compressed(
        folder / f"{case.name}.npz", **record, arrival_ns=arrivals_ns, window=window
    )
    answers = [
        f"rejected\t{case.refused[at]}" if at in case.refused else "accepted"
        for at in range(len(order))
    ]
    events = [
        f"{arrival_ns}\tmessage\t{at}\t{answer}"
        for at, ((arrival_ns, _), answer) in enumerate(zip(order, answers, strict=True))
    ]
    (folder / f"{case.name}.events").write_text("\n".join(events) + "\n")
    listed["windows"], listed["initial"] = f"{case.name}.txt.gz", case.initial.tolist()


if __name__ == "__main__":
    cases = [
        {key: case[key] for key in ("name", "initial", "parameters", "note")}
        for case in json.loads((WHOLE / "cases.json").read_text())
    ]
    for of_case in cases:
        _write(EXCERPTS, _excerpt(read(WHOLE, of_case["name"])), of_case)
    (EXCERPTS / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
