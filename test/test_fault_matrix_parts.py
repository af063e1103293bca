"""The parts of the fault matrix can tell a reaction from none: judge, document, cable, rows."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from fault_matrix.cable import Cable  # noqa: E402
from fault_matrix.document import document  # noqa: E402
from fault_matrix.judge import LIMITS, judge  # noqa: E402
from fault_matrix.lateness import BEFORE_NS, LATE_NS, Lateness, waits_ns  # noqa: E402
from fault_matrix.observe import Moment, Seen, stops, strange  # noqa: E402
from fault_matrix.row import Fault, Group, nothing  # noqa: E402
from fault_matrix.runner import Outcome, judged  # noqa: E402

from gr00t_ros.motion.sampler import JtcSampler, Trajectory  # noqa: E402
from gr00t_ros.sim.record import ROW_NS, WINDOW_DELAY, Record, TimedRows  # noqa: E402

JOINTS = len(LIMITS.names)
MOVE_S, REST_S = 2.0, 1.0
S, MS = 1_000_000_000, 1_000_000


def stop_after_a_move() -> Record:
    """All joints 0.1 rad in 2 s, then a second of rest; 3 s in all."""
    t = np.linspace(0.0, 1.0, 2001)[:, None] * np.ones(JOINTS)
    position = 0.1 * t**3 * (10 - 15 * t + 6 * t**2)
    velocity = 0.1 * 30 * t**2 * (1 - t) ** 2 / MOVE_S
    acceleration = 0.1 * 60 * t * (1 - t) * (1 - 2 * t) / MOVE_S**2
    still = np.zeros((1000, JOINTS))
    position = np.concatenate([position, still + 0.1])
    velocity, acceleration = (np.concatenate([x, still]) for x in (velocity, acceleration))
    time_ns = np.arange(len(position), dtype=np.int64) * ROW_NS
    return Record(LIMITS.names, 0, time_ns, position, velocity, acceleration, position)


def row(**more: object) -> Fault:
    """A row that must end in a pause."""
    return Fault("lamp off", "a switch", nothing, watch="black_camera", words=("dark",), **more)


def seen_after(
    began_s: float, mended_s: float, record: Record | None = None, **more: object
) -> Outcome:
    """An outcome over the record of `stop_after_a_move`, with what the record says."""
    moments_s = (began_s, began_s + 0.01, mended_s, mended_s + 0.01, 3.0)
    outcome = Outcome(
        row(**more),
        Seen("paused", "dark | black"),
        *(round(s * S) for s in moments_s),
        again_s=0.5,
    )
    return judged(outcome, record or stop_after_a_move())


def test_rest_is_counted_from_the_fault() -> None:
    """The move ends at 2 s, the fault came at 1.5 s."""
    outcome = seen_after(1.5, 2.5)
    assert outcome.problem == ""
    assert outcome.verdict.rest_s == pytest.approx(0.5, abs=0.01)


def test_a_limit_that_is_broken_comes_with_the_window_that_was_the_latest() -> None:
    """Else nobody knows afterwards whether the robot's own process was late; of this row alone."""
    record = stop_after_a_move()
    record.velocity[2200:] += 0.5
    delays = TimedRows(np.array([100, 2190, 2990]) * ROW_NS, np.array([[0.9], [0.131], [0.01]]))
    record = replace(record, commands={f"{WINDOW_DELAY}arm": delays})
    problem = seen_after(1.5, 2.5, record).problem
    assert "rad/s^2" in problem and "131 ms after its stamp, at arm" in problem


def test_an_arm_that_still_moves_when_the_fault_is_mended_is_a_problem() -> None:
    """For a row that must stop; for one that need not, nothing is said of rest."""
    assert "not at rest" in seen_after(0.5, 1.5).problem
    assert seen_after(0.5, 1.5, mode="").problem == ""


def test_a_tail_that_takes_too_long_is_a_problem() -> None:
    """More than a second after the fault."""
    assert seen_after(1.5, 2.5, mode="", tail=True).problem == ""
    assert "a tail may take 1.0 s" in seen_after(0.5, 2.5, mode="", tail=True).problem


def test_a_step_in_the_record_is_a_problem() -> None:
    """With the joint's name and both numbers."""
    record = stop_after_a_move()
    record.velocity[1000:1100, 2] += 0.1
    verdict = judge(record, [(0, 3 * S)], 3 * S)
    assert f"acceleration of {LIMITS.names[2]}" in verdict.problem
    assert verdict.acceleration.value > verdict.acceleration.limit


