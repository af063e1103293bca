"""Observes the reaction to a fault, over topics only: each function waits for it or fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from fault_matrix.rig import Rig
from fault_matrix.row import Fault
from gr00t_ros.ros.policy_node import DROPPED

ENOUGH_CHUNKS = 3
"""Chunks that are played after a fault that must have no effect."""

# Reasons that a slow machine can have: the replay thread or the simulated controllers were late.
_SLOW = (
    *("replay thread: ", ": nothing new on ", ": each state on "),
    *("controllers: a window that changed the motion", "but nothing came from it lately"),
)
_MOVING = frozenset({"replaying", "blending_in"})
_STOPPED = frozenset({"stopping", "paused"})
_GIVEN_AGAIN = "instruction changed"


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a fault: statuses and chunks so far, both times, and the episode."""

    mark: int
    steady_ns: int
    robot_ns: int
    accepted: int
    episode: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The node's reaction: mode, reason, and s after the fault; None for no reaction."""

    mode: str
    reason: str
    said_s: float | None = None


Words = tuple[str, ...]
"""Text that a reason must contain, as in a row; {server} is replaced."""

Observer = Callable[[Rig, Moment, Words], Seen]

Told = tuple[int, str, str]
"""A published mode and reason, with the steady time of their first arrival, ns."""


def now(rig: Rig, steady_ns: int) -> Moment:
    """The present moment."""
    status = rig.statuses[-1]
    return Moment(
        mark=len(rig.seen),
        steady_ns=steady_ns,
        robot_ns=rig.robot_ns(),
        accepted=int(status.chunks_accepted),
        episode=int(status.episode),
        chunks=len(rig.chunks),
    )


def observed(fault: Fault, rig: Rig, moment: Moment) -> Seen:
    """Wait for the reaction that the row expects, and return it."""
    words = tuple(word.format(server=f"127.0.0.1:{rig.cable.port}") for word in fault.words)
    if fault.observe is not None:
        return fault.observe(rig, moment, words)
    if fault.end_mode:
        return stops(fault.end_mode)(rig, moment, words)
    return (drops if fault.reaction else goes_on)(rig, moment, words)


def stops(mode: str, if_late: Words = ()) -> Observer:
    """The node stops, publishes the reason, and rests in `mode`.

    if_late: the words of the pause that is right instead if the arm stood already, because this
    machine was late: for watches that react in motion only.
    """

    def observe(rig: Rig, moment: Moment, words: Words) -> Seen:
        seen = rig.wait(
            lambda: _first(rig, moment, {"stopping", mode}, words) or _paused(rig, moment, if_late),
            f"{mode} because of {words}",
        )
        if seen.mode == "paused" != mode:
            rig.wait_for_rest()
            return seen
        rig.wait(lambda: _first(rig, moment, {mode}, ()), f"mode {mode}")
        rig.wait_for_rest()
        rig.wait(lambda: rig.mode == mode, f"mode {mode} to last")
        return Seen(mode, seen.reason, seen.said_s)

    return observe


def passes(mode: str) -> Observer:
    """As `stops`, for a stop that may be over before it can be observed."""

    def observe(rig: Rig, moment: Moment, words: Words) -> Seen:
        seen = rig.wait(lambda: _first(rig, moment, {"stopping", mode}, words), f"{mode}: {words}")
        return Seen(mode, seen.reason, seen.said_s)

    return observe


def passes_to_rest(mode: str) -> Observer:
    """As `passes`, and then the arm rests: a node that is stopping may be seen while it moves."""

    def observe(rig: Rig, moment: Moment, words: Words) -> Seen:
        seen = passes(mode)(rig, moment, words)
        rig.wait_for_rest()
        return seen

    return observe


def stands_still(rig: Rig, moment: Moment, words: Words) -> Seen:
    """The node reports a stop and publishes nothing while its clock stands still; the arm rests."""
    return passes_to_rest("stopping")(rig, moment, words)


def goes_on(rig: Rig, moment: Moment, _words: Words = ()) -> Seen:
    """Chunks are played as before; there is no pause and no fault."""
    _more_chunks(rig, moment)
    _check(rig, moment, frozenset())
    return Seen("replaying", "")


def new_episode(rig: Rig, moment: Moment, _words: Words) -> Seen:
    """A new episode begins and its chunks are played; the stop before may be very short."""
    first = rig.wait(
        lambda: [s for s in rig.since(moment.mark) if s[1].episode > moment.episode], "an episode"
    )[0]
    goes_on_or_holds(rig, moment)
    reason = f"episode {first[1].episode} after {moment.episode}"
    return Seen("replaying", reason, (first[0] - moment.steady_ns) / 1e9)


