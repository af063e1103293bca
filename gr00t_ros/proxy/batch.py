"""Requests of several robots as one of batch size B, and the reply's rows as replies to each.

Upstream's policy takes (B, T, ...) and runs a batch in one forward pass (wire.md 8 and 9).
`read_row` says which requests may be in one batch, `BatchMemory` makes the batch, `split` takes the
reply apart. A reply whose rows cannot be told apart beyond doubt is an error: no robot may get
another's chunk. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgpack
import numpy as np

from gr00t_ros.errors import WireError
from gr00t_ros.text_table import one_line
from gr00t_ros.wire import codec
from gr00t_ros.wire.arrays import ArrayCodec, array_prefix
from gr00t_ros.wire.envelope import DATA, Bytes

_CODECS: Final[tuple[ArrayCodec, ...]] = ("msgpack_numpy", "npy")
_OBSERVATION: Final = "observation"
_OPTIONS: Final = "options"
_RTC: Final = "rtc"
_BATCH_AXES: Final = 3  # of (B, T, D) and (B, H, D)
_MAX_TEXT: Final = 200  # characters of a server's error text
_PACKER: Final = msgpack.Packer()
_PLAIN: Final = (bool, int, float, type(None))
RTC_REFUSAL: Final = (
    "options of RTC are not forwarded by a proxy with --batch: the server continues the last chunk"
    " that it sent, which may be another robot's; turn RTC off, or start the proxy with --batch 1"
)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One robot's get_action request with batch size 1.

    key: equal for requests that may be in one batch, SHA-256 of: the codec, everything beside the
    observation, and names, dtypes and shapes of the observation. observation: its arrays
    (1, T, ...) and lists of one text.
    """

    key: bytes
    array_codec: ArrayCodec
    request: Mapping[str, Any] = field(repr=False)  # the server's token may be in it
    observation: Mapping[str, Any] = field(repr=False)


def read_row(frame: Bytes, max_bytes: int) -> BatchRow | None:
    """Return a get_action request as a row; None if it must be sent as it is.

    That is: a batch size other than 1, values that a batch cannot have, no array, arrays in two
    codecs, or bytes that do not decode. Raises `WireError` for RTC, which continues the chunk
    before: a server that several robots share does not know whose it was.
    """
    try:
        request, array_codec = _decode(frame, max_bytes)
    except WireError:
        return None
    data = request.get(DATA) if isinstance(request, dict) else None
    if array_codec is None or not isinstance(data, dict):
        return None
    options = data.get(_OPTIONS)
    if isinstance(options, dict) and any(str(name).startswith(_RTC) for name in options):
        raise WireError(RTC_REFUSAL)
    observation = data.get(_OBSERVATION, data)
    form = _form(observation)
    if form is None or not isinstance(observation, dict):
        return None
    beside = codec.encode(_without(request, _path(request)), array_codec)
    # What is kept of a client between its requests has no size that it could choose.
    key = sha256(repr((array_codec, beside, form)).encode("utf-8", "backslashreplace")).digest()
    return BatchRow(key, array_codec, request, observation)


class BatchMemory:
    """Memory for the frame of one batch at a time, used again for the next one.

    Fresh memory for 5.5 MB took 10 ms where this was measured, this one takes 1 ms. It grows to the
    largest batch. A frame in flight is never written to: call `drop` unless its reply has come.
    """

    def __init__(self) -> None:
        self._memory = bytearray()

    def stack(self, rows: Sequence[BatchRow]) -> memoryview:
        """Return one request of batch size ``len(rows)``; all rows have the same key.

        The bytes are those of `codec.encode`. They are valid until the next call.
        """
        parts: list[bytes | memoryview] = []
        _lay_out_request(rows[0].request, _path(rows[0].request), rows, parts)
        size = sum(map(len, parts))
        if len(self._memory) < size:
            self._memory = bytearray(size)
        frame, at = memoryview(self._memory)[:size], 0
        for part in parts:
            frame[at : at + len(part)] = part
            at += len(part)
        return frame

    def drop(self) -> None:
        """Leave the memory to a frame whose exchange failed: ZeroMQ may still use it."""
        self._memory = bytearray()


def split(frame: Bytes, count: int, max_bytes: int) -> list[bytes]:
    """Return the replies to `count` rows, in their order, in the codec of the batch's reply.

    Action: key -> (B, H, D), so each reply has (1, H, D). Info: as `own_info` says. Raises
    `WireError` for an error reply, and for a reply that has not B rows.
    """
    reply, array_codec = _decode(frame, max_bytes)
    if isinstance(reply, dict) and "error" in reply:
        raise WireError(f"an error: {one_line(str(reply['error']), _MAX_TEXT)}")
    has_info = isinstance(reply, list) and len(reply) == 2
    action, info = reply if has_info else (reply, {})
    if not isinstance(action, dict) or not action:
        raise WireError(f"{type(reply).__name__}, expected [action, info] or an action")
    for key, value in action.items():
        if not isinstance(value, np.ndarray) or value.ndim != _BATCH_AXES or len(value) != count:
            got = getattr(value, "shape", type(value).__name__)
            raise WireError(f"action {key!r:.80} of shape {got}, expected ({count}, H, D)")
    replies = []
    for row in range(count):
        own = {key: value[row : row + 1] for key, value in action.items()}
        reply = [own, own_info(info, slice(row, row + 1), count)] if has_info else own
        replies.append(codec.encode(reply, array_codec or "npy"))
    return replies


