"""gr00t doctor (`ros2 run gr00t_ros doctor`): what would keep the robot from being moved, and why.

A preflight check that moves nothing: it creates no publisher on any command topic, and asks the
policy server as `gr00t sidecar check` does. It takes the policy node's parameters, so that the same
params_file works for both. Exit status 0: no check fails; 1: one fails, or the embodiment file does
not hold; 2: the checks could not run; 130: Ctrl-C before the report.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

from gr00t_ros.command_line import (
    DONE,
    INTERRUPTED,
    JSON_HELP,
    NO,
    CommandParser,
    number,
    program,
    status_of,
)
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.graph.collision import Collision
from gr00t_ros.graph.traffic import Traffic
from gr00t_ros.inputs.inputs import PULL_PERIOD_NS, Inputs
from gr00t_ros.node.operator_watches import OperatorWatches
from gr00t_ros.node.readiness import RobotChecks, horizon_problems
from gr00t_ros.node.robot_state import RobotState
from gr00t_ros.node.server import defaults_of
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.questions import open_marks, settled_names
from gr00t_ros.ros import parameter_values
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.join import check_text, join_as_client
from gr00t_ros.ros.node_help import ACCESS, SERVER_OPTIONS, as_parameters
from gr00t_ros.ros.parameters import PARAMETERS, Parameters
from gr00t_ros.ros.policy_node import POLICY_NAME
from gr00t_ros.sidecar.target import Report
from gr00t_ros.signals import StoppedBySignal, stop_on_signals
from gr00t_ros.text_table import printable_lines, table
from gr00t_ros.tools import doctor_checks as rows
from gr00t_ros.tools.doctor_checks import FAIL, PASS, WARN, DoctorRow
from gr00t_ros.watch.finding import Finding

_SHORT = {
    "--embodiment": ("embodiment",),
    "--server": SERVER_OPTIONS,
    **{option: (name,) for option, name in ACCESS.items()},
}
SECONDS, _LONGEST_S = 3.0, 3600.0
_PULL_S = PULL_PERIOD_NS / 1e9
_KEPT_PULLS = 250  # those of the last five seconds
_FOLLOW_S = 0.5
_GRAPH_S = 10.0  # our choice: longest wait for the graph to show every endpoint that is needed
_STILL_S = 3.0  # our choice: after this long without a change of the graph, the rest is missing
_HISTORY_S = 5.0  # our choice: a history of a second or two is complete by then
# The doctor must not disturb the node of the same name: no parameter events, no services.
_QUIET = ("--ros-args", "-r", "/parameter_events:=/gr00t_doctor/parameter_events")
_NO_SERVICE = Parameter("start_type_description_service", value=False)


class Doctor:
    """Everything that the policy node would create for one robot, without its publishers."""

    def __init__(
        self,
        node: Node,
        executor: SingleThreadedExecutor,
        stop: threading.Event | None = None,
    ) -> None:
        """Subscribe as the node would; raises Gr00tError for wrong parameters or a wrong file.

        stop: ends `look` by StoppedBySignal.
        """
        self.node, self._executor, self._stop = node, executor, stop
        self.values = values = parameter_values.declare(node, defaults_of())
        self.embodiment = robot = load_embodiment(values.embodiment)
        self._open = open_marks(robot.unsettled, settled_names(values.settled), robot.source)
        clock = self._clock = PlanClock(node)
        settings = parameter_values.observation(values, clock.simulated)
        inputs = Inputs(node, self.embodiment, settings)
        robot_state = RobotState(inputs, self.embodiment, clock, values)
        self._checks = RobotChecks.of(node, inputs, robot_state, robot, values)
        self._operator = OperatorWatches(node, values, lambda _reason: None)
        self.traffic = Traffic(node, self.embodiment)
        self._collision, self._no_collision = _collision(node, robot, values, robot_state)
        self._followed_s = self._due_s = self._free_s = 0.0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._pulls = node.create_timer(_PULL_S, self._pull_in_time, clock=steady)
        self._late_s: deque[float] = deque([0.0], maxlen=_KEPT_PULLS)
        self._server: list[DoctorRow] = []

    def look_until_discovered(self) -> None:
        """Spin until every needed endpoint is known or the graph stops changing; drop the counts.

        Messages that come before show how fast topics are discovered, not how they arrive.
        """
        still_s = time.monotonic()
        end_s = still_s + _GRAPH_S
        before: object = None
        while (now_s := time.monotonic()) < end_s and (missing := self._missing()):
            graph = (missing, self.node.get_topic_names_and_types())
            if graph != before:
                before, still_s = graph, now_s
            if now_s - still_s >= _STILL_S:
                break
            self.look(0.1)
        self.traffic.follow()
        self.traffic.forget()
        self._late_s.clear()
        self._late_s.append(0.0)

    def _unpublished(self, topics: Iterable[str]) -> list[str]:
        """The topics without a publisher in the graph of this node."""
        resolved = map(self.node.resolve_topic_name, topics)
        return [name for name in resolved if not self.node.count_publishers(name)]

    def _missing(self) -> list[str]:
        """The topics without a publisher or a subscriber that a motion needs."""
        states = [output.state_topic for output in self.embodiment.outputs]
        silent = self._unpublished([*self.traffic.topics, *self.traffic.contacts, *states])
        readers = self._checks.readers
        return silent + [name for name in readers if not self.node.count_subscribers(name)]

    def look(self, seconds: float) -> None:
        """Spin and pull for this long, as the policy node does."""
        end_s = time.monotonic() + seconds
        self._pulls.reset()
        self._pull()
        while time.monotonic() < end_s:
            if self._stop is not None and self._stop.is_set():
                raise StoppedBySignal
            self._free_s = time.monotonic()
            # The same timeout each time: with another one rclpy forgets which other callbacks are
            # ready, and where messages come faster than they are taken only the first topics are.
            self._executor.spin_once(timeout_sec=_PULL_S)

    def _pull(self) -> None:
        """Do what the policy node does in each period of PULL_PERIOD_NS."""
        now_s = time.monotonic()
        self._checks.inputs.pull()
        self._checks.controllers.poll()
        self._checks.manager.look()
        self._follow(now_s)
        self._due_s = now_s + _PULL_S

    def _pull_in_time(self) -> None:
        """Pull when due, and note how late this thread woke; not how long other callbacks took."""
        self._late_s.append(max(0.0, time.monotonic() - max(self._due_s, self._free_s)))
        self._pull()

    def _follow(self, now_s: float) -> None:
        """Match the subscriptions' reliability to the publishers, twice a second."""
        if now_s - self._followed_s >= _FOLLOW_S:
            self._followed_s = now_s
            self.traffic.follow()

    def look_until_complete(self, seconds: float) -> None:
        """Spin until nothing is to come that is not known yet, or for the time.

        To come are the history of an observation, the clock of each controller and its parameters:
        a first answer may be lost while discovery goes on. The time is at least _HISTORY_S. Does
        not wait while a sensor topic has no publisher.
        """
        end_s = time.monotonic() + max(seconds, _HISTORY_S)
        while time.monotonic() < end_s and self._lacks():
            if self._unpublished(self.traffic.topics):
                break
            self.look(0.1)

    def _lacks(self) -> bool:
        checks = self._checks
        return bool(checks.observation() or self._unknown_clock() or checks.controllers.unknown())

    def _unknown_clock(self) -> bool:
        """Whether a controller has published too few states to know its clock."""
        states = self._checks.robot_state.newest_states()
        return any(state is not None and state.least_way_ns is None for state in states)

    def ask_server(self) -> None:
        """Connect, compare and infer on a zero observation, as the node does at configure."""
        self._server = rows.server(self.embodiment, self.values)

    def rows(self) -> list[DoctorRow]:
        """The whole table of the present state."""
        checks = self._checks
        described = checks.limits.problems()
        commands = [problem for problem in checks.commands() if problem not in described]
        states = [
            (output.state_topic, checks.inputs.controller(output.name))
            for output in self.embodiment.outputs
            if self.values.shadow  # else the watch controller_clock refuses such a controller
        ]
        found = [
            *rows.failures("unsettled", map(str, self._open), "no question left in the file"),
            *rows.host(self.node, self._clock.simulated, max(self._late_s)),
            *rows.instruction(self.values.instruction),
            *rows.failures(
                "horizon",
                horizon_problems(self.embodiment, self.values),
                "a chunk is long enough for execute_steps",
            ),
            *self._server,
            *rows.failures(
                "operator",
                [*_reasons(self._operator.findings()), *self._operator.misnamed()],
                "nothing stops it",
            ),
            *rows.streams(checks.robot_state.reports(), checks.streams()),
            *rows.traffic(self.node, self.embodiment, self.traffic.topics),
            *rows.contacts(self.node, self.embodiment, self.values, self.traffic.contacts),
            *rows.clocks(self.node, states, self._clock.ros_now_ns(), time.monotonic_ns()),
            *rows.controllers(checks.robot_state.controllers()),
            *rows.failures("command", commands, "each has its controller, and no other publisher"),
            *rows.command_readers(self.node, checks.readers),
            *rows.limits(checks.limits, described),
        ]
        gaps = checks.observation()
        if not checks.streams():  # else the rows of the streams report the same, with reasons
            found += rows.failures("observation", gaps, "a complete one can be assembled")
        start, findings = checks.start()
        found += rows.collision(self._collision, self._no_collision, start)
        against = _reasons(findings)
        return found + rows.failures("start", against, "held and measured position agree")


