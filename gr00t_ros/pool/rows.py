"""Requests that a policy can answer in one call: which ones, stacked and split again.

Pure. A robot's row has batch size 1; one client may ask for several robots at once.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gr00t_ros.errors import ChunkError, ObservationError
from gr00t_ros.proxy.acceptance import SentAlone
from gr00t_ros.proxy.batch import own_info
from gr00t_ros.serve.policies import Action, Policy, PolicyObservation
from gr00t_ros.wire import codec

Reply = tuple[Action, Mapping[str, Any]]

AGAIN: Final = 1000  # of a GPU that was out of memory, these are some minutes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a client. observation: as `serve.policies.Policy` takes it."""

    client: Hashable
    observation: PolicyObservation = field(repr=False)
    options: Mapping[str, Any] | None = None


def batch_key(row: Row) -> Hashable:
    """Return what two rows must have in common to be stacked.

    That is: keys, dtypes and shapes of all arrays but for the batch axis, the language keys, and
    equal options. One pool serves one embodiment. Raises `ObservationError` if batch sizes differ,
    and anything for what has none.
    """
    observation = row.observation
    arrays = tuple(
        (name, key, value.dtype.str, value.shape[1:])
        for name in ("video", "state")
        for key, value in observation[name].items()
    )
    sizes = {len(value) for part in observation.values() for value in part.values()}
    if len(sizes) > 1:
        raise ObservationError(f"all keys must have batch size {min(sizes)}. Got {max(sizes)}")
    return arrays, tuple(observation["language"]), codec.encode(row.options, "msgpack_numpy")


def without_rtc(options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the options without those of RTC; None if none is left.

    A server continues the last chunk that it sent. In a pool that may be another robot's chunk, so
    the policy is not asked to: a client sees that RTC was not applied, and goes on without.
    """
    kept = {key: value for key, value in (options or {}).items() if not str(key).startswith("rtc")}
    return kept or None


def sizes_of(rows: Sequence[Row]) -> list[int]:
    """Return the batch size of each row."""
    return [len(next(iter(row.observation["video"].values()))) for row in rows]


def stack(rows: Sequence[Row]) -> tuple[PolicyObservation, Mapping[str, Any] | None]:
    """Return the observation and the options of rows of one `batch_key`."""
    observations = [row.observation for row in rows]
    first = observations[0]
    whole: dict[str, dict[str, Any]] = {
        name: {key: np.concatenate([one[name][key] for one in observations]) for key in first[name]}
        for name in ("video", "state")
    }
    whole["language"] = {
        key: [text for one in observations for text in one["language"][key]]
        for key in first["language"]
    }
    return whole, rows[0].options


def split(reply: Reply, sizes: Sequence[int]) -> list[Reply]:
    """Return the part of each row of a stacked reply; of info what `proxy.batch.own_info` says.

    Raises `ChunkError` if a key has another batch size than was asked for.
    """
    action, info = reply
    for key, value in action.items():
        if len(value) != sum(sizes):
            raise ChunkError(
                f"Action key '{key}' must have batch size {sum(sizes)}. Got {len(value)}"
            )
    ends = np.cumsum(sizes)
    parts = {key: np.split(value, ends[:-1]) for key, value in action.items()}
    return [
        (
            {key: parts[key][at] for key in parts},
            own_info(info, slice(end - size, end), sum(sizes)),
        )
        for at, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]


class RowCaller:
    """Calls a policy for rows: stacked where their keys are equal, singly where that fails.

    A stacked call that fails is repeated row by row, so that one bad row fails alone; its client's
    next rows are called alone until one passes. If all rows succeed alone, the policy cannot do
    batches now, and is not asked to for the next AGAIN ones.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._alone = 0  # so many batches more are asked row by row
        self._bad = SentAlone()

    def __call__(self, rows: Sequence[Row]) -> list[Reply | Exception]:
        """Return each row's reply, or what the policy raised for it."""
        answers: dict[int, Reply | Exception] = {}
        for places in self._groups(rows):
            group = [rows[at] for at in places]
            answers |= zip(places, self._answer(group), strict=True)
        return [answers[at] for at in range(len(rows))]

    def _groups(self, rows: Sequence[Row]) -> Iterator[Sequence[int]]:
        groups: dict[Hashable, list[int]] = {}
        for at, row in enumerate(rows):
            groups.setdefault(at if row.client in self._bad else batch_key(row), []).append(at)
        yield from groups.values()

    def _answer(self, rows: Sequence[Row]) -> list[Reply | Exception]:
        if len(rows) > 1 and not self._alone:
            try:
                return [*split(self._policy(*stack(rows)), sizes_of(rows))]
            except Exception as error:  # a policy may raise anything
                alone = [self._single(row) for row in rows]
                self._learn(rows, alone, error)
                return alone
        self._alone -= len(rows) > 1
        return [self._single(row) for row in rows]

    def _learn(
        self, rows: Sequence[Row], alone: Sequence[Reply | Exception], error: Exception
    ) -> None:
        """A stacked call raised `error`; alone: what its rows got one by one."""
        answers = zip(rows, alone, strict=True)
        failed = [row.client for row, answer in answers if isinstance(answer, Exception)]
        if not failed:
            self._alone = AGAIN
            log.warning("the policy takes one row at a time: %s", error)
        elif len(failed) < len(rows):  # else the policy refuses everything now
            for client in failed:
                self._bad.add(client)

    def _single(self, row: Row) -> Reply | Exception:
        try:
            reply = self._policy(row.observation, row.options)
        except Exception as error:  # it is the client's reply
            return error
        self._bad.passed(row.client)
        return reply