def own_info(info: object, rows: slice, count: int) -> dict[Any, Any]:
    """Return what belongs to `rows` of a reply's info for `count` rows.

    Arrays with an entry for each row are split. Numbers and truth values are given to every row;
    numpy's as plain ones, which every client can read. Everything else is left out, as nothing says
    to whom it belongs: a list may have any meaning. An info that is no map has nothing, as for
    `wire.messages.read_info`.
    """
    own: dict[Any, Any] = {}
    for key, value in info.items() if isinstance(info, Mapping) else ():
        if isinstance(value, np.ndarray) and value.ndim:
            if len(value) == count:
                own[key] = value[rows]
        elif isinstance(value, _PLAIN):
            own[key] = value
        elif isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biuf":
            own[key] = value.item()
    return own


def is_error(frame: Bytes, max_bytes: int) -> bool:
    """Whether a reply is an error, or no reply that could be read."""
    try:
        reply = codec.decode(frame, max_bytes)
    except WireError:
        return True
    return isinstance(reply, dict) and "error" in reply


def _decode(frame: Bytes, max_bytes: int) -> tuple[Any, ArrayCodec | None]:
    """Return the message and the one codec that its arrays have; those in another stay maps."""
    message: Any = None
    for array_codec in _CODECS:
        message = codec.decode(frame, max_bytes, (array_codec,))
        if _has_array(message):
            return message, array_codec
    return message, None


def _has_array(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_array, value.values()))
    return any(map(_has_array, value)) if isinstance(value, list) else isinstance(value, np.ndarray)


def _path(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the observation; N1.5's data is the observation itself (wire.md 3)."""
    return (DATA, _OBSERVATION) if _OBSERVATION in request[DATA] else (DATA,)


def _without(value: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return a request with nil in the place of its observation."""
    rest = _without(value[path[0]], path[1:]) if len(path) > 1 else None
    return {**value, path[0]: rest}


def _lay_out_request(
    value: Mapping[str, Any],
    path: tuple[str, ...],
    rows: Sequence[BatchRow],
    parts: list[bytes | memoryview],
) -> None:
    """Append the bytes of the first row's request, with the observations of all rows in it."""
    array_codec = rows[0].array_codec
    parts.append(_PACKER.pack_map_header(len(value)))
    for key, item in value.items():
        parts.append(codec.encode(key, array_codec))
        if key != path[0]:
            parts.append(codec.encode(item, array_codec))
        elif len(path) > 1:
            _lay_out_request(item, path[1:], rows, parts)
        else:
            _lay_out([row.observation for row in rows], array_codec, parts)


def _lay_out(
    values: Sequence[Any], array_codec: ArrayCodec, parts: list[bytes | memoryview]
) -> None:
    """Append the bytes of values of the same form, one behind the other on their first axis."""
    first = values[0]
    if isinstance(first, dict):
        parts.append(_PACKER.pack_map_header(len(first)))
        for key in first:
            parts.append(codec.encode(key, array_codec))
            _lay_out([value[key] for value in values], array_codec, parts)
    elif isinstance(first, list):
        parts.append(codec.encode([item for value in values for item in value], array_codec))
    else:
        parts.append(array_prefix(first.dtype, (len(values), *first.shape[1:]), array_codec))
        parts += [np.ascontiguousarray(value).reshape(-1).view(np.uint8).data for value in values]


def _form(value: object) -> Hashable | None:
    """Return names, dtypes and shapes of one row's observation; None if it cannot be stacked."""
    if isinstance(value, np.ndarray):
        # Fewer axes: N1.5's (T, ...) without batch.
        is_one = value.ndim >= _BATCH_AXES and len(value) == 1 and value.size > 0
        return (value.dtype.str, value.shape) if is_one else None
    if isinstance(value, list):
        return _text_form(value[0]) if len(value) == 1 else None
    if not isinstance(value, dict):
        return None
    forms = tuple((key, _form(item)) for key, item in value.items())
    return None if any(form is None for _, form in forms) else forms


def _text_form(item: object) -> Hashable | None:
    """A text, or a list of texts as under the language keys of nested observations."""
    if isinstance(item, str):
        return "text"
    is_texts = isinstance(item, list) and all(isinstance(text, str) for text in item)
    return ("texts", len(item)) if isinstance(item, list) and is_texts else None
