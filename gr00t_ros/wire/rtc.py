"""Real-time chunking over the wire: the options of both dialects, and the proof that they work.

Servers ignore options that they do not know (wire.md 10), so only an answer can prove that a server
applies them: its first steps are those of the chunk before. The check asks for that with zero
observations, and each later answer is compared too. No sockets.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ChunkError, RemoteError, WireError
from gr00t_ros.observe.modality import ModalityConfig, relative_keys
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.watch.server import OTHER, Outlook, kind_of

Action = Mapping[str, NDArray[np.float32]]
Info = Mapping[str, bool | int | float | str]

APPLIED: Final = "rtc_applied"
"""Key of a reply's info, true: the answer continues the chunk before (public forks)."""
REANCHORED: Final = "rtc_reanchored"
"""Key of a reply's info, true: the chunk before was moved to the new observation's state first.

A server with relative actions predicts them from the state that was sent. The frozen steps are
those of the chunk before only if their anchor is changed too. The key is ours.
"""

RAMP_RATE: Final = 6.0  # LeRobot's default for GR00T (data.md 6)
DENOISING_STEPS: Final = 4  # of upstream's checkpoints

# What a server may lose on the way through its normalised bfloat16 values, which have 8 bits.
_LOST_SHARE: Final = 4e-3
_LOST: Final = 1e-3  # rad, m, or a gripper's share
_UNASKED: Final = f"the server says {APPLIED} although it was asked not to"


class RtcDialect(Enum):
    """A form of the options that public servers read (data.md 6); the value is for people."""

    MAP = "options.rtc"
    FLAT = "flat options"


def rtc_options(dialect: RtcDialect, horizon: int, overlap: Overlap | None) -> dict[str, Any]:
    """The options of one request; `overlap` None: the answer must continue nothing.

    A server of the flat dialect may remember its answer only if the request had options: they are
    sent in any case. It has no executed_steps: it takes the last rtc_overlap_steps of the chunk.
    """
    steps = overlap or Overlap(0, 0, 0)
    if dialect is RtcDialect.FLAT:
        return {
            "action_horizon": horizon,
            "rtc_overlap_steps": steps.overlap_steps,
            "rtc_frozen_steps": steps.frozen_steps,
            "rtc_ramp_rate": RAMP_RATE,
            "denoising_steps": DENOISING_STEPS,
        }
    rtc = {
        "enabled": overlap is not None,
        "executed_steps": steps.executed_steps,
        "overlap_steps": steps.overlap_steps,
        "frozen_steps": steps.frozen_steps,
        "ramp_rate": RAMP_RATE,
    }
    return {"rtc": rtc}


