"""The lifecycle node gr00t_policy: services, timers, and the transitions in explicit order.

Threads (design decision 1): this executor thread serves transitions, services and timers. The pull
thread takes the sensors' messages, the worker thread queries the policy server, and the replay
thread owns the session and publishes the windows. No transition waits for the server or for
anything that needs this executor.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from gr00t_ros.errors import Gr00tError
from gr00t_ros.node.operator import Operator, why_not
from gr00t_ros.node.server import defaults_of
from gr00t_ros.node.server_process import SidecarProcess
from gr00t_ros.node.status import Reporter, pulse_s
from gr00t_ros.node.tracing.recording import TraceService
from gr00t_ros.node.wiring import Configured
from gr00t_ros.robot.files import find_embodiment
from gr00t_ros.ros import parameter_values
from gr00t_ros.ros.node_help import NodeHelp
from gr00t_ros.ros.parameters import PARAMETERS
from gr00t_ros.ros.periodic import SWITCH_S
from gr00t_ros.ros.policy_node import NOT_CONFIGURED, POLICY_NAME
from gr00t_ros.ros.process import run_node
from gr00t_ros.ros.transports import ImageNode
from gr00t_ros.session.mode import MOVING
from gr00t_ros.srv import SetInstruction
from gr00t_ros.watch.finding import RESET
from gr00t_ros.wire.template import MAX_INSTRUCTION_BYTES

_DIAGNOSTICS_S = 1.0
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR
_INACTIVE, _ACTIVE = "inactive", "active"
_LATCHED = "a fault is latched"
_INSTRUCTION = "instruction"
_CONFIGURE = "configure"
_GO_ON = (
    "\nthe node stays unconfigured: correct the file, then `gr00t autostart`; a parameter that is "
    "set at start only, such as embodiment: end the node (Ctrl-C) and start it with the right one"
)

Transition = Callable[[], TransitionCallbackReturn]


class PolicyNode(LifecycleNode):
    """Observations to the policy server, action chunks to the robot's controllers."""

    def __init__(self) -> None:
        """Declare the parameters; configure makes everything else."""
        self._ends = ExitStack()  # before rclpy knows the node: see destroy_node
        super().__init__(POLICY_NAME)
        self._values = parameter_values.declare(self, defaults_of())
        try:
            find_embodiment(self._values.embodiment)
        except Gr00tError as error:  # it may come to be there before configure
            self.get_logger().error(f"configure will be refused: {error}{_GO_ON}")
        self._parts: Configured | None = None
        self._sidecar: SidecarProcess | None = None  # kept: the next one waits for its end
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._reporter = Reporter(self)
        self.create_service(SetInstruction, "~/set_instruction", self._set_instruction)
        self._operator = Operator(self, lambda: self._parts)
        self._traces = TraceService(self, self._why_no_trace, self._follow_traces)
        self._pulse = self.create_timer(pulse_s(by_events=False), self._report, clock=steady)
        self._event = self.create_guard_condition(self._tell)
        self.create_timer(_DIAGNOSTICS_S, self._diagnose, clock=steady)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        self._answer_invalid_transitions()
        self._images = ImageNode(self)
        self._ends.callback(self._images.destroy)

    def destroy_node(self) -> None:
        """Destroy the node for images too.

        From Kilted on, rclpy's shutdown also calls it for a node whose __init__ has raised.
        """
        self._ends.close()
        super().destroy_node()

    # --- transitions ---------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Parse, create entities, and give the server check to the worker; does not wait."""

        def configure() -> TransitionCallbackReturn:
            gc.unfreeze()  # else the reference cycles of each earlier configuration would stay
            gc.collect()
            self._values = parameter_values.read(self)
            self._sidecar = SidecarProcess(self._values, self.get_logger(), self._sidecar)
            self._parts = Configured(
                self, self._images.node, self._values, self._sidecar, self._operator.latched
            )
            self._parts.replay.on_event = self._event.trigger
            self._sidecar.start()
            gc.freeze()  # long-lived objects are not scanned again: a collection takes microseconds
            return super(PolicyNode, self).on_configure(state)

        return self._guarded(_CONFIGURE, configure, _FAILURE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin the first episode, or refuse with all reasons."""

        def activate() -> TransitionCallbackReturn:
            parts = self._configured()
            parts.inputs.pull()
            problems = parts.follow_readiness()
            if problems:
                self.get_logger().error("activation refused: " + "; ".join(problems))
                return _FAILURE
            # Activate the publishers first: an inactive one drops messages, which count as sent.
            result = super(PolicyNode, self).on_activate(state)
            try:
                parts.activate()
            except Exception:
                super(PolicyNode, self).on_deactivate(state)
                raise
            return result

        return self._guarded("activate", activate, _FAILURE)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and wait for rest while the publishers are active, then deactivate them."""

        def deactivate() -> TransitionCallbackReturn:
            self._configured().deactivate()
            self._end_trace("deactivated")
            return super(PolicyNode, self).on_deactivate(state)

        return self._guarded("deactivate", deactivate, _ERROR)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the threads and remove all entities of the configuration."""
        return self._guarded("cleanup", self._close, _ERROR)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop first if active, then do the same as cleanup."""

        def shutdown() -> TransitionCallbackReturn:
            if self._parts is not None and state.label == _ACTIVE:
                self._parts.deactivate()
            return self._close()

        return self._guarded("shutdown", shutdown, _ERROR)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that raised: stop if moving, close, and become unconfigured."""

        def recover() -> TransitionCallbackReturn:
            parts = self._parts
            if parts is not None and parts.replay.snapshot.mode in MOVING:
                unstopped = why_not(parts.deactivate)
                if unstopped:
                    self.get_logger().error(f"no controlled stop, the stop ramp plays: {unstopped}")
            return self._close()

        return self._guarded("error processing", recover, _FAILURE)

    def leave(self) -> None:
        """End the process after a signal: a controlled stop, then close everything."""
        if self._state_machine.current_state[1] == _ACTIVE:
            self.trigger_deactivate()
        if self._parts is not None:
            self._close()

    def _guarded(
        self, name: str, action: Transition, otherwise: TransitionCallbackReturn
    ) -> TransitionCallbackReturn:
        """Run a transition and log what it raises: rclpy would hide it (rclpy #1673)."""
        try:
            return action()
        except Gr00tError as error:
            more = _GO_ON if name == _CONFIGURE else ""
            self.get_logger().error(f"{name}: {error}{more}")
            self._reporter.say(f"{name} failed: {error}")
            return otherwise
        except Exception:
            self.get_logger().error(f"{name} raised:\n{traceback.format_exc()}")
            return _ERROR

    def _close(self) -> TransitionCallbackReturn:
        self._end_trace("cleaned up")
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.close()
            self._operator.latched = parts.latched
        return _SUCCESS

    def _configured(self) -> Configured:
        assert self._parts is not None  # the state machine allows this only after configure
        return self._parts

    def _why_no_trace(self) -> str:
        """Why there is nothing to record now, empty if there is."""
        label = self._state_machine.current_state[1]
        return "" if label == _ACTIVE else f"the node is {label}: activate it first"

    def _end_trace(self, how: str) -> None:
        """Let a recording end with what has flowed so far; never raises.

        A trace that cannot be written must not keep the threads that command the robot running.
        """
        parts = self._parts
        try:
            flows = parts.flows_done() if parts is not None else []
            self._traces.end(flows, f"the node was {how}")
        except Exception:
            self.get_logger().error(f"trace: the recording was lost:\n{traceback.format_exc()}")

    def _answer_invalid_transitions(self) -> None:
        """Answer requests that the present state does not allow: rclpy raises (rclpy #1209)."""
        service = self._service_change_state
        answer = service.callback

        def change_state(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            allowed = {t[0]: t[1] for t in self._state_machine.available_transitions}
            wanted = request.transition
            if wanted.label in allowed.values() or (not wanted.label and wanted.id in allowed):
                return answer(request, response)
            label = self._state_machine.current_state[1]
            self.get_logger().warning(
                f"transition {wanted.label or wanted.id}: not possible in state {label}, "
                f"expected one of {', '.join(allowed.values())}"
            )
            response.success = False
            return response

        service.callback = change_state

    # --- services and parameters ---------------------------------------------------------

    def _set_instruction(
        self, request: SetInstruction.Request, response: SetInstruction.Response
    ) -> SetInstruction.Response:
        text = request.instruction.strip()
        response.message = _unfit(text)
        if not response.message and self._parts is None:
            response.message = "the node is not configured"
        elif not response.message:
            response.message = why_not(partial(self._change_instruction, text, response))
            response.success = not response.message
        return response

    def _change_instruction(self, text: str, response: SetInstruction.Response) -> None:
        response.episode = self._configured().change_instruction(text)
        self.set_parameters([Parameter(_INSTRUCTION, value=text)])  # only stores it

    def _check_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        active = self._state_machine.current_state[1] == _ACTIVE
        configured = self._parts is not None
        reason = parameter_values.check_change(changes, self._values, active, configured)
        if self._parts is not None and not reason:
            reason = self._parts.refusal(parameter_values.changed(changes, self._values))
        for change in changes:
            if change.name == _INSTRUCTION and not reason:
                reason = self._check_instruction(change.value.strip())
        return SetParametersResult(successful=not reason, reason=reason)

    def _check_instruction(self, text: str) -> str:
        """Why `text` is refused, empty if not; while configured, a new text begins an episode.

        The change is made here, where it can still be refused if the replay thread is blocked:
        the node added this callback first, so rclpy calls it last.
        """
        parts = self._parts
        now = self._values.instruction.strip() if parts is None else parts.queries.instruction
        if text == now:
            return ""
        why = _unfit(text)
        if parts is not None and not why:
            why = why_not(partial(parts.change_instruction, text))
        return why and f"parameter {_INSTRUCTION}: {why}"

    def _take_parameters(self, _changes: Sequence[Parameter]) -> None:
        self._values = parameter_values.read(self)
        if self._parts is not None:
            self._parts.apply(self._values)

    # --- timers --------------------------------------------------------------------------

    def _report(self) -> None:
        """Publish the status first: whatever raises behind it, mode and reason are out already."""
        try:
            self._tell()
        finally:  # a detail that cannot be told keeps nothing else from going on
            if self._parts is not None:
                self._follow_server(self._parts)

    def _tell(self) -> None:
        """Publish the status if it is due or an event has changed it.

        An event alone follows nothing: what is followed may be the next event.
        """
        try:
            self._publish_status(self._parts)
        finally:
            self._follow_traces()

    def _follow_traces(self) -> None:
        """Record what has flowed; report seldom while nothing but events has to be followed."""
        parts = self._parts
        self._traces.tick(parts.flows_done() if parts is not None else [])
        active = self._state_machine.current_state[1] == _ACTIVE
        calm = active and parts is not None and not parts.latched and not self._traces.recording
        period_ns = round(pulse_s(by_events=calm) * 1e9)
        if self._pulse.timer_period_ns != period_ns:
            self._pulse.timer_period_ns = period_ns
            self._pulse.reset()

    def _follow_server(self, parts: Configured) -> None:
        if self._state_machine.current_state[1] == _INACTIVE:
            parts.follow_readiness()
        elif parts.latched:
            parts.recheck()
        parts.keep_warm()

    def _publish_status(self, parts: Configured | None) -> None:
        reporter = self._reporter
        if parts is not None:
            reporter.report(parts, self._values)
        elif self._operator.latched:
            reporter.say(f"{_LATCHED}: {self._operator.latched}; {RESET}")
        elif reporter.unconfigured_reason is None or _LATCHED in reporter.unconfigured_reason:
            reporter.say(NOT_CONFIGURED)  # otherwise keep the reason why configure failed

    def _diagnose(self) -> None:
        self._reporter.diagnose(self._parts, self._values)


def _unfit(instruction: str) -> str:
    """Why this is not a valid instruction; empty if it is valid."""
    size = len(instruction.encode("utf-8", "replace"))
    fits = 0 < size <= MAX_INSTRUCTION_BYTES
    return "" if fits else f"got {size} bytes, expected 1 to {MAX_INSTRUCTION_BYTES}"


def _leave(node: Node) -> None:
    assert isinstance(node, PolicyNode)
    node.leave()


_SHOWN = (
    *("instruction", "shadow", "settled", "host", "port", "api_token_file", "execute_steps"),
    *("velocity_scale", "max_camera_age_s", "max_joint_age_s", "sidecar.mode", "sidecar.profile"),
)
HELP = NodeHelp(
    "gr00t policy",
    "The lifecycle node gr00t_policy: queries the policy server with the robot's cameras and "
    "joint states, and commands its controllers. It starts unconfigured and waits for "
    "`gr00t autostart` or a lifecycle manager, which configures and activates it. It moves the "
    "robot; `gr00t doctor` with the same arguments does not.",
    (
        ("embodiment", None, PARAMETERS["embodiment"].description),
        *((name, row.default, row.text) for name, row in PARAMETERS.items() if name in _SHOWN),
    ),
    "gr00t policy --embodiment franka_droid --server gpu:5555 "
    "--ros-args -p 'instruction:=pick up the cube'",
    PARAMETERS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    sys.setswitchinterval(SWITCH_S)
    return run_node(PolicyNode, arguments, _leave, about=HELP, shared_memory=False)


if __name__ == "__main__":
    sys.exit(main())