def doctors_node(context: rclpy.Context | None = None) -> Node:
    """A node with the policy node's name, without log topic, parameter events and services.

    With that name it gets the policy node's parameters and topics, and the checks for other
    publishers do not count the policy node as another one.
    """
    return rclpy.create_node(
        POLICY_NAME,
        context=context,
        cli_args=list(_QUIET),
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[_NO_SERVICE],
    )


def _collision(
    node: Node, robot: Embodiment, values: Parameters, robot_state: RobotState
) -> tuple[Collision | None, str]:
    """The collision check as the node would make it, or None and the reason."""
    try:
        return Collision(node, robot, values, robot_state.joints), ""
    except Gr00tError as error:
        return None, str(error)


def _reasons(findings: Sequence[Finding]) -> list[str]:
    return [finding.reason for finding in findings]


def report(found: Sequence[DoctorRow]) -> Report:
    """The table and the JSON, failures first; the exit status shows whether there are any."""
    order = {FAIL: 0, WARN: 1, PASS: 2}
    ordered = sorted(found, key=lambda row: order[row.level])
    counts = {level: sum(row.level == level for row in found) for level in order}
    cells = [(row.level.upper(), row.area, row.subject, row.text) for row in ordered]
    verdict = ", ".join(f"{count} {level}" for level, count in counts.items())
    conclusion = f"{verdict}: " + ("the node would refuse to move" if counts[FAIL] else "ready")
    figures = {
        "verdict": next(level for level in order if counts[level]),
        "counts": counts,
        "rows": [
            {"level": row.level, "area": row.area, "subject": row.subject, "text": row.text}
            for row in ordered
        ],
    }
    text = table(("", "check", "of", "found, and what to do"), cells)
    return Report(figures, f"{text}\n\n{conclusion}", NO if counts[FAIL] else DONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the robot that the parameters name, print the report, return the exit status."""
    argv = list(sys.argv if arguments is None else ["gr00t doctor", *arguments])
    options = _options(argv[1:])
    stop = stop_on_signals()  # a KeyboardInterrupt inside a callback of rclpy may be lost
    try:
        join_as_client(as_parameters(argv, _SHORT))
        return _examine(options, stop)
    except Gr00tError as error:
        text = f"FAIL  {printable_lines(str(error))}"
        return Report({"verdict": "fail", "error": str(error)}, text, status_of(error)).show(
            options.json
        )
    finally:
        rclpy.try_shutdown()


def _examine(options: argparse.Namespace, stop: threading.Event) -> int:
    node = doctors_node()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        doctor = Doctor(node, executor, stop)
        asked = threading.Thread(target=doctor.ask_server, daemon=True)
        asked.start()
        doctor.look_until_discovered()
        doctor.look(options.seconds)
        doctor.look_until_complete(options.seconds)
        while asked.is_alive():
            doctor.look(0.1)
        return report(doctor.rows()).show(options.json)
    except StoppedBySignal:
        return INTERRUPTED
    finally:
        executor.shutdown()
        node.destroy_node()


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog="gr00t doctor",
        description="What would keep the policy node from moving the robot; nothing moves. It "
        "takes the node's parameters, so that one params_file works for both.",
        notes="Other parameters of the node follow --ros-args.",
        example="gr00t doctor --embodiment franka_droid --server gpu:5555 "
        "--ros-args -p 'instruction:=pick up the cube'",
    )
    add = parser.add_argument
    about = "the robot: name of a shipped embodiment file, or path of your own"
    add("--embodiment", metavar="NAME|FILE", help=about)
    add("--server", metavar="HOST:PORT", help="the policy server (127.0.0.1:5555)")
    for option, name in ACCESS.items():
        add(option, metavar="FILE", help=f"as the node's parameter {name}")
    add("--json", action="store_true", help=JSON_HELP)
    add(
        "--seconds",
        type=number(0.0, _LONGEST_S),
        metavar="S",
        default=SECONDS,
        help="time to look at the topics once they are discovered (%(default)s s)",
    )
    add("robot", nargs="*", help=argparse.SUPPRESS)
    behind = "a parameter of the node follows --ros-args: --ros-args -p"
    parser.instead = {
        f"--{name.replace('_', hyphen)}": f"{behind} {name}:=VALUE"
        for name in PARAMETERS
        for hyphen in "_-"
    }
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    given = [word for word in own if ":=" in word]
    if given:
        parser.error(f"unexpected {given[0]}: {behind} {given[0]}")
    try:
        check_text(words)
    except SettingsError as error:
        parser.error(str(error))
    with suppress(RuntimeError):  # the join refuses ROS arguments, and says which
        own = remove_ros_args(["doctor", *words])[1:]
    options = parser.parse_args(own)
    if options.robot:
        name = options.robot[0]
        parser.error(f"unexpected {name}: the robot is named by --embodiment {name}")
    return options


if __name__ == "__main__":
    sys.exit(program(main))