def test_a_robot_that_steps_itself_is_judged_before_and_between_and_after_it() -> None:
    """Its own two steps are not the node's, one more is; and the arm rests in between."""
    record = stop_after_a_move()
    record.position[1000:] += 0.05
    record.velocity[1005:], record.acceleration[1005:] = 0.0, 0.0
    record.position[1005:] = record.position[1005]
    assert seen_after(1.0, 2.0, record, jumps=True).problem == ""
    assert "step in position" in seen_after(1.0, 2.0, record).problem
    record.position[1500:] += 0.01
    assert "step in position" in seen_after(1.0, 2.0, record, jumps=True).problem


def test_a_blind_start_may_step_from_rest_to_the_measured_position_and_nowhere_else() -> None:
    """By the arm's sag, and not by what a plan has lost."""
    record = stop_after_a_move()
    at = int(np.flatnonzero(np.abs(record.velocity).max(axis=1) > 0)[-1]) + 200
    record.position[at:] += 0.003
    measured = replace(record, measured=record.position.copy())
    assert "step in position" in judge(measured, [(0, 3 * S)], 3 * S).problem
    assert judge(measured, [(0, 3 * S)], 3 * S, no_start=(0, S // 2)).problem == ""
    assert "step in position" in judge(measured, [(0, 3 * S)], 3 * S, no_start=(0, 3 * S)).problem
    sagging = replace(measured, measured=measured.position - 0.001)
    assert "step in position" in judge(sagging, [(0, 3 * S)], 3 * S, no_start=(0, 0)).problem
    moving = stop_after_a_move()
    moving.position[100:] += 0.003  # while it moves
    moving = replace(moving, measured=moving.position.copy())
    assert "step in position" in judge(moving, [(0, 3 * S)], 3 * S, no_start=(0, 0)).problem


def taken_under_a_clock_that_was_put_back(by_ms: int) -> Record:
    """What a controller plays that starts from what it commanded: its 200th window is stale."""
    move = stop_after_a_move()
    times_ns = np.arange(0, 2000, 20, dtype=np.int64) * ROW_NS
    fields = [getattr(move, name)[:2000:20] for name in ("position", "velocity", "acceleration")]
    for field in fields[1:]:
        field[-1] = 0.0
    jtc = JtcSampler(JOINTS, interpolate_from_desired_state=True, period_ns=ROW_NS)
    jtc.hold(move.position[0])
    rows = []
    for index in range(3000):
        at_ns = index * ROW_NS
        if index in (1, 400):
            stamp_ns = ROW_NS + (by_ms * ROW_NS if index == 400 else 0)
            jtc.accept(Trajectory(stamp_ns, times_ns, *fields), at_ns, move.position[0])
        rows.append(jtc.sample(at_ns))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    time_ns = np.arange(3000, dtype=np.int64) * ROW_NS
    return Record(LIMITS.names, 0, time_ns, *columns, columns[0])


def test_a_cycle_that_is_played_twice_is_all_that_a_clock_put_back_excuses() -> None:
    """Without leave it breaks the limits; a window that is played elsewhere is not excused."""
    once = taken_under_a_clock_that_was_put_back(1000)
    assert "step in position" in judge(once, [(0, 3 * S)], 3 * S).problem
    assert judge(once, [(0, 3 * S)], 3 * S, doubled=1).problem == ""
    ahead = taken_under_a_clock_that_was_put_back(-100)
    assert "step in position" in judge(ahead, [(0, 3 * S)], 3 * S, doubled=1).problem


@pytest.mark.parametrize("more", [{}, {"words": ("dark",), "silent": True}])
def test_a_row_that_accepts_any_reason_is_no_row(more: dict[str, object]) -> None:
    """Words, or the statement that nobody tells."""
    with pytest.raises(ValueError, match="expected one of them"):
        Fault("lamp off", "a switch", nothing, expect="none", **more)


def test_a_row_that_must_stop_is_told_why() -> None:
    """So it cannot be silent."""
    with pytest.raises(ValueError, match="say why"):
        Fault("lamp off", "a switch", nothing, watch="black_camera", silent=True)


NOTHING_NEW = "controller of arm: nothing new on /arm/controller_state for 0.12 s, at most 0.10 s"
NO_TICK = "replay thread: 0.15 s between two ticks, at most 0.10 s allowed"
MODES = {"stopping", "holding"}


def late_at(*times_s: float) -> Lateness:
    """A witness that saw this machine late for 50 ms up to each of these times."""
    lateness = Lateness()
    for time_s in times_s:
        lateness.note(round(time_s * S) - 50_000_000, round(time_s * S))
    return lateness


def once_a_second(reason: str, seconds: int) -> list[tuple[int, str, str]]:
    """What a node says that stops every second and goes on again."""
    modes = (("stopping", reason), ("paused", reason), ("blending_in", ""), ("replaying", ""))
    return [
        (second * S + part * S // 4, mode, f"{said}; {second}" if said else "")
        for second in range(seconds)
        for part, (mode, said) in enumerate(modes)
    ]


@pytest.mark.parametrize("reason", [NOTHING_NEW, NO_TICK])
@pytest.mark.parametrize("modes", [set(), MODES])
def test_a_check_that_fires_without_cause_is_a_failure(reason: str, modes: set[str]) -> None:
    """Each stop and each pause of it: no witness saw this machine late."""
    found = strange(once_a_second(reason, 3), modes, (), Lateness().before)
    assert [line.partition(": ")[0] for line in found] == ["stopping", "paused"] * 3
    assert all(reason in line and "no witness" in line for line in found)


@pytest.mark.parametrize("reason", [NOTHING_NEW, NO_TICK])
def test_only_the_stops_of_a_late_machine_are_excused(reason: str) -> None:
    """With the pause after each; once a second without, whatever was late before."""
    told = once_a_second(reason, 3)
    assert strange(told, set(), (), late_at(-0.05, 0.9, 1.99).before) == []
    (stop, pause) = strange(told, set(), (), late_at(-0.05, 1.99).before)
    assert stop.startswith(f"stopping: {reason}; 1") and pause.startswith(f"paused: {reason}; 1")


def test_a_late_machine_excuses_no_other_reason_and_no_other_mode() -> None:
    """A pause with its own reason, a fault; a stop that the row itself makes needs no excuse."""
    late = late_at(1.0).before
    for mode, reason in (("paused", "camera wrist: dark"), ("fault", "e-stop pressed")):
        assert strange([(S, mode, reason)], MODES, (), late) == [f"{mode}: {reason}"]
    assert strange([(S, "paused", NO_TICK)], MODES, ("replay thread",), Lateness().before) == []
    assert strange([(S, "paused", "no answer")], MODES, ("replay thread",), late) != []
    assert strange([(S, "holding", "")], MODES, (), Lateness().before) == []


def test_a_pause_stands_for_a_fault_only_where_a_witness_saw_the_machine_late() -> None:
    """Of a watch that reacts in motion, when the arm stood already; with its own reason alone."""
    held = "fr3_joint1: held at 0.1, measured 0.2"

    def seen(lateness: Lateness, reason: str) -> object:
        said = [(S, "stopping", NO_TICK), (S + 400 * MS, "paused", reason)]
        statuses = [(at_ns, SimpleNamespace(mode=mode, reason=why)) for at_ns, mode, why in said]
        rig = SimpleNamespace(
            since=lambda _: statuses,
            lateness=lateness,
            wait=lambda condition, _: condition(),
            wait_for_rest=lambda: None,
        )
        moment = Moment(0, 0, 0, 0, 0, 0)
        try:
            return stops("fault", if_late=("held at",))(rig, moment, ("free the arm",))
        except AttributeError:  # nothing was seen: a real rig fails the row here
            return None

    assert seen(late_at(0.95), held) == Seen("paused", held, 1.4)
    assert seen(late_at(0.95), NO_TICK) is None
    assert seen(Lateness(), held) is None


def test_only_a_lateness_before_the_status_and_not_long_ago_counts() -> None:
    """And what is less late makes no such check react."""
    lateness = late_at(1.0)
    assert lateness.before(S) and lateness.before(S + BEFORE_NS)
    assert not lateness.before(S + BEFORE_NS + 1)
    assert not lateness.before(S - 50_000_001)
    short = Lateness()
    short.note(S, S + LATE_NS - 1)
    assert not short.before(S)


def waits(lateness: Lateness, *looks: tuple[int, dict[str, int]]) -> bool:
    """Whether the node was late after these looks: (time, waited by each thread), ms."""
    for at_ms, counts in looks:
        lateness.kernel_said({one: ms * MS for one, ms in counts.items()}, S + at_ms * MS)
    return lateness.before(S + looks[-1][0] * MS)


def test_a_node_that_waits_for_a_processor_is_late_by_the_count_of_the_kernel() -> None:
    """All of its threads in the time of the shortest gap that a check sees, split over looks too.

    A thread that holds the interpreter lock and gets no processor delays the one that needs it.
    """
    late_ms = LATE_NS // MS
    assert not waits(Lateness(), (0, {"1": 900, "2": 0}), (20, {"1": 900 + late_ms - 1, "2": 0}))
    assert waits(Lateness(), (0, {"1": 900, "2": 0}), (20, {"1": 899 + late_ms, "2": 1}))
    half = {"1": late_ms // 2, "2": 0}
    looks = [(0, {"1": 0, "2": 0}), (20, half), (40, half), (60, half)]
    assert waits(Lateness(), *looks, (80, {"1": late_ms // 2, "2": late_ms // 2}))


def test_what_a_node_waited_long_ago_or_before_it_was_seen_does_not_count() -> None:
    """Nor the waits of a thread that is new: of it nothing is known."""
    late_ms = LATE_NS // MS
    slow = [(20 * i, {"1": (late_ms // 2 - 1) * i // 5}) for i in range(20)]
    assert not waits(Lateness(), *slow)
    assert not waits(Lateness(), (0, {"1": 0}), (20, {"1": 0, "2": 9 * late_ms}))
    lateness = Lateness()
    assert waits(lateness, (0, {"1": 0}), (20, {"1": late_ms}))
    assert not lateness.before(S - 1)


def test_a_robot_that_speaks_late_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its joint states come every 10 ms; the first one has none before it."""
    lateness, times_ns = Lateness(), [S, S + 10_000_000, S + 59_999_999, S + 110_000_000]
    clock = SimpleNamespace(monotonic_ns=times_ns.pop)
    times_ns.reverse()
    monkeypatch.setattr("fault_matrix.lateness.time", clock)
    for late in (False, False, False, True):
        lateness.robot_spoke()
        assert lateness.before(2 * S - 500_000_000) is late


def test_the_kernel_counts_how_long_a_thread_waited() -> None:
    """Of this process: its first thread has its number."""
    assert dict(waits_ns(os.getpid()))[str(os.getpid())] >= 0
    assert dict(waits_ns(2**30)) == {}


def test_the_document_says_what_was_seen_and_what_differs() -> None:
    """One line a fault, pipes escaped; what was not as expected stands out."""
    group = Group("Lamps", (row(),))
    text = document([(group, [seen_after(1.5, 2.5)])], "2 cores")
    line = next(line for line in text.splitlines() if line.startswith("| lamp off"))
    assert "1 faults on 2 cores: 1 as expected." in text
    assert "| pause (black_camera) | paused: dark \\| black |" in line
    assert "by itself, 0.5 s" in line
    text = document([(group, [seen_after(0.5, 1.5)])], "2 cores")
    assert "0 as expected, 1 not." in text and "**differs**: the arm was not at rest" in text


def test_the_cable_passes_stalls_and_is_cut() -> None:
    """A stall keeps the connection and what was sent; a cut ends it."""
    with Cable() as cable, socket.create_server(("127.0.0.1", 0)) as server:
        cable.target = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", cable.port), 10.0) as client:
            peer, _ = server.accept()
            client.sendall(b"one")
            assert peer.recv(3) == b"one"
            cable.stalled = True
            client.sendall(b"two")
            peer.settimeout(0.3)
            with pytest.raises(TimeoutError):
                peer.recv(3)
            cable.stalled = False
            peer.settimeout(10.0)
            assert peer.recv(3) == b"two"
            cable.close_all()
            assert client.recv(1) == b""
            peer.close()


def test_the_program_that_dev_faults_starts_is_there_and_finds_its_parts() -> None:
    """It is a script of its own, which no test imports."""
    root = Path(__file__).parents[1]
    command = (root / "setup" / "__main__.py").read_text()
    (script,) = re.findall(r'replace_by\("(test/[\w/]+\.py)"', command)
    done = subprocess.run(
        [sys.executable, str(root / script), "--help"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--group" in done.stdout, done.stderr
