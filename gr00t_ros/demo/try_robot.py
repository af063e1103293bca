"""gr00t try FILE: tries an embodiment file without a robot, and reports what moved.

Starts a stand-in robot made from the file, the wave policy, the streamers that the file needs, the
policy node and autostart, all as processes in a ROS domain of their own on this machine. After some
seconds of motion everything is ended and the record is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from gr00t_ros.command_line import (
    DONE,
    INTERRUPTED,
    JSON_HELP,
    MISUSE,
    NO,
    CommandParser,
    number,
    program,
    status_of,
    tell_progress,
)
from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.demo.isolation import own_domain
from gr00t_ros.demo.tried_file import TriedFile, tried_file
from gr00t_ros.demo.try_report import TryReport, judged, report_text
from gr00t_ros.demo.watcher import Watcher
from gr00t_ros.errors import EmbodimentError, Gr00tError, SidecarError
from gr00t_ros.msg import ControllerState
from gr00t_ros.robot.embodiment import Embodiment, Unsettled
from gr00t_ros.robot.files import load_embodiment, shipped_embodiments
from gr00t_ros.robot.questions import open_marks, settled_names
from gr00t_ros.ros import qos
from gr00t_ros.ros.asked import IntroducedClient
from gr00t_ros.ros.join import join_as_client
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.serve.wave import WavePolicy
from gr00t_ros.signals import StoppedBySignal, stop_on_signals
from gr00t_ros.sim.record import load_record
from gr00t_ros.sim.stand_in.robot import NAME as ROBOT
from gr00t_ros.sim.stand_in.start import start_of
from gr00t_ros.text_table import one_line, printable_lines
from gr00t_ros.wire.address import LOOPBACK

_JOINTS = f"/{ROBOT}/joint_states"
START_S = 90.0
"""Longest wait for the first motion; a slow machine needs 20 s for all processes."""

EXECUTE_STEPS = 8
_SAVE_S = 20.0
_LINE = 160  # characters of one line of progress
_STOPPED = ("paused", "paused_by_operator", "fault", "fault_inactive")
_OVERTIME = 3.0  # the whole motion may take this many times as long, because of pauses
_PATIENT = {
    "camera_fault_age_s": 60.0,
    "joint_fault_age_s": 60.0,
    "controller_silence_s": 5.0,
}
"""On a busy machine the stand-in robot may be late: the node then pauses, and does not fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Try a file; 0: it moved as it should, 1: it did not, 2: it could not be tried.

    A file that was read and does not hold is 1 too, and Ctrl-C is 130.
    """
    options = _parser().parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="gr00t_try_"))
    status = MISUSE
    stop = stop_on_signals(signal.SIGHUP)  # so that all that was started is ended in order
    try:
        status = _try(options, folder, stop)
    except StoppedBySignal:
        tell_progress("interrupted: everything is ended")
        status = INTERRUPTED
    except Gr00tError as error:
        print(f"gr00t try: {printable_lines(str(error))}", file=sys.stderr)
        if isinstance(error, EmbodimentError):  # anything else could not be started
            status = status_of(error)
    finally:
        if status in (DONE, INTERRUPTED) or not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            tell_progress(f"logs: {folder}")
    return status


class _Parser(CommandParser):
    def error(self, message: str) -> NoReturn:
        """Print the usage error; if the robot is missing, list the known robots too."""
        if "required" in message:
            names = ", ".join(shipped_embodiments())
            message = f"expected NAME|FILE: the path of your embodiment file, or one of {names}"
        super().error(message)


def _parser() -> CommandParser:
    parser = _Parser(
        prog="gr00t try",
        description="Try an embodiment file without a robot: invented cameras and joint states, "
        "controllers that follow, a policy that waves every joint, and the policy node, in a ROS "
        "domain of their own on this machine. Nothing outside this machine is commanded.",
        example="gr00t try my_robot.yaml --seconds 5",
    )
    add = parser.add_argument
    add("embodiment", metavar="NAME|FILE", help="name of a shipped file, or path of your own")
    parser.instead["--embodiment"] = "NAME|FILE is its argument, without an option"
    text = "time of motion (%(default)s s)"
    add("--seconds", type=number(1.0, 600.0), metavar="S", default=10.0, help=text)
    add("--settled", metavar="NAMES", default="", help="as the node's parameter: by comma")
    add("--json", action="store_true", help=JSON_HELP)
    add("--keep", action="store_true", help="leave everything running until Ctrl-C")
    return parser


def _try(options: argparse.Namespace, folder: Path, stop: threading.Event) -> int:
    own = load_embodiment(options.embodiment)
    settled = settled_names(options.settled)
    questions = open_marks(own.unsettled, settled, own.source)
    if questions:
        return _ask(own, questions, options.json)
    tried = tried_file(options.embodiment, folder)
    policy = WavePolicy(tried.robot)  # raises here what its process would only log
    start_of(tried.robot)
    with own_domain() as domain:
        run = TryRun(tried, settled, folder, domain, stop)
        try:
            run.start()
            run.move(options.seconds)
            report = _reported(run, policy, options)
        finally:
            run.end()
    return NO if report.problems else DONE


def _ask(robot: Embodiment, questions: Sequence[Unsettled], as_json: bool) -> int:
    """Print the open questions; a robot must not move before a person has answered them."""
    names = ",".join(mark.path for mark in questions)
    if as_json:
        listed = [
            {"path": one.path, "question": one.question, "assumed": one.assumed}
            for one in questions
        ]
        print(json.dumps({"success": False, "file": robot.source, "questions": listed}, indent=2))
        return NO
    print(f"{robot.source}: {len(questions)} open, and only a person can answer:")
    for mark in questions:
        print(f"- {mark}")
    print(f"write the values into the file, or accept what is assumed: --settled '{names}'")
    return NO


class TryRun:
    """The processes of one try, and what they have published."""

    def __init__(
        self,
        tried: TriedFile,
        settled: Sequence[str],
        folder: Path,
        domain: int,
        stop: threading.Event,
    ) -> None:
        """Join the domain; nothing is started yet."""
        self.tried, self.domain = tried, domain
        self.folder = folder.absolute()
        self.settled = tuple(settled)
        self.motion_s, self.problem = 0.0, ""
        self._stop = stop
        os.environ.setdefault("ROS_LOG_DIR", str(self.folder / "ros_log"))
        self._bringup = Bringup(folder, stop_waiting=stop)
        join_as_client(domain_id=domain)
        self.watcher = Watcher((), joints="")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.watcher)

    @property
    def parameters(self) -> dict[str, object]:
        """The node's parameters that are not at their defaults, without those of every run."""
        steps = min(EXECUTE_STEPS, self.tried.robot.action_horizon // 2)
        return {"execute_steps": steps} if steps < EXECUTE_STEPS else {}

    def start(self) -> None:
        """Start everything, each after those that it needs; SidecarError if the policy fails."""
        path = str(self.tried.path.absolute())
        robot = self.tried.robot
        tell_progress(
            f"starting at ROS_DOMAIN_ID {self.domain}, on this machine only: stand-in robot, "
            "policy wave, node"
        )
        named = {"embodiment": path}
        record = str(self.folder / "record.npz")
        self._bringup.start_node(
            "stand_in", {**named, "record_path": record, "joints_topic": _JOINTS}
        )
        port = self._start_policy(path)
        if robot.streamed:
            self._bringup.start_node("commands", named)
        streamed = [output for output in robot.outputs if output.type == "forward_command"]
        for output in streamed:
            self._stream(output.name, output.names, output.topic, output.state_topic)
        settled = {"settled": ",".join(self.settled)} if robot.unsettled else {}
        server = {"host": LOOPBACK[0], "port": port}  # not the one that the environment names
        node = {**named, **settled, **server, "instruction": "wave", **_PATIENT}
        self._bringup.start_node("policy", {**node, **self.parameters})
        self._wait_for_states([output.state_topic for output in streamed])
        self._bringup.start_node("autostart", {})

    def _start_policy(self, path: str) -> int:
        """Start the wave policy; returns its port."""
        try:
            return self._bringup.start_sidecar("wave", "--port", "0", "--embodiment", path)
        except SidecarError:
            self._leave_if_asked()  # it did not start because of that
            raise

    def _wait_for_states(self, topics: Sequence[str]) -> None:
        """Wait until each streamer takes windows: its measured position is proven then."""
        waiting = set(topics)

        def received(topic: str, message: ControllerState) -> None:
            if message.speed_scaling_factor == 1.0:
                waiting.discard(topic)

        for topic in topics:
            self.watcher.create_subscription(
                ControllerState, topic, partial(received, topic), qos.SENSOR
            )
        end_s = time.monotonic() + START_S
        while waiting:
            self._spin()
            self._refuse_ended()
            if time.monotonic() > end_s:
                raise SidecarError(f"no state of a streamer on {', '.join(waiting)}")

    def _stream(self, name: str, joints: Sequence[str], topic: str, state_topic: str) -> None:
        parameters = {
            "joints": list(joints),
            "window_topic": f"{POLICY_NODE}/windows/{name}",
            "command_topic": topic,
        }
        remaps = (
            f"/joint_states:={_JOINTS}",
            f"~/controller_state:={state_topic}",
        )
        self._bringup.start_node("streamer", parameters, *remaps, role=f"streamer_{name}")

    def move(self, seconds: float) -> None:
        """Follow the run until it moved for `seconds`; `problem` says why it ended before that."""
        began_s = before_s = time.monotonic()
        while self.motion_s < seconds:
            self._spin()
            now_s = time.monotonic()
            if self._mode == "replaying":
                self.motion_s += now_s - before_s
            before_s = now_s
            for moment_s, line in self.watcher.new_events():
                tell_progress(f"{moment_s:6.1f} s  {one_line(line, _LINE)}")
            self._refuse_ended()
            limit_s = START_S + _OVERTIME * seconds if self.motion_s else START_S
            if self._mode.startswith("fault") or now_s - began_s > limit_s:
                status = self.watcher.status
                reason = f"{status.mode}: {status.reason}" if status else "no status of the node"
                self.problem = f"{self.motion_s:.1f} of {seconds:g} s of motion; the node: {reason}"
                return

    @property
    def _mode(self) -> str:
        return str(self.watcher.status.mode) if self.watcher.status else ""

    def save(self) -> None:
        """Let the stand-in robot write its record; SidecarError if it does not."""
        client = IntroducedClient(self.watcher, Trigger, f"/{ROBOT}/save_record")
        asked = client.ask(Trigger.Request())
        end_s = time.monotonic() + _SAVE_S
        while (answer := asked.answer()) is None and time.monotonic() < end_s:
            self._spin()
        if answer is None or not answer.success:
            why = answer.message if answer else "no answer"
            raise SidecarError(f"the stand-in robot's record: {why}")

    def stop_node(self) -> None:
        """End the policy node, which stops the robot first."""
        self._bringup.stop("policy")

    def keep(self) -> None:
        """Leave everything running until a signal comes."""
        tell_progress(
            f"left running: export ROS_DOMAIN_ID={self.domain} "
            "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST to look with ROS tools; Ctrl-C ends it"
        )
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def end(self) -> None:
        """End all processes, and leave the domain."""
        self._bringup.end()
        self._executor.shutdown()
        self.watcher.destroy_node()
        rclpy.try_shutdown()

    def _spin(self) -> None:
        self._executor.spin_once(timeout_sec=0.1)
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self._stop.is_set():
            raise StoppedBySignal

    def _refuse_ended(self) -> None:
        """SidecarError with its log where a process ended by itself."""
        ended = self._bringup.ended(*(one for one in self._bringup.children if one != "autostart"))
        if ended:
            log = self._bringup.log(ended).strip()[-2000:]
            raise SidecarError(f"{ended} ended by itself:\n{log}")


def _reported(run: TryRun, policy: WavePolicy, options: argparse.Namespace) -> TryReport:
    """Print the report; with --keep while the robot still moves, else after its stop."""
    if not options.keep:
        run.stop_node()
    run.save()
    robot, watcher = run.tried.robot, run.watcher
    joints, outputs, beyond = judged(load_record(run.folder / "record.npz"), robot, policy)
    status = watcher.status
    report = TryReport(
        file=options.embodiment,
        robot=robot.robot,
        embodiment_tag=robot.tag,
        problem=run.problem,
        motion_s=run.motion_s,
        joints=joints,
        outputs=outputs,
        beyond_limits=beyond,
        chunks={
            "queries": int(status.queries),
            "accepted": int(status.chunks_accepted),
            "clamped": int(status.chunks_clamped),
            "refused": int(status.chunks_refused),
            "dropped": int(status.chunks_dropped),
            "failed queries": int(status.query_failures),
        }
        if status
        else {},
        latencies_ms={
            one.stage: (1e3 * one.p50_s, 1e3 * one.p99_s, 1e3 * one.max_s)
            for one in (status.latencies if status else ())
        },
        pauses=tuple(
            f"{moment_s:.1f} s  {line}"
            for moment_s, line in watcher.events
            if line.split(":")[0] in _STOPPED
        ),
        replaced=run.tried.replaced,
        settled=run.settled,
        parameters=run.parameters,
    )
    print(
        json.dumps(report.as_map(), indent=2) if options.json else report_text(report), flush=True
    )
    if options.keep:
        run.keep()
    return report


if __name__ == "__main__":
    sys.exit(program(main))