def pack_options(value: Mapping[str, Any] | bool | int | float | str) -> bytes:
    """Msgpack bytes of the same length for all numbers: every int has 4 bytes, a float 8."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">BI", 0xCE, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    packer = msgpack.Packer()
    if isinstance(value, str):
        return bytes(packer.pack(value))
    parts = [bytes(packer.pack_map_header(len(value)))]
    for key, item in value.items():
        parts += [bytes(packer.pack(key)), pack_options(item)]
    return b"".join(parts)


def broken_promise(before: Action, action: Action, overlap: Overlap) -> str:
    """How the frozen steps of `action` differ from the chunk before; empty if they are its steps.

    Both: key -> (H, D). What the rounding to bfloat16 loses is allowed.
    """
    frozen, first = overlap.frozen_steps, overlap.executed_steps
    for key, rows in action.items():
        expected = before[key][first : first + frozen] if key in before else rows[:0]
        got = rows[:frozen]
        if got.shape != expected.shape:
            return f"{key} has {got.shape} frozen values, expected {expected.shape}"
        wrong = np.abs(got - expected) > _LOST + _LOST_SHARE * np.abs(expected)  # NaN: not judged
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            return (
                f"step {row} of {key}, value {column}, is {got[row, column]:.6g}, expected "
                f"{expected[row, column]:.6g} as in step {first + row} of the chunk before"
            )
    return ""


@dataclass(slots=True)
class Rtc:
    """What one link knows of its server's RTC.

    dialect: how to ask for it, None: not at all, and `why` says why. asked: requests that asked for
    it. applied: those of them whose answer kept the frozen steps.
    """

    dialect: RtcDialect | None = None
    why: str = "off"
    relative: tuple[str, ...] = ()
    asked: int = 0
    applied: int = 0

    @property
    def text(self) -> str:
        """The state in one line."""
        if self.dialect is None:
            return self.why
        used = f": applied to {self.applied} of {self.asked} requests that asked for it"
        return f"on ({self.dialect.value}, proven at the check){used if self.asked else ''}"

    def stop(self, why: str) -> None:
        """Do not ask for it again before the next check."""
        self.dialect, self.why = None, f"not used: {why}"

    def judge(self, overlap: Overlap, before: Action, action: Action, info: Info) -> str:
        """Count the answer to a request with this overlap; returns why it must be the last one.

        before, action: key -> (H, D) float32. Empty if the frozen steps are kept, or if the
        server says that it did not apply it.
        """
        self.asked += 1
        says = info.get(APPLIED) is True
        if self.dialect is RtcDialect.MAP and not says:
            return ""
        broken = broken_promise(before, action, overlap)
        if broken:
            return f"{f'the server says {APPLIED} and ' if says else ''}{broken}"
        if self.relative and info.get(REANCHORED) is not True:
            return _not_reanchored(self.relative)
        self.applied += 1
        return ""

    def unasked(self, info: Info) -> str:
        """Why an answer that was to continue nothing must be the last one; empty if it is free.

        The flat dialect has no word for it.
        """
        return _UNASKED if self.dialect is RtcDialect.MAP and info.get(APPLIED) is True else ""


Ask = Callable[[RtcDialect, Overlap | None], tuple[Action, Info]]


def find_rtc(ask: Ask, horizon: int, modality: ModalityConfig) -> Rtc:
    """Find the dialect that the server applies, by `ask(dialect, overlap)` with zero observations.

    An error of the server, or an answer that is no chunk, ends the attempt with that dialect. An
    error that may pass, such as busy, is raised.
    """
    relative = relative_keys(modality)
    half = horizon // 2
    if half == 0:
        return Rtc(None, "not used: a chunk of one step has nothing to continue", relative)
    overlap = Overlap(half, horizon - half, (horizon - half + 1) // 2)
    reasons = []
    for dialect, try_it in ((RtcDialect.MAP, _why_not_map), (RtcDialect.FLAT, _why_not_flat)):
        try:
            why = try_it(ask, overlap, relative)
        except RemoteError as error:
            if passes(error):
                raise
            why = f"the server answers an error: {error.server_text or '(no text)'}"
        except (ChunkError, WireError) as error:
            why = f"the answer cannot be used: {error}"
        if not why:
            return Rtc(dialect, "", relative)
        reasons.append(f"{dialect.value}: {why}")
    return Rtc(None, f"not used: {'; '.join(reasons)}", relative)


def passes(error: RemoteError) -> bool:
    """Whether the error is known to pass by itself, so that it says nothing about options."""
    kind = kind_of(error.server_text)
    return kind.outlook is Outlook.PASSES and kind is not OTHER


def _why_not_map(ask: Ask, overlap: Overlap, relative: tuple[str, ...]) -> str:
    before, info = ask(RtcDialect.MAP, None)
    if info.get(APPLIED) is True:
        return _UNASKED
    action, info = ask(RtcDialect.MAP, overlap)
    if info.get(APPLIED) is not True:
        return f"the server does not say {APPLIED}"
    broken = broken_promise(before, action, overlap)
    if broken:
        return f"the server says {APPLIED} and {broken}"
    if relative and info.get(REANCHORED) is not True:
        return _not_reanchored(relative)
    return ""


def _why_not_flat(ask: Ask, overlap: Overlap, relative: tuple[str, ...]) -> str:
    """The same question with and without an overlap: only the answer with it may continue."""
    if relative:
        return f"nothing in a reply could say {REANCHORED}, and {', '.join(relative)} is relative"
    before, _ = ask(RtcDialect.FLAT, None)
    action, _ = ask(RtcDialect.FLAT, overlap)
    if broken_promise(before, action, overlap):
        return "the server ignores them"
    free, _ = ask(RtcDialect.FLAT, None)
    if not broken_promise(before, free, overlap):
        return "cannot be told: its chunks continue each other without them too"
    return ""


def _not_reanchored(relative: tuple[str, ...]) -> str:
    return f"the server does not say {REANCHORED}, and {', '.join(relative)} is relative"