def drops(rig: Rig, moment: Moment, words: Words) -> Seen:
    """An answer is refused with a reason; the plan goes on, or holds and continues.

    The reason is that of the chunk, if the answer became a chunk.
    """
    refused = int(rig.seen[moment.mark - 1][1].chunks_refused)
    first = rig.wait(
        lambda: [s for s in rig.since(moment.mark) if s[1].chunks_refused > refused],
        "a refused chunk",
    )[0]
    goes_on_or_holds(rig, moment)
    refusals = [
        chunk.reason
        for chunk in rig.chunks[moment.chunks :]
        if not chunk.accepted and not chunk.reason.startswith(DROPPED)
    ]
    reason = next((r for r in refusals if all(word in r for word in words)), "")
    assert reason or not words, f"no refusal with {words}: {refusals}"
    return Seen("replaying", reason, (first[0] - moment.steady_ns) / 1e9)


def goes_on_or_holds(rig: Rig, moment: Moment) -> Seen:
    """Motion goes on, perhaps after a hold at the plan's end; no pause and no fault."""
    _more_chunks(rig, moment)
    _check(rig, moment, {"stopping", "holding"})
    return Seen("replaying", "")


def endures(rig: Rig, moment: Moment, words: Words) -> Seen:
    """Motion goes on at some time, perhaps after pauses with one of `words`; no fault."""
    _more_chunks(rig, moment)
    rig.wait_for_motion()
    # if the task was done meanwhile, the rig gives it again, which stops the arm too
    given = (_GIVEN_AGAIN,) if rig.asked_s * 1e9 > moment.steady_ns else ()
    _check(rig, moment, {"holding"}, (*words, *given))
    worst = [s for _, s in rig.since(moment.mark) if s.mode in _STOPPED]
    return Seen(worst[0].mode, worst[0].reason) if worst else Seen("replaying", "")


def rests(rig: Rig, _moment: Moment, _words: Words) -> Seen:
    """The arm comes to rest although no process can report it."""
    rig.wait_for_rest()
    return Seen("", "")


def _more_chunks(rig: Rig, moment: Moment) -> None:
    rig.wait(
        lambda: (
            rig.since(moment.mark)
            and rig.statuses[-1].chunks_accepted >= moment.accepted + ENOUGH_CHUNKS
        ),
        f"{ENOUGH_CHUNKS} more chunks",
    )


def strange(
    told: Sequence[Told], modes: Set[str], words: Words, late_before: Callable[[int], bool]
) -> list[str]:
    """What nothing allows: modes beside `modes`, but for a stop or pause with one of `words`.

    Whatever the mode, a reason that a slow machine can have is excused only where the machine was
    late before the reason was first told (a stop and the pause after it have one reason). So
    `late_before` must not come from the node.
    """
    found, reason, since_ns = [], "", 0
    for at_ns, mode, said in told:
        if said != reason:
            reason, since_ns = said, at_ns
        named = any(word in said for word in words)
        if mode in _MOVING or (named and mode in _STOPPED | modes):
            continue
        if any(slow in said for slow in _SLOW):
            if not late_before(since_ns):
                found.append(f"{mode}: {said} (and no witness saw this machine late)")
        elif mode not in modes:
            found.append(f"{mode}: {said}")
    return found


def _check(rig: Rig, moment: Moment, modes: Set[str], words: Words = ()) -> None:
    """Check that nothing strange was published since the fault."""
    found = strange(rig.told(moment.mark), modes, words, rig.lateness.before)
    assert not found, "\n".join(found)


def _paused(rig: Rig, moment: Moment, words: Words) -> Seen | None:
    """The first pause with `words`, if this machine was late before a stop or pause."""
    stopped = [one for one in rig.since(moment.mark) if one[1].mode in _STOPPED]
    if not words or not any(rig.lateness.before(at_ns) for at_ns, _ in stopped):
        return None
    return _first(rig, moment, {"paused"}, words)


def _first(rig: Rig, moment: Moment, modes: set[str], words: Words) -> Seen | None:
    for at_ns, status in rig.since(moment.mark):
        if status.mode in modes and all(word in status.reason for word in words):
            return Seen(status.mode, status.reason, (at_ns - moment.steady_ns) / 1e9)
    return None
