"""The policy server of one configuration: its settings, its check and its diagnostics.

Parameters override the environment variables of other clients. The log says where each setting came
from, but never shows a secret. The worker runs the check (wire/link); the modality table is logged
once and again when it changes. `note` runs on the worker thread, `entries` on any thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.replay_settings import Coverage
from gr00t_ros.node.readiness import coverage, too_slow
from gr00t_ros.node.server_process import SidecarProcess
from gr00t_ros.observe.modality import (
    FITS,
    MATCHES,
    ModalityConfig,
    ModalityRow,
    cells,
    fit_table,
    verdict,
)
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import TAG
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.parameters import AUTO, PARAMETERS, Parameters
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import reasoned
from gr00t_ros.wire import access as names
from gr00t_ros.wire.access import ENVIRONMENT_VARIABLE, Token, read_environment, read_token
from gr00t_ros.wire.client import ClientCounts, PolicyServerClient
from gr00t_ros.wire.curve import ClientKeys, read_client_keys
from gr00t_ros.wire.link import CheckResult, PolicyLink
from gr00t_ros.wire.robot_id import checked_id

_VARIABLES: Final = {
    "host": names.HOST_VARIABLE,
    "port": names.PORT_VARIABLE,
    "timeout_ms": names.TIMEOUT_VARIABLE,
    "strict": names.STRICT_VARIABLE,
    "embodiment": names.TAG_VARIABLE,
}


def defaults_of(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Parameter name -> value from the environment variables (_VARIABLES) that are set.

    Raises SettingsError with the name of a wrong variable.
    """
    environment = read_environment(variables)
    tag = environment.embodiment_tag
    found = {
        "host": environment.host,
        "port": environment.port,
        "timeout_ms": environment.timeout_ms,
        "strict": environment.strict,
        "embodiment": None if tag is None else TAG + tag,
    }
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ClientAccess:
    """What a client needs besides the parameters, and the origin of all settings in one line."""

    token: Token | None
    curve: ClientKeys | None
    origins: str
    _values: Parameters = field(repr=False)

    def read_token(self) -> Token | None:
        """Read the token again, because its file may have changed; raises SettingsError."""
        path = self._values.api_token_file
        return read_token(path) if path else self.token

    def client(self) -> PolicyServerClient:
        """Return a client, not yet connected."""
        values = self._values
        return PolicyServerClient(
            values.host,
            values.port,
            values.timeout_ms,
            self.token,
            values.key_style,  # type: ignore[arg-type]  # the table's choices are the literal's
            values.max_reply_mb * 2**20,
            self.curve,
        )


def read_access(values: Parameters, variables: Mapping[str, str] = os.environ) -> ClientAccess:
    """Read token and keys, and check the robot's id.

    Raises SettingsError with the name of the wrong parameter, file or variable.
    """
    token = read_environment(variables).token
    if values.api_token_file:
        token = read_token(values.api_token_file)
    if values.robot_id:
        checked_id(values.robot_id)
    curve = _curve(values.curve_server_key, values.curve_client_key)
    origins = [
        *_origins(values, defaults_of(variables)),
        f"api token {_token_origin(values, token, variables)}",
        f"CURVE {'off' if curve is None else f'with {values.curve_client_key}'}",
    ]
    return ClientAccess(token, curve, ", ".join(origins), values)


def _curve(server_key: str, client_key: str) -> ClientKeys | None:
    if bool(server_key) != bool(client_key):
        raise SettingsError(
            "parameters curve_server_key and curve_client_key: got one, expected both or neither"
        )
    return read_client_keys(server_key, client_key) if server_key else None


def _origins(values: Parameters, environment: Mapping[str, Any]) -> Iterator[str]:
    for name, variable in _VARIABLES.items():
        value = getattr(values, name)
        if name in environment:
            origin = variable if value == environment[name] else f"parameter, wins over {variable}"
        else:
            origin = "default" if value == PARAMETERS[name].default else "parameter"
        shown = str(value).lower() if isinstance(value, bool) else value
        yield f"{name} {shown} ({origin})"


def _token_origin(values: Parameters, token: Token | None, variables: Mapping[str, str]) -> str:
    if token is None:
        return "none"
    if values.api_token_file:
        return f"from file {values.api_token_file}"
    own = variables.get(ENVIRONMENT_VARIABLE)
    return f"from {ENVIRONMENT_VARIABLE if own else names.TOKEN_VARIABLE}"


class ServerReport:
    """The report of one configuration; reads `counts` while the client increments them."""

    def __init__(
        self, counts: ClientCounts, strict: bool, hardware_id: str, log: Callable[[str], None]
    ) -> None:
        """Start without a modality table; the first check brings one."""
        self._counts, self._strict, self._log = counts, strict, log
        self._hardware_id = hardware_id
        self._rows: tuple[ModalityRow, ...] = ()

    def note(self, rows: tuple[ModalityRow, ...]) -> None:
        """Take the rows of a check; empty if the server did not send its modality config."""
        if not rows or rows == self._rows:
            return
        self._rows = rows
        self._log(f"modality check: {verdict(rows, self._strict)}\n{fit_table(rows)}")

    def entries(self) -> list[DiagnosticStatus]:
        """The entries for /diagnostics: the rows of the check's table, and the counters."""
        rows = self._rows
        pairs = [(f"{r.modality} {r.key}".strip(), " | ".join(cells(r)[2:])) for r in rows]
        result = verdict(rows, self._strict) if rows else "no server was checked yet"
        counters, robot = asdict(self._counts).items(), self._hardware_id
        text = f"{self._counts.replies} of {self._counts.requests} requests answered"
        return [
            entry("gr00t_policy: modality", _level(rows, result), result, pairs, robot),
            entry("gr00t_policy: client", DiagnosticStatus.OK, text, counters, robot),
        ]


