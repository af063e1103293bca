"""Rows of the fault matrix: the policy server, its answers, and the network to it."""

from __future__ import annotations

import signal

from fault_matrix.observe import drops, endures, goes_on
from fault_matrix.rig import Rig
from fault_matrix.row import BUSY, Act, Fault, Group

SERVER = "{server}"
UNANSWERED = (SERVER, "no chunk left to play")


def _answers(faults: str) -> Act:
    return lambda rig: rig.answer_with(faults)


def _well(rig: Rig) -> None:
    rig.answer_with("")


def _kill(rig: Rig) -> None:
    rig.send("sidecar", signal.SIGKILL)


def _restart(rig: Rig) -> None:
    _kill(rig)
    rig.start_server()


def _stall(rig: Rig) -> None:
    rig.cable.stalled = True


def _flow(rig: Rig) -> None:
    rig.cable.stalled = rig.cable.refusing = False


def _close(rig: Rig) -> None:
    rig.cable.refusing = True
    rig.cable.close_all()


def _swap_back(rig: Rig) -> None:
    rig.lead_to(rig.kept["target"])


def _spoilt(name: str, how: str, spec: str, watch: str, *words: str, **more: bool) -> Fault:
    """A row in which the faulty server spoils its answers from now on."""
    how = f"{how} (`gr00t sidecar faulty --fault {spec}`)"
    more["silent"] = not words  # an answer that became no chunk is only counted
    return Fault(name, how, _answers(spec), _well, watch, words=words, **more)


PROCESS = (
    Fault(
        "server killed",
        "SIGKILL; mended by starting it anew",
        _kill,
        lambda rig: rig.start_server(),
        "sidecar_dead",
        words=(SERVER,),
        short=True,
    ),
    Fault(
        "server frozen",
        "SIGSTOP; mended by SIGCONT",
        lambda rig: rig.send("sidecar", signal.SIGSTOP),
        lambda rig: rig.send("sidecar", signal.SIGCONT),
        "sidecar_dead",
        words=(SERVER,),
        short=True,
    ),
    Fault(
        "server restarted",
        "SIGKILL and a new start at once",
        _restart,
        expect="a hold or a pause, at most (inference_deadline, sidecar_dead)",
        words=UNANSWERED,
        observe=endures,
    ),
    Fault(
        "server slow",
        "each answer 0.3 s late",
        _answers("late=300"),
        _well,
        expect="none: asked for in time",
        silent=True,
        observe=goes_on,
    ),
    Fault(
        "server slower than it may be silent",
        "each answer 1.8 s late",
        _answers("late=1800"),
        _well,
        "sidecar_dead",
        words=(SERVER,),
    ),
    Fault(
        "first call slow",
        "one answer 1.8 s late, as of a model that warms up",
        _answers("late=1800:1"),
        _well,
        expect="a hold or a pause, at most (inference_deadline, sidecar_dead)",
        words=UNANSWERED,
        observe=endures,
    ),
    Fault(
        "two servers swapped",
        "another embodiment's server behind the same address",
        lambda rig: rig.start_other_server(),
        _swap_back,
        "chunk_shape",
        words=("does not fit embodiment",),
        short=True,
    ),
)

NETWORK = (
    Fault(
        "network cut",
        "TCP connections live on, nothing passes",
        _stall,
        _flow,
        "sidecar_dead",
        words=(SERVER,),
        short=True,
    ),
    Fault(
        "connections refused",
        "TCP connections closed, new ones too",
        _close,
        _flow,
        "sidecar_dead",
        words=(SERVER,),
    ),
)

ANSWERS = (
    _spoilt(
        *("garbage", "random bytes", "garbage", "consecutive_failures"),
        *("3 answers of the policy server refused in a row", "decode"),
        short=True,
    ),
    Fault(
        "garbage once",
        "one answer of random bytes",
        _answers("garbage:1"),
        _well,
        expect="drop (consecutive_failures counts it)",
        silent=True,
        observe=drops,
    ),
    _spoilt(
        *("wrong shapes", "a column too many", "shape", "chunk_shape"),
        *("got shape", "expected (horizon, width)"),
        short=True,
    ),
    _spoilt("wrong keys", "a key left out", "keys", "chunk_shape", "action keys", "expects"),
    _spoilt(
        *("wrong horizon", "a step too few", "horizon", "chunk_shape"),
        *("got shape (39,", "(40,"),
        short=True,
    ),
    _spoilt("NaN once", "one not-a-number in one answer", "nan:1", "non_finite"),
    _spoilt(
        *("NaN", "not-a-number in each answer", "nan", "non_finite"),
        *("nan in row", "fault at 2"),
        worse=True,
        short=True,
    ),
    _spoilt(
        *("infinity", "infinity in each answer", "inf", "non_finite"),
        *("inf in row", "fault at 2"),
        worse=True,
    ),
    _spoilt(
        *("huge value once", "1e6 rad in one answer", "huge:1", "position_limit"),
        *("fr3_joint", "rad or m, limits"),
    ),
    _spoilt(
        *("huge values", "1e6 rad", "huge", "position_limit"),
        *("refused in a row", "fr3_joint", "rad or m, limits"),
        worse=True,
        short=True,
    ),
    _spoilt(
        *("errors", "error replies that may pass", "error", "server_errors"),
        "CUDA out of memory",
        short=True,
    ),
    Fault(
        "error once",
        "one error reply that may pass",
        _answers("error=busy:1"),
        _well,
        expect="none: asked again (server_errors counts its time)",
        silent=True,
        observe=goes_on,
    ),
    _spoilt(
        *("error that needs a person", "error replies of a key that is missing"),
        *("error='wrist'", "chunk_shape", "'wrist'", "compare the embodiment file"),
    ),
    Fault(
        "no answer once",
        "one request is never answered",
        _answers("drop:1"),
        _well,
        expect="a hold or a pause, at most (inference_deadline, sidecar_dead)",
        words=UNANSWERED,
        observe=endures,
    ),
)

SILENT = (
    Fault(
        "server silent for good",
        "SIGSTOP, with sidecar_fault_s of 2 s",
        lambda rig: rig.send("sidecar", signal.SIGSTOP),
        lambda rig: rig.send("sidecar", signal.SIGCONT),
        "sidecar_dead",
        worse=True,
        words=(SERVER,),
    ),
)

ERRORS = (
    _spoilt(
        *("errors for good", "error replies, with server_errors_fault_s of 3 s"),
        *("error", "server_errors", "CUDA out of memory"),
        worse=True,
    ),
)

GROUPS = (
    Group("Policy server", (*PROCESS, *NETWORK)),
    Group("Server that stays silent", SILENT, (*BUSY, ("sidecar_fault_s", 2.0))),
    Group("Server that goes on with errors", ERRORS, (*BUSY, ("server_errors_fault_s", 3.0))),
    Group("Answers", ANSWERS),
)
