"""The node's connection to its policy server: check once, query often, check again after a loss.

Owns the client and the request buffers of one embodiment. One owner thread, the worker's.
It refuses to know where an observation comes from: `fill` writes it into the template.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.chunk import from_reply
from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import Gr00tError, RefusedError, RemoteError, UnreachableError
from gr00t_ros.core.fit import Row, fit
from gr00t_ros.core.modality import Difference, compare
from gr00t_ros.core.server_error import OTHER, Outlook, kind_of, suspects
from gr00t_ros.core.state import PoseReading, encode
from gr00t_ros.sidecar.client import PolicyClient, Server
from gr00t_ros.sidecar.fit_text import wrong_rows
from gr00t_ros.sidecar.template import RequestBuffers, RequestTemplate
from gr00t_ros.sidecar.token import Token

Filled = TypeVar("Filled")
Action = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Check:
    """What the check found, with zero observations.

    warmup_ns: the server's first inference for us. inference_ns: the second, which is warm.
    shapes: (H, D) of each action key.
    """

    server: Server
    differences: tuple[Difference, ...]
    warmup_ns: int
    inference_ns: int
    shapes: Mapping[str, tuple[int, ...]]


class Link:
    """Connects, compares modalities, infers once without motion, then answers queries."""

    def __init__(
        self,
        client: PolicyClient,
        embodiment: Embodiment,
        token: Token | None,
        strict: bool = False,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take over `client`; nothing is sent before `check` or `query`.

        now_ns: the clock that inferences are timed by. Plans run on it, so that a simulation at
        half speed counts half of what a person waits.

        strict: refuse a server for every difference, also for those that it tolerates.
        """
        self._client, self._embodiment, self._token = client, embodiment, token
        self._strict, self._now_ns = strict, now_ns
        self._buffers: RequestBuffers | None = None
        self._episode: int | None = None
        self._connection = 0
        self._probed_ns: int | None = None
        self.checked: Check | None = None
        self.rows: tuple[Row, ...] = ()
        """The last comparison with a server's modality config, whether it fitted or not."""

    def check(self) -> Check:
        """Connect and prove that this server can serve this embodiment.

        Raises RefusedError that names every fatal difference, ChunkError when the answer to a
        zero observation is no chunk of the embodiment, and what the client raises; a RemoteError
        about a width names the state keys that it may mean.
        """
        try:
            return self._check()
        except RemoteError as error:
            keys = suspects(error.said, {s.key: s.width for s in self._embodiment.state})
            if not keys:
                raise
            sent = ", ".join(f"{s.key} {s.width}" for s in self._embodiment.state if s.key in keys)
            raise RemoteError(f"{error} (state as it was sent: {sent})", error.said) from None

    def _check(self) -> Check:
        self.checked = self._probed_ns = None
        server = self._client.connect(self._probe)
        found_ns = self._now_ns()
        self._connection = self._client.counts.connections
        differences = self._compare(server)
        buffers = RequestBuffers(lambda: self._template(server))
        template = self._template(server)
        warmup_ns = 0 if self._probed_ns is None else found_ns - self._probed_ns
        if self._probed_ns is None:  # else the search for the key style has inferred already
            _, warmup_ns = self._infer(template)
        action, inference_ns = self._infer(template)
        shapes = {key: values.shape for key, values in action.items()}
        self._buffers, self._episode = buffers, None
        self.checked = Check(server, differences, warmup_ns, inference_ns, shapes)
        return self.checked

    def query(
        self, fill: Callable[[RequestTemplate], Filled], episode: int
    ) -> tuple[Filled, Action, int]:
        """Fill a template, send it, return what `fill` returned, the action, and the inference ns.

        The server is reset at the first query of an episode. After a failed exchange the next
        query checks again, since another server may have taken the place of the lost one; so
        does this one where the client had to connect anew, and drops the answer (UnreachableError).
        """
        if self.checked is None or self._buffers is None:
            self.check()
        assert self._buffers is not None  # check() made them or raised
        self._reset(episode)
        template = self._buffers.take()
        if template is None:
            raise RefusedError("no request buffer is free: a query is still in flight")
        return self._send(self._buffers, template, fill)

    def warm(self) -> None:
        """Infer a zero observation and forget it, so that the server stays ready to answer fast.

        The server is reset before the next query: a policy with a memory must not keep this one.
        Raises as `check` does; but for the server's own error text the next query or check then
        checks again.
        """
        checked, self._episode = self.checked, None
        if checked is None:
            self.check()
            return
        try:
            self._client.get_action(self._template(checked.server))
        except RemoteError:
            self._refuse_unchecked()
            raise
        except Gr00tError:
            self.checked = None
            raise
        self._refuse_unchecked()

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _infer(self, template: RequestTemplate) -> tuple[Action, int]:
        """Return the answer to a zero observation, and how long it took in ns."""
        started_ns = self._now_ns()
        action = self._client.get_action(template)
        took_ns = self._now_ns() - started_ns
        from_reply(self._embodiment, action, sequence=0, episode=0, stamp_ns=0)
        return action, took_ns

    def _send(
        self,
        buffers: RequestBuffers,
        template: RequestTemplate,
        fill: Callable[[RequestTemplate], Filled],
    ) -> tuple[Filled, Action, int]:
        try:
            filled = fill(template)
        except BaseException:
            buffers.give_back(template)
            raise
        started_ns = self._now_ns()
        try:
            action = self._client.get_action(template)
        except RemoteError:
            buffers.give_back(template)
            self._refuse_unchecked()
            raise
        except BaseException:
            buffers.drop(template)
            self.checked = None
            raise
        took_ns = self._now_ns() - started_ns
        buffers.give_back(template)
        self._refuse_unchecked()
        return filled, action, took_ns

    def _refuse_unchecked(self) -> None:
        """Check what is behind a connection made since the check, and never use its answer."""
        if self._client.counts.connections == self._connection:
            return
        self.check()
        raise UnreachableError(
            f"{self._client.address}: the connection was lost; the server that is there now fits, "
            "its first answer is dropped"
        )

    def _reset(self, episode: int) -> None:
        if episode == self._episode:
            return
        try:
            self._client.reset()
        except RemoteError as error:
            kind = kind_of(error.said)
            if kind.outlook is Outlook.PASSES and kind is not OTHER:
                raise  # busy: it was not reset, and is before anything is asked
            # else a server without episodes, which has nothing to forget
        except Gr00tError:
            self.checked = None
            raise
        self._episode = episode

    def _probe(self, server: Server) -> RequestTemplate:
        self._compare(server)
        template = self._template(server)
        self._probed_ns = self._now_ns()
        return template

    def _compare(self, server: Server) -> tuple[Difference, ...]:
        differences = compare(self._embodiment, server.modality)
        self.rows = fit(self._embodiment, server.modality)
        wrong = wrong_rows(self.rows, self._strict)
        if wrong:
            listed = "\n".join(f"  - {row.text}" for row in wrong)
            raise RefusedError(
                f"{self._client.address} does not fit embodiment {self._embodiment.robot} "
                f"({self._embodiment.source}):\n{listed}"
            )
        return differences

    def _template(self, server: Server) -> RequestTemplate:
        robot = self._embodiment
        template = RequestTemplate(
            {v.key: (len(v.delta_indices), v.height_px, v.width_px) for v in robot.video},
            {s.key: (len(s.delta_indices), s.width) for s in robot.state},
            robot.language_keys,
            generation=server.generation,
            key_style=server.key_style,
            array_codec=server.array_codec,
            token=self._token,
        )
        for stream in robot.state:
            if stream.source in (
                "pose",
                "tf",
            ):  # zeros say no rotation, and a server undoes actions by it
                unturned = np.array([0.0, 0.0, 0.0, 1.0])
                origin = PoseReading(np.zeros(3), unturned, stream.frame or "")
                template.state[stream.key][:] = encode(stream, origin)
        return template
