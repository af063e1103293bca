"""Starts a policy server by its profile, reports when it is ready, restarts it, and ends it.

The supervisor has a thread of its own. `start`, `stop` and `state` return at once and may be
called from any thread. A server that does not answer within the profile's ready_timeout_s is
ended. After its first answer only its process is watched.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gr00t_ros.errors import DeadlineError, Gr00tError, LaunchError, UnreachableError
from gr00t_ros.serve.front import RateLimit, Wake
from gr00t_ros.supervise.launcher import (
    client_host,
    folder_of,
    listens_beyond,
    port_of,
    prepare,
    redactor,
)
from gr00t_ros.supervise.license import acknowledged, strictest_terms
from gr00t_ros.supervise.profile import Overrides, Profile
from gr00t_ros.supervise.watched_server import WatchedServer
from gr00t_ros.wire.address import LOOPBACK
from gr00t_ros.wire.client import PolicyServerClient

Severity = Literal["info", "warning", "error"]
WriteLog = Callable[[Severity, str], None]

_PROBE_S: Final = 0.25
_CONNECT_S: Final = 0.2
_PING_MS: Final = 1000
_LINES_HZ: Final = 50.0
_SHOWN_LINES: Final = 3


class Phase(enum.Enum):
    """The state of a supervised policy server. Only READY answers requests."""

    WAITING = "waiting"  # until the previous server has ended
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"  # it ended; the next start follows after a pause
    FAILED = "failed"  # it is not started again
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a server is restarted.

    limit: number of restarts. The pause before each doubles, from first_s to longest_s. After a
    server was ready for healthy_s the count begins again.
    """

    limit: int = 5
    first_s: float = 1.0
    longest_s: float = 60.0
    healthy_s: float = 60.0

    def pause_s(self, number: int) -> float:
        """Return the pause before restart `number`, from 1."""
        return min(self.first_s * 2.0 ** min(number - 1, 60), self.longest_s)


