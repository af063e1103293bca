"""Gathers the rows that wait into one call of the policy, on one thread.

Not Ray Serve's `serve.batch`: that closes a batch when its wait is over, even while the policy is
busy. Sixteen robots that shared two replicas got batches of 1.3 rows from it where 4 were allowed
(ray 2.60, `./dev bench pool`). Here a batch is closed when the policy is free. Then it waits for
further rows until it is full or none came for the wait: robots ask again at once after a batch,
and two half batches would alternate otherwise. Each row that comes prolongs the wait, up to the
bound that the front counts with (admission.py).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.pool.admission import longest_wait_ns
from gr00t_ros.pool.rows import Reply, Row, RowCaller, batch_key, without_rtc
from gr00t_ros.serve.policies import Action, Policy, PolicyObservation


class Batcher:
    """Rows from many threads at once; the policy behind it is called from one."""

    def __init__(self, policy: Policy, rows: int, wait_s: float) -> None:
        """rows: most in one batch. wait_s: for the next row."""
        self.modality = policy.modality
        self._policy, self._call = policy, RowCaller(policy)
        self._rows, self._wait_ns = rows, round(wait_s * 1e9)
        self._waiting: deque[tuple[Row, Future[Reply]]] = deque()
        self._came = threading.Condition()
        self._last_ns = 0  # when the last row came, or the last batch ended
        self._began_ns: int | None = None
        self.batch_ns = 0
        """Time of the last call, ns."""
        threading.Thread(target=self._run, name="policy", daemon=True).start()

    def of(self, client: Hashable) -> ClientsPolicy:
        """Return the policy as this client sees it; it may be called from any thread."""
        return ClientsPolicy(self, client)

    def __call__(self, row: Row) -> Reply:
        """Return this row's reply from a batch; raise what the policy raised for it."""
        answer = Future[Reply]()
        batch_key(row)  # what has none raises here, for its client alone
        with self._came:
            self._waiting.append((row, answer))
            self._last_ns = time.monotonic_ns()
            self._came.notify()
        return answer.result()

    def busy_s(self) -> float:
        """Return for how long the policy's present call has lasted, 0 without one."""
        began_ns = self._began_ns
        return 0.0 if began_ns is None else (time.monotonic_ns() - began_ns) * 1e-9

    def _run(self) -> None:
        while True:
            batch = self._gathered()
            self._began_ns = began_ns = time.monotonic_ns()
            answers = self._call([row for row, _ in batch])
            self._began_ns, self._last_ns = None, time.monotonic_ns()
            self.batch_ns = self._last_ns - began_ns
            for (_, future), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _gathered(self) -> list[tuple[Row, Future[Reply]]]:
        """Return the next batch; the oldest rows go first."""
        with self._came:
            self._came.wait_for(lambda: self._waiting)
            longest_ns = longest_wait_ns(self._rows, self._wait_ns, self.batch_ns)
            latest_ns = time.monotonic_ns() + longest_ns
            while len(self._waiting) < self._rows:
                until_ns = min(self._last_ns + self._wait_ns, latest_ns)
                left_ns = until_ns - time.monotonic_ns()
                if left_ns <= 0:
                    break
                self._came.wait(left_ns * 1e-9)
            count = min(len(self._waiting), self._rows)
            return [self._waiting.popleft() for _ in range(count)]


@dataclass(frozen=True, slots=True)
class ClientsPolicy:
    """A policy for one client, which shares the policy's batches with others."""

    batcher: Batcher
    client: Hashable

    @property
    def modality(self) -> ModalityConfig:
        """That of the policy behind."""
        return self.batcher.modality

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return this client's reply from a batch; raise what the policy raised for it."""
        return self.batcher(Row(self.client, observation, without_rtc(options)))

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Reset nothing: the policy is that of other robots too."""
        return {}