def _level(rows: tuple[ModalityRow, ...], result: str) -> bytes:
    if not rows:
        return bytes(DiagnosticStatus.STALE)
    if result != FITS:
        return bytes(DiagnosticStatus.ERROR)
    is_whole = all(row.verdict == MATCHES for row in rows)
    return bytes(DiagnosticStatus.OK if is_whole else DiagnosticStatus.WARN)


RECHECK_S = 1.0  # time between two checks of a server that did not pass


class ServerCheck:
    """`passed` is the result of the last check, None if there is none or it failed."""

    def __init__(
        self, server: str, embodiment: Embodiment, values: Parameters, sidecar: SidecarProcess
    ) -> None:
        """`server`: its address for texts; `sidecar`: the server process, if the node starts it."""
        self._server, self._embodiment, self._sidecar = server, embodiment, sidecar
        self.values = values
        self.passed: CheckResult | None = None
        self._error = self._unfit = ""
        self._checked_s = -RECHECK_S

    def follow(self, ask: Callable[[], bool]) -> None:
        """Call `ask` if a check is due: none has passed, or the server was too slow."""
        wanted = self.passed is None or bool(self._slow())
        problem = self._sidecar.problem()
        if problem:
            self.passed = None  # a new process will be there; it is checked when it is ready
        due = wanted and not problem and time.monotonic() - self._checked_s >= RECHECK_S
        if due and ask():
            self._checked_s = time.monotonic()

    def problems(self) -> list[str]:
        """Why an activation would be refused now."""
        found = []
        if self.passed is None:
            why = self._sidecar.problem() or self._error or "checking"
            found.append(f"policy server {self._server}: {why}")
        slow = self._slow()
        return [*found, slow] if slow else found

    def against(self) -> list[Finding]:
        """Findings against continuing: answers have shown that the server may not fit.

        The reason is the error of the check that followed, or the answer's until that has failed.
        """
        if not self._unfit:
            return []
        text = f"policy server {self._server}: {self._error or self._unfit}"
        return [reasoned("chunk_shape", text)]

    def doubt(self, reason: str) -> None:
        """Require a new check; no reset or activation is possible before it has passed."""
        self.passed, self._unfit = None, reason

    def take(self, check: CheckResult | None, error: Exception | None) -> tuple[str, str]:
        """Take an outcome, on the worker thread; returns new log texts: (warning, information)."""
        warning = information = ""
        if error is not None and str(error) != self._error:
            warning = f"policy server check: {error}"
        if check is not None and self.passed is None:
            label, keys = check.server.generation.label, check.server.key_style
            information = (
                f"policy server {self._server}: {label}, "
                f"{check.server.array_codec}, {keys} keys, first inference "
                f"{check.warmup_ns / 1e6:.0f} ms, the next {check.inference_ns / 1e6:.0f} ms, "
                f"rtc {check.rtc}"
            )
        self._error = "" if error is None else str(error)
        self._unfit = "" if check is not None else self._unfit
        self.passed = check
        return warning, information

    def coverage(self) -> Coverage | None:
        """How the horizon covers the server's second inference; None before a check has passed."""
        check = self.passed
        if check is None:
            return None
        return coverage(self._embodiment, self.values, check.inference_ns, "inference")

    def _slow(self) -> str:
        """Why the server is too slow to begin, empty if it is not; checked again until then."""
        found = self.coverage()
        return "" if found is None else too_slow(found, self.values)


class PolicyConnection:
    """`link` is used only by the worker; `address` is for texts to the operator."""

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        values: Parameters,
        access: ClientAccess,
        address: str,
        sidecar: SidecarProcess,
        now_ns: Callable[[], int],
        refuse: Callable[[ModalityConfig], None] | None,
    ) -> None:
        """Make client, link and check; nothing is sent yet.

        `sidecar`: the server process, if the node starts it; now_ns: plan time.
        refuse: as PolicyLink's.
        """
        self._node, self._sidecar, self.address = node, sidecar, address
        self._hardware_id = f"{embodiment.robot}:{embodiment.tag}"
        client = access.client()
        self.link = PolicyLink(
            *(client, embodiment, access.token, values.strict, now_ns, values.rtc == AUTO),
            robot_id=values.robot_id,
            read_token=access.read_token,
            refuse=refuse,
        )
        self.check = ServerCheck(address, embodiment, values, sidecar)
        self._report = ServerReport(
            client.counts, values.strict, self._hardware_id, node.get_logger().info
        )

    def take(self, check: CheckResult | None, error: Exception | None) -> None:
        """Take a check's outcome and log what is new; runs on the worker thread."""
        self._report.note(self.link.rows)
        warning, information = self.check.take(check, error)
        # One source line for each severity: rclpy rejects different severities from one line.
        if warning:
            self._node.get_logger().warning(warning)
        if information:
            self._node.get_logger().info(information)

    def entries(self) -> list[DiagnosticStatus]:
        """The entries for /diagnostics of the server and of its process."""
        return [*self._report.entries(), *self._sidecar.entries(self._hardware_id)]