@dataclass(frozen=True, slots=True)
class SidecarState:
    """The state of a supervised server at one moment.

    trouble: why the last run ended, empty when a server is ready. exit_code: of that run, negative
    for a signal. for_s: time in this phase. restart: how many of `restarts` are used.
    license: what license.acknowledged returned.
    """

    profile: str
    host: str
    port: int
    license: str
    phase: Phase = Phase.WAITING
    trouble: str = ""
    exit_code: int | None = None
    pid: int | None = None
    last_line: str = ""
    for_s: float = 0.0
    pause_s: float = 0.0
    restart: int = 0
    restarts: int = 0

    @property
    def ready(self) -> bool:
        """Whether the server has answered on host:port and has not ended since."""
        return self.phase is Phase.READY

    def __str__(self) -> str:
        number = f"restart {self.restart} of {self.restarts}"
        if self.phase is Phase.LOADING and self.trouble:
            return f"loading, {number} after: {self.trouble}"
        if self.phase is Phase.RESTARTING:
            return f"{self.trouble}; {number} in {self.pause_s:.1f} s"
        if self.phase is Phase.FAILED:
            used = f" ({number} used)" if self.restart else ""
            return f"failed: {self.trouble}{used}"
        return str(self.phase.value)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How one run ended. healthy_s: how long it was ready. final: another start would fail too."""

    trouble: str
    exit_code: int | None = None
    healthy_s: float = 0.0
    final: bool = False


class Supervisor:
    """Keeps one policy server running until `stop`."""

    def __init__(
        self,
        profile: Profile,
        overrides: Overrides | None = None,
        log: WriteLog = lambda _severity, _text: None,
        *,
        accept_noncommercial: bool = False,
        restarts: Restarts | None = None,
        after: Supervisor | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Choose the port; nothing runs before `start`.

        `log` is called on the supervisor's thread. `after`: a stopped supervisor whose server must
        end first, because two servers do not fit on one GPU. Raises ProfileError, and LaunchError
        if the license of the weights needs an acknowledgement that is missing, or if its host
        cannot be looked up.
        """
        self._profile = (overrides or Overrides()).apply(profile)
        folder = folder_of(self._profile)
        found = strictest_terms(self._profile.model_version, self._profile.model_path, folder)
        recorded = acknowledged(found, accept_noncommercial, environment)
        self._log, self._restarts, self._after = log, restarts or Restarts(), after
        self._environment = dict(environment)
        port = port_of(self._profile)
        self._state = SidecarState(
            self._profile.name,
            client_host(self._profile),
            port,
            recorded,
            restarts=self._restarts.limit,
        )
        self._since_s = time.monotonic()
        self._wake, self._rate = Wake(), RateLimit(_LINES_HZ, int(_LINES_HZ))
        self._skipped = 0
        self._thread = threading.Thread(target=self._run, name="gr00t-sidecar", daemon=True)

    def start(self) -> None:
        """Start the server in the background."""
        self._log("info", f"{self._profile.name}: {self._state.license}")
        self._thread.start()

    def stop(self, timeout_s: float = 0.0) -> bool:
        """End the server; return whether it ended within `timeout_s`.

        With 0 it ends in the background, even if this process ends first.
        """
        self._wake.set()
        return self.join(timeout_s)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until a supervisor that was stopped or has failed has ended its server."""
        if self._thread.ident is None:  # never started: the previous server may still be ending
            return self._after is None or self._after.join(timeout_s)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def state(self) -> SidecarState:
        """Return the present state."""
        return replace(self._state, for_s=time.monotonic() - self._since_s)

    # --- the supervisor's thread -----------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._after is not None:
                self._after.join()
                self._after = None
            self._keep_running()
        except Exception:
            self._log("error", f"{self._profile.name}: supervisor:\n{traceback.format_exc()}")
            self._set(Phase.FAILED, trouble="the supervisor itself raised, see the log")
        finally:
            self._wake.close()
        if self._wake.asked:
            self._set(Phase.STOPPED, pid=None)

    def _keep_running(self) -> None:
        number = 0
        while not self._wake.asked:
            ending = self._serve_once()
            if self._wake.asked:  # meanwhile, which mypy does not see
                return  # type: ignore[unreachable]
            number = 1 if ending.healthy_s >= self._restarts.healthy_s else number + 1
            if ending.final or number > self._restarts.limit:
                self._give_up(ending)
                return
            pause_s = self._restarts.pause_s(number)
            self._set(
                Phase.RESTARTING,
                trouble=ending.trouble,
                exit_code=ending.exit_code,
                pid=None,
                restart=number,
                pause_s=pause_s,
            )
            self._log("warning", f"{self._profile.name}: {self._state}")
            self._wake.wait(pause_s)

    def _give_up(self, ending: _Ending) -> None:
        self._set(Phase.FAILED, trouble=ending.trouble, exit_code=ending.exit_code, pid=None)
        self._log("error", f"{self._profile.name}: {self._state}")

    def _serve_once(self) -> _Ending:
        """Start the server once, and return how that run ended."""
        try:
            spec = prepare(self._profile, self._state.port, self._environment)
            redact = redactor(spec)
            server = WatchedServer(spec, redact)
        except UnreachableError as error:
            return _Ending(str(error))
        except LaunchError as error:
            return _Ending(str(error), final=True)
        except OSError as error:
            return _Ending(f"cannot start the watcher: {error}")
        self._set(Phase.LOADING, pid=None, last_line="")
        self._log("info", f"{self._profile.name}: starting {redact(' '.join(spec.command))}")
        try:
            return self._follow(server)
        finally:
            server.end()

    def _follow(self, server: WatchedServer) -> _Ending:
        """Forward its lines, report when it is ready, and end it on request or at the timeout."""
        late_s = time.monotonic() + self._profile.ready_timeout_s
        probe_s, ready_s, late = 0.0, None, False
        while not server.ended:
            asked = self._wake.asked
            self._forward(server.wait(_PROBE_S, None if asked else self._wake.reader))
            now_s = time.monotonic()
            if self._state.pid != server.pid:
                self._state = replace(self._state, pid=server.pid)
            if self._wake.asked:
                self._end(server)
            elif ready_s is None and now_s >= probe_s and server.pid is not None:
                if self._answers():
                    ready_s = now_s
                    self._report_ready()
                elif now_s > late_s and not late:
                    late = True
                    server.end()
                probe_s = now_s + _PROBE_S
        healthy_s = 0.0 if ready_s is None else time.monotonic() - ready_s
        return self._ending(server, late, healthy_s)

    def _end(self, server: WatchedServer) -> None:
        if self._state.phase is not Phase.STOPPING:
            self._set(Phase.STOPPING)
            server.end()

    def _answers(self) -> bool:
        """Whether the server answers a ping; an error reply counts as an answer."""
        host, port = self._state.host, self._state.port
        try:
            socket.create_connection((host.strip("[]"), port), _CONNECT_S).close()
        except OSError:
            return False
        client = PolicyServerClient(host, port, _PING_MS)
        try:
            with contextlib.suppress(Gr00tError):
                try:
                    client.ping()
                except (UnreachableError, DeadlineError):
                    return False
            return True
        finally:
            client.close()

    def _report_ready(self) -> None:
        took_s = self.state().for_s
        self._set(Phase.READY, trouble="", exit_code=None)
        where = f"{self._state.host}:{self._state.port}"
        self._log("info", f"{self._profile.name}: ready at {where} after {took_s:.1f} s")
        if self._profile.host in LOOPBACK and listens_beyond(self._state.port):
            self._log(
                "warning",
                f"{self._profile.name}: it should serve on {self._profile.host} only, but it "
                "listens on every interface: this server ignores its host. Anyone who can reach "
                "the port can use and end it: protect the port with a firewall",
            )

    def _ending(self, server: WatchedServer, late: bool, healthy_s: float) -> _Ending:
        where = f"{self._state.host}:{self._state.port}"
        lines = " | ".join(server.last_lines()[-_SHOWN_LINES:])
        if late:
            trouble = (
                f"not reachable: it ran for {self._profile.ready_timeout_s:.0f} s "
                f"(ready_timeout_s) and did not answer at {where}"
            )
        elif server.exit_code is None:
            trouble = server.problem
        else:
            when = "while loading" if healthy_s == 0.0 else f"after {healthy_s:.0f} s of service"
            trouble = f"crashed {when} with {_exit(server.exit_code)}"
        if server.problem and server.problem not in trouble:
            trouble += f"; {server.problem}"
        return _Ending(
            f"{trouble}; last lines: {lines}" if lines else trouble, server.exit_code, healthy_s
        )

    def _forward(self, lines: list[str]) -> None:
        for line in lines:
            if self._rate.allows("line", time.monotonic_ns()):
                self._log("info", f"[{self._profile.name}] {line}")
            else:
                self._skipped += 1
        if lines:
            self._state = replace(self._state, last_line=lines[-1])
        elif self._skipped and self._rate.allows("line", time.monotonic_ns()):
            self._log("info", f"[{self._profile.name}] ({self._skipped} more lines)")
            self._skipped = 0

    def _set(self, phase: Phase, **changes: Any) -> None:
        self._since_s = time.monotonic()
        self._state = replace(self._state, phase=phase, **changes)


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
