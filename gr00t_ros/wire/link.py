"""The node's connection to its policy server.

PolicyLink checks the server once, then queries it often, and checks again after a lost
connection. It owns the client and the request buffers of one embodiment, and is used from the
thread of wire/worker. Times are `time.monotonic_ns`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from gr00t_ros.errors import (
    Gr00tError,
    RefusedError,
    RemoteError,
    ResetError,
    SettingsError,
    UnreachableError,
    WireError,
)
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.observe.modality import (
    Difference,
    ModalityConfig,
    ModalityRow,
    compare,
    fit,
    wrong_rows,
)
from gr00t_ros.observe.readings import PoseReading, encode
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import POSES
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.watch.server import suspects
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.handshake import ServerInfo
from gr00t_ros.wire.robot_id import NamedEpisode
from gr00t_ros.wire.rtc import Action, Info, Rtc, RtcDialect, find_rtc, passes
from gr00t_ros.wire.template import RequestBuffers, RequestTemplate

Filled = TypeVar("Filled")

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the check found by sending zero observations.

    warmup_ns: duration of the first inference. inference_ns: of the second, which is warm.
    shapes: (H, D) of each action key. rtc: whether RTC will be asked for, and why not, in one line.
    """

    server: ServerInfo
    differences: tuple[Difference, ...]
    warmup_ns: int
    inference_ns: int
    shapes: Mapping[str, tuple[int, ...]]
    rtc: str = "off"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One query as it went over the wire.

    frame: the request; its memory is written again by the query after the next one. filled: what
    filled it returned.
    """

    server: ServerInfo
    frame: memoryview
    reply: bytes
    filled: object
    inference_ns: int


class PolicyLink:
    """Connects, compares modality configs, infers without motion, then answers queries."""

    def __init__(
        self,
        client: PolicyServerClient,
        embodiment: Embodiment,
        token: Token | None,
        strict: bool = False,
        now_ns: Callable[[], int] = time.monotonic_ns,
        wants_rtc: bool = False,
        robot_id: str = "",
        resets: bool = True,
        read_token: Callable[[], Token | None] | None = None,
        refuse: Callable[[ModalityConfig], None] | None = None,
    ) -> None:
        """Take over `client`; nothing is sent before `check` or `query`.

        strict: refuse a server for every difference, not only for those that cannot work.
        wants_rtc: let chunks continue each other, where the server proves that it does so.
        now_ns: the clock for inference times. It is the clock of the plans: in a simulation at
        half speed an inference counts half of its wall time. robot_id: a server that several robots
        ask must keep an episode for this one under it, or it is refused; "": not asked for.
        resets: the check resets the policy too; False for one that must disturb nobody's episode.
        read_token: each check takes the token that this returns, as a token may be renewed. It may
        raise SettingsError: the token before is kept then. refuse: raises RefusedError if a server
        with this config, which fits the embodiment, does not fit what the caller does besides.
        """
        self._client, self._embodiment, self._token = client, embodiment, token
        self._strict, self._now_ns, self._wants_rtc = strict, now_ns, wants_rtc
        self._resets, self._read_token, self._refuse = resets, read_token, refuse
        self.named = NamedEpisode(client, robot_id) if robot_id else None
        """What is known of this server's episode for `robot_id`; None without an id."""
        self._answered: Action | None = None
        self._buffers: RequestBuffers | None = None
        self._episode: int | None = None
        self._connection = 0
        self._probed_ns: int | None = None
        self.checked: CheckResult | None = None
        self.exchanged: Exchanged | None = None
        """The last query, if it was answered."""
        self.reset_ns = 0
        """When the last reset before a query was answered, steady time; 0 before the first."""
        self.rtc = Rtc()
        """What is known of this server's RTC."""
        self.rows: tuple[ModalityRow, ...] = ()
        """The last comparison with a server's modality config, whether it fits or not."""

    def check(self) -> CheckResult:
        """Connect and prove that this server can serve this embodiment.

        Raises RefusedError that names every fatal difference, or that the server does not know
        `robot_id`, and what `refuse` raises; ChunkError if the answer to a zero observation is not
        a chunk of the embodiment; and what the client raises. A RemoteError about a width names the
        state keys that it may be about.
        """
        try:
            return self._check()
        except ResetError:  # nothing was sent that has a width
            raise
        except RemoteError as error:
            keys = suspects(error.server_text, {s.key: s.width for s in self._embodiment.state})
            if not keys:
                raise
            sent = ", ".join(f"{s.key} {s.width}" for s in self._embodiment.state if s.key in keys)
            raise RemoteError(
                f"{error} (state as it was sent: {sent})", error.server_text
            ) from None

    def _renew_token(self) -> None:
        if self._read_token is None:
            return
        try:
            self._token = self._client.token = self._read_token()
        except SettingsError as error:
            _LOG.warning("%s: the token that was read before is used", error)

    def _check(self) -> CheckResult:
        self._renew_token()
        self.checked = self._probed_ns = self._answered = None
        server = self._client.connect(self._probe, self._on_server)
        found_ns = self._now_ns()
        self._connection = self._client.counts.connections
        differences = self._compare(server)
        template = self._template(server)
        warmup_ns = 0 if self._probed_ns is None else found_ns - self._probed_ns
        if self._probed_ns is None:  # otherwise finding the key style has inferred already
            _, warmup_ns = self._infer(template)
        action, inference_ns = self._infer(template)
        self._client.listen_once()  # a second answer would be taken for that to an observation
        shapes = {key: values.shape for key, values in action.items()}
        self.rtc = self._find_rtc(server)
        self._renew_buffers(server)
        self._episode = None
        self.checked = CheckResult(
            server, differences, warmup_ns, inference_ns, shapes, self.rtc.text
        )
        return self.checked

    def _renew_buffers(self, server: ServerInfo) -> None:
        """Make buffers with the options that this server applies, or without options."""
        dialect = self.rtc.dialect
        self._buffers = RequestBuffers(lambda: self._template(server, dialect))

    def _find_rtc(self, server: ServerInfo) -> Rtc:
        if not self._wants_rtc:
            return Rtc()
        if server.generation.is_n15:
            return Rtc(None, "not used: requests for N1.5 have no options")

        def ask(dialect: RtcDialect, overlap: Overlap | None) -> tuple[Action, Info]:
            template = self._template(server, dialect)
            template.set_overlap(overlap)
            action, _ = self._infer(template)
            return action, self._client.info

        return find_rtc(ask, self._embodiment.action_horizon, server.modality)

    def query(
        self, fill: Callable[[RequestTemplate], Filled], episode: int
    ) -> tuple[Filled, Action, int]:
        """Fill a template and send it; return `fill`'s result, the action and the inference ns.

        The server is reset at the first query of an episode, and nothing is sent before that has
        worked: a policy with a memory would go on in the episode before. After a failed exchange
        the next query checks the server again, since it may have been replaced. If the client had
        to reconnect during this query, the server is checked now, and the answer is dropped
        (UnreachableError).
        """
        self.exchanged = None
        if self.checked is None or self._buffers is None:
            self.check()
        assert self._buffers is not None  # check() made them or raised
        self._reset(episode)
        template = self._buffers.take()
        if template is None:
            raise RefusedError("no request buffer is free: a query is still in flight")
        return self._send(self._buffers, template, fill)

    def warm(self) -> None:
        """Infer a zero observation and drop the action, so that the server stays warm.

        The server is reset before the next query: a policy with memory must not remember this
        observation. Raises as `check` does. After any error except RemoteError, the next query
        checks the server again.
        """
        checked, self._episode, self._answered = self.checked, None, None
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

    @property
    def can_continue(self) -> bool:
        """Whether the server's last answer was to the last query, in the same episode.

        The server continues the chunk that it answered last: it must be the one that is followed.
        Ask it in `fill`, as a check or a reset may come before that.
        """
        return self._answered is not None

    @property
    def times_ns(self) -> tuple[int, int]:
        """When the last request was sent and its reply was there, steady time; 0: it was not."""
        return self._client.sent_ns, self._client.received_ns

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _infer(self, template: RequestTemplate) -> tuple[Action, int]:
        """Return the answer to a zero observation, and the inference time in ns."""
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
        before, self._answered = self._answered, None
        started_ns = self._now_ns()
        try:
            action = self._client.get_action(template)
        except RemoteError as error:
            buffers.give_back(template)
            self._refuse_unchecked()
            if self.rtc.dialect is not None and not passes(error):
                self._stop_rtc(f"the server answers an error: {error.server_text or '(no text)'}")
            raise
        except BaseException:
            buffers.drop(template)
            self.checked = None
            raise
        took_ns = self._now_ns() - started_ns
        buffers.give_back(template)
        self._refuse_unchecked()
        self._judge_rtc(template, before, action)
        self._answered = action
        if self.checked is not None:
            server, reply = self.checked.server, self._client.reply
            self.exchanged = Exchanged(server, template.frame, reply, filled, took_ns)
        return filled, action, took_ns

    def _judge_rtc(self, template: RequestTemplate, before: Action | None, action: Action) -> None:
        """Compare an answer that was to continue the one before, or nothing.

        If it does not, options are sent no more, and WireError is raised: the answer may continue
        a chunk of another robot or episode, which is not executed here.
        """
        info, why = self._client.info, ""
        if template.overlap is None:
            why = self.rtc.unasked(info)
        elif before is not None:
            why = self.rtc.judge(template.overlap, before, action, info)
        if why:
            self._stop_rtc(why)
            raise WireError(f"get_action: rtc: {why}: the answer is dropped, rtc is off")

    def _stop_rtc(self, why: str) -> None:
        """Send no options to this server any more."""
        self.rtc.stop(why)
        _LOG.warning("rtc: %s", self.rtc.text)
        if self.checked is not None:
            self._renew_buffers(self.checked.server)

    def _refuse_unchecked(self) -> None:
        """If the client reconnected since the check, check the server and drop its answer."""
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
        self._answered = None
        try:
            if self.named is None:
                self._client.begin_episode()
            else:
                self.named.reset()
        except RemoteError:
            raise  # not reset: the next query asks for it again before it sends anything
        except Gr00tError:
            self.checked = None
            raise
        self._episode, self.reset_ns = episode, self._client.received_ns

    def _on_server(self, server: ServerInfo) -> None:
        self._compare(server)
        if self._refuse is not None:
            self._refuse(server.modality)
        # An observation must not enter another robot's episode, so a reset comes before the first.
        if self.named is not None:
            self.named.find(server)
        elif self._resets and not server.generation.is_n15:
            self._client.begin_episode()

    def _probe(self, server: ServerInfo) -> RequestTemplate:
        template = self._template(server)
        self._probed_ns = self._now_ns()
        return template

    def _compare(self, server: ServerInfo) -> tuple[Difference, ...]:
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

    def _template(self, server: ServerInfo, rtc: RtcDialect | None = None) -> RequestTemplate:
        robot = self._embodiment
        template = RequestTemplate(
            {v.key: (len(v.delta_indices), v.height_px, v.width_px) for v in robot.video},
            {s.key: (len(s.delta_indices), s.width) for s in robot.state},
            robot.language_keys,
            generation=server.generation,
            key_style=server.key_style,
            array_codec=server.array_codec,
            token=self._token,
            rtc=rtc,
            horizon=robot.action_horizon,
            robot_id="" if self.named is None else self.named.requested_id,
        )
        for stream in robot.state:
            # Zeros are not a valid rotation, and a server needs one to undo relative actions.
            if stream.source in POSES:
                identity = np.array([0.0, 0.0, 0.0, 1.0])
                origin = PoseReading(np.zeros(3), identity, stream.frame or "")
                template.state[stream.key][:] = encode(stream, origin)
        return template
