"""The policy server that the node starts itself, as parameters, status and diagnostics.

With sidecar.mode `existing` there is no such process, and all reports are empty. No method waits:
the supervisor's own thread does the slow work.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.parameters import LOCAL, Parameters
from gr00t_ros.supervise.profile import Overrides, load_profile
from gr00t_ros.supervise.supervisor import Phase, Severity, SidecarState, Supervisor, WriteLog

_LEVELS = {Phase.READY: DiagnosticStatus.OK, Phase.FAILED: DiagnosticStatus.ERROR}


class SidecarProcess:
    """The local server of one configuration, or none."""

    def __init__(self, values: Parameters, logger: Any, before: SidecarProcess | None) -> None:
        """Read the profile; nothing is started. `before`: that of the last configuration.

        The server serves the embodiment's tag unless a parameter or the profile sets another.
        Raises ProfileError, EmbodimentError, and LaunchError if a license is not acknowledged.
        """
        ended = None if before is None else before._supervisor
        self._supervisor: Supervisor | None = ended
        self._is_local = values.sidecar_mode == LOCAL
        if self._is_local:
            profile = load_profile(values.sidecar_profile)
            if values.sidecar_embodiment_tag:
                profile = replace(profile, embodiment_tag=values.sidecar_embodiment_tag)
            self._supervisor = Supervisor(
                profile.serving(load_embodiment(values.embodiment)),
                _overrides(values),
                _log_to(logger),
                accept_noncommercial=values.sidecar_accept_noncommercial,
                after=ended,
            )

    def start(self) -> None:
        """Start the server in the background."""
        if self._is_local and self._supervisor is not None:
            self._supervisor.start()

    def stop(self) -> None:
        """End the server in the background; this also completes if this process ends."""
        if self._is_local and self._supervisor is not None:
            self._supervisor.stop()

    def at(self, values: Parameters) -> Parameters:
        """`values` with the host and port of the server."""
        state = self._state()
        return values if state is None else replace(values, host=state.host, port=state.port)

    def problem(self) -> str:
        """Why the server cannot be asked yet; empty if it is ready."""
        state = self._state()
        return "" if state is None or state.ready else f"sidecar {state.profile}: {state}"

    def details(self) -> list[KeyValue]:
        """The entries for the details of a status."""
        state = self._state()
        if state is None:
            return []
        pairs = {"sidecar": f"{state.profile}: {state}", "sidecar.license": state.license}
        if state.phase is Phase.LOADING:
            pairs["sidecar.last_line"] = state.last_line
        return [KeyValue(key=key, value=value) for key, value in pairs.items()]

    def entries(self, hardware_id: str) -> list[DiagnosticStatus]:
        """The entry for /diagnostics."""
        state = self._state()
        if state is None:
            return []
        values = {
            "profile": state.profile,
            "phase": state.phase.value,
            "for_s": f"{state.for_s:.0f}",
            "license": state.license,
            "address": f"{state.host}:{state.port}",
            "pid": state.pid or "",
            "last_line": state.last_line,
            "exit_code": "" if state.exit_code is None else state.exit_code,
            "restart": f"{state.restart} of {state.restarts}",
        }
        level = _LEVELS.get(state.phase, DiagnosticStatus.WARN)
        return [entry("gr00t_policy: sidecar", level, str(state), values.items(), hardware_id)]

    def _state(self) -> SidecarState | None:
        if not self._is_local or self._supervisor is None:
            return None
        return self._supervisor.state()


def _overrides(values: Parameters) -> Overrides:
    """The overrides of the profile; an empty parameter keeps the profile's value."""
    return Overrides(
        model_path=values.sidecar_model_path or None,
        device=values.sidecar_device or None,
        python=values.sidecar_python or None,
        working_directory=values.sidecar_working_directory or None,
        port=values.sidecar_port or None,
    )


def _log_to(logger: Any) -> WriteLog:
    """A log function with one source line per severity: rclpy rejects two from one line."""

    def log(severity: Severity, text: str) -> None:
        if severity == "error":
            logger.error(text)
        elif severity == "warning":
            logger.warning(text)
        else:
            logger.info(text)

    return log
