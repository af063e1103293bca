"""A get_action request whose bytes are laid out once, with slots to write observations into.

The request of one embodiment always has the same shape, so only pixels, state values and the
instruction are written per request (performance.md, Wire).

A frame in flight is never written to: ZeroMQ sends directly from this memory and may still use it
after a timeout. `RequestBuffers` keeps two templates: one can be filled while the other is in
flight. It replaces a template whose exchange failed, as ZeroMQ may still use that memory.
"""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.arrays import ArrayCodec, array_prefix
from gr00t_ros.wire.messages import Generation, KeyStyle, get_action_request
from gr00t_ros.wire.robot_id import named
from gr00t_ros.wire.rtc import RtcDialect, pack_options, rtc_options

MAX_INSTRUCTION_BYTES: Final = 4096
# The kernel took twice as long to copy a frame that starts on a page boundary (AMD, loopback,
# `./dev bench wire`): its own buffers start there too, and equal offsets alias in `rep movsb`.
FRAME_OFFSET: Final = 2048


@dataclass(frozen=True, slots=True)
class _Slot:
    """The space for one array in the message."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _Instruction(str):
    """The space for the instruction: one for each language key, after all arrays."""


class _Options(dict[str, Any]):
    """The space for the options, of a fixed size, after the instruction."""


_Part = bytes | _Slot | _Instruction | _Options


class RequestTemplate:
    """One get_action request in one preallocated frame, batch size 1.

    `video[key]` is a writable C-contiguous (1, T, H, W, 3) uint8 view into the frame, so that
    ``video[key][0, t]`` can be the ``dst=`` of OpenCV. `state[key]` is a writable (1, T, D)
    float32 view. All values start at zero. `frame` is sent over the wire; it is byte-identical to
    `codec.encode` of `messages.get_action_request` with the same values. With `rtc` the
    numbers of its options have a fixed size instead: it decodes to the same message. A `robot_id`
    is in the options too.

    Not thread-safe: one owner at a time, and no writes while the frame is in flight.
    """

    def __init__(
        self,
        video: Mapping[str, tuple[int, int, int]],
        state: Mapping[str, tuple[int, int]],
        language_key: str | Sequence[str],
        *,
        generation: Generation,
        key_style: KeyStyle,
        array_codec: ArrayCodec | None = None,
        token: Token | None = None,
        instruction: str = "",
        rtc: RtcDialect | None = None,
        horizon: int = 0,
        robot_id: str = "",
    ) -> None:
        """Lay out a request for `video` key -> (T, H, W) and `state` key -> (T, D).

        `language_key`: one key or several; the instruction is placed under each. rtc: the form of
        the options, None: without those of RTC. horizon: steps of a chunk, for them. robot_id: the
        name of the robot in the options, "": none. N1.5 has no options.
        """
        self._rtc, self._horizon, self._robot_id = rtc, horizon, robot_id
        self.overlap: Overlap | None = None
        """The overlap now in the frame; None: the answer must continue nothing."""
        language_keys = (language_key,) if isinstance(language_key, str) else tuple(language_key)
        videos = {k: _Slot((1, *shape, 3), np.dtype("u1")) for k, shape in video.items()}
        states = {k: _Slot((1, *shape), np.dtype("<f4")) for k, shape in state.items()}
        message = get_action_request(
            videos,
            states,
            language_keys,
            _Instruction(),
            generation,
            key_style,
            None if token is None else token.reveal(),
            named(None, robot_id) if rtc is None else _Options(self._rtc_options(rtc)),
        )
        parts: list[_Part] = []
        _lay_out(message, array_codec or generation.array_codec, parts)
        text_at = next(i for i, part in enumerate(parts) if isinstance(part, _Instruction))
        fixed = sum(part.size if isinstance(part, _Slot) else len(_packed(part)) for part in parts)
        texts = len(language_keys) * (MAX_INSTRUCTION_BYTES + 5)
        self._memory = mmap.mmap(-1, FRAME_OFFSET + fixed + texts)
        arrays, self._text_at = _write(self._memory, parts[:text_at])
        self._tail = tuple(part for part in parts[text_at:] if not isinstance(part, _Slot))
        self.video: dict[str, NDArray[np.uint8]] = dict(zip(videos, arrays, strict=False))
        self.state: dict[str, NDArray[np.float32]] = dict(
            zip(states, arrays[len(videos) :], strict=True)
        )
        self._instruction: str | None = None
        self.set_instruction(instruction)

    @property
    def frame(self) -> memoryview:
        """The whole request, not a copy."""
        return self._frame

    @property
    def instruction(self) -> str:
        """The instruction now in the frame."""
        return self._instruction or ""

    def set_instruction(self, text: str) -> None:
        """Put `text` into the frame; only the bytes from the instruction on are written.

        Raises `ObservationError` for more than 4096 bytes of UTF-8 or invalid Unicode.
        """
        if text == self._instruction:
            return
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise ObservationError(f"instruction is no valid Unicode text: {error}") from error
        if size > MAX_INSTRUCTION_BYTES:
            raise ObservationError(
                f"instruction of {size} bytes, expected at most {MAX_INSTRUCTION_BYTES}"
            )
        self._instruction = text
        end = self._write_tail()
        self._frame = memoryview(self._memory)[FRAME_OFFSET:end]

    def set_overlap(self, overlap: Overlap | None) -> None:
        """Put the overlap into the options; a request without options stays as it is."""
        if self._rtc is None or overlap == self.overlap:
            return
        self.overlap = overlap
        self._write_tail()

    def _rtc_options(self, rtc: RtcDialect) -> Mapping[str, Any]:
        options = rtc_options(rtc, self._horizon, self.overlap)
        return {**options, **(named(None, self._robot_id) or {})}

    def _write_tail(self) -> int:
        """Write what follows the arrays: instruction, options and token; returns its end."""
        text = bytes(msgpack.packb(self._instruction))
        options = b""
        if self._rtc is not None:
            options = pack_options(self._rtc_options(self._rtc))
        tail = b""
        for part in self._tail:
            changed = text if isinstance(part, _Instruction) else options
            tail += part if isinstance(part, bytes) else changed
        end = self._text_at + len(tail)
        self._memory[self._text_at : end] = tail
        return end


class RequestBuffers:
    """The two request frames of one client: one in flight, one to fill.

    Safe between two threads, where one takes and the other returns. Return a template with
    `give_back` after its reply, or with `drop` after a failed exchange. ZeroMQ may still use a
    dropped frame: its memory is left alone and a new template replaces it.
    """

    COUNT: Final = 2

    def __init__(self, build: Callable[[], RequestTemplate]) -> None:
        self._build = build
        self._free = deque(build() for _ in range(self.COUNT))

    def take(self) -> RequestTemplate | None:
        """Return a free template, or None while both are taken."""
        try:
            return self._free.popleft()
        except IndexError:
            return None

    def give_back(self, template: RequestTemplate) -> None:
        """Take back a template whose reply has arrived or that was never sent."""
        self._free.append(template)

    def drop(self, template: RequestTemplate) -> None:
        """Replace a template whose exchange failed; it must not be written again."""
        replacement = self._build()
        replacement.set_instruction(template.instruction)
        self._free.append(replacement)


def _packed(part: bytes | _Instruction | _Options) -> bytes:
    """The bytes that the part takes at least."""
    if isinstance(part, _Options):
        return pack_options(part)
    return b"" if isinstance(part, _Instruction) else part


def _lay_out(value: object, array_codec: ArrayCodec, parts: list[_Part]) -> None:
    """Append the msgpack bytes of `value` to `parts`; slots, instruction, options stay open."""
    packer = msgpack.Packer()
    if isinstance(value, _Slot):
        parts += [array_prefix(value.dtype, value.shape, array_codec), value]
    elif isinstance(value, _Instruction | _Options):
        parts.append(value)
    elif isinstance(value, dict):
        parts.append(bytes(packer.pack_map_header(len(value))))
        for key, item in value.items():
            parts.append(bytes(packer.pack(key)))
            _lay_out(item, array_codec, parts)
    elif isinstance(value, list):
        parts.append(bytes(packer.pack_array_header(len(value))))
        for item in value:
            _lay_out(item, array_codec, parts)
    else:
        parts.append(bytes(packer.pack(value)))


def _write(memory: mmap.mmap, parts: list[_Part]) -> tuple[list[NDArray[Any]], int]:
    """Write `parts` to `memory`; return the views of the slots and the offset after them."""
    offset = FRAME_OFFSET
    views: list[NDArray[Any]] = []
    for part in parts:
        if isinstance(part, _Slot):
            views.append(np.ndarray(part.shape, part.dtype, memory, offset))
            offset += part.size
        elif isinstance(part, bytes):
            memory[offset : offset + len(part)] = part
            offset += len(part)
    return views, offset
