"""`./dev demo --robot libero`: one episode of a LIBERO task, with the report of the other demos.

Robot, policy server, streamer and policy node are processes of their own, as on a robot. Only the
simulation tells whether the task is done. Simulated time is slower than the clock on the wall.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from gr00t_ros.demo.attempt import answered, attempt, followed, labelled, say
from gr00t_ros.demo.bringup import Bringup, ros_arguments
from gr00t_ros.demo.isolation import own_domain
from gr00t_ros.demo.report import DemoResult, limits_text, percentiles_ms, write_report
from gr00t_ros.demo.watcher import Watcher
from gr00t_ros.errors import Gr00tError, NodeError
from gr00t_ros.msg import TaskState
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.asked import IntroducedClient
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.sim.libero.commands import STEP_NS
from gr00t_ros.sim.libero.extra import require_libero, slow_time
from gr00t_ros.sim.libero.motion import broken, figures_of, tool_extremes
from gr00t_ros.sim.record import load_record
from gr00t_ros.srv import ResetTask

EMBODIMENT = "libero_panda"
CAMERAS = ("front", "wrist")
_START_S, _RESET_S, _READY_S = 60.0, 180.0, 60.0
_LEAST_WALL_S = 600.0  # a machine on which an episode takes longer is too slow to wait for


class EpisodeWatcher(Watcher):
    """Follows one episode in simulated time."""

    def __init__(self) -> None:
        super().__init__(CAMERAS)
        self.set_parameters([Parameter("use_sim_time", value=True)])
        self.instruction = ""
        self.task: TaskState | None = None
        self.create_subscription(TaskState, "/libero/task_state", self._on_task, qos.DIAGNOSTICS)

    @property
    def success(self) -> bool:
        """Whether LIBERO says that the task is done."""
        return self.task is not None and bool(self.task.success)

    @property
    def simulated_s(self) -> float:
        """Simulated time since the reset."""
        return 0.0 if self.task is None else self.task.step * STEP_NS * 1e-9

    def _on_task(self, message: TaskState) -> None:
        self.task = message


def run_episode(options: argparse.Namespace) -> int:
    """Play one episode and write its report; returns the process's exit status."""
    try:
        require_libero()
        with own_domain():  # its twists must reach no robot's servo
            return _play(options)
    except Gr00tError as error:
        print(error, file=sys.stderr)
        return 1


def _play(options: argparse.Namespace) -> int:
    folder = Path(options.report or f"reports/{time.strftime('%Y%m%d-%H%M%S')}-libero")
    bringup = Bringup(folder)
    avoid_shared_memory()
    rclpy.init()
    watcher, executor = EpisodeWatcher(), SingleThreadedExecutor()
    executor.add_node(watcher)

    def play() -> str:
        limit_s = _start(bringup, watcher, executor, options)
        problem = _watch(watcher, executor, bringup, limit_s)
        return labelled(watcher, executor, problem) if options.record else problem

    problem = attempt(bringup, executor, play)
    run = _run(watcher, problem, folder, options)
    watcher.destroy_node()
    rclpy.try_shutdown()
    page = write_report(folder, run)
    if options.json:
        options.json.write_text(json.dumps(run.figures, indent=2) + "\n")
    say(f"report: {page}")
    motion = limits_text(run.figures["limits_broken"])
    say(f"{'SUCCESS' if run.success else 'FAILURE'}: {run.verdict} | {motion}")
    return 0 if run.success else 1


def _start(
    bringup: Bringup,
    watcher: EpisodeWatcher,
    executor: SingleThreadedExecutor,
    options: argparse.Namespace,
) -> float:
    """Start everything; returns the simulated time that the task may take, s.

    The policy node comes last: before the reset there is no simulated time.
    """
    say(f"starting: LIBERO, {options.suite} task {options.task}; logs in {bringup.folder}")
    record = {"record_path": str((bringup.folder / "record.npz").absolute())}
    python = sys.executable
    bringup.start("robot", [python, "-m", "gr00t_ros.sim.libero.robot", *ros_arguments(record)])
    bringup.start("sidecar", [python, "-m", "gr00t_ros.sim.libero.policy", "--port", "0"])
    request = ResetTask.Request(
        suite=options.suite, task=options.task, episode=options.seed, seed=options.seed
    )
    asked = IntroducedClient(watcher, ResetTask, "/libero/reset_task").ask(request)
    reset = answered(asked, executor, _START_S)
    if not asked.sent:
        raise NodeError(f"the simulated robot did not start:\n{bringup.log('robot')[-2000:]}")
    reset = reset or answered(asked, executor, _RESET_S)
    if reset is None or not reset.success:
        raise NodeError(f"reset: {reset.message if reset else bringup.log('robot')[-2000:]}")
    say(f"{watcher.elapsed_s:6.1f} s  the task: {reset.instruction}")
    common = {"embodiment": EMBODIMENT, "use_sim_time": True}
    bringup.start_node("commands", common)
    watcher.instruction = reset.instruction
    port = bringup.port("sidecar", _READY_S)
    node = {**common, "port": port, "instruction": reset.instruction, **slow_time()}
    if options.record:
        bringup.start_recorder(options.record, EMBODIMENT, use_sim_time=True)
    bringup.start_node("policy", node)
    bringup.start_node("autostart", {})
    return float(reset.limit_s)


def _watch(
    watcher: EpisodeWatcher, executor: SingleThreadedExecutor, bringup: Bringup, limit_s: float
) -> str:
    """Follow the episode to its end; returns what went wrong, or "" on success.

    The task's time counts from the first motion.
    """
    end_s = time.monotonic() + _LEAST_WALL_S
    told_s, began_s = 0.0, None
    while time.monotonic() < end_s:
        end = followed(watcher, executor, bringup)
        if end is not None:
            return end
        if began_s is None and watcher.first_motion_s is not None:
            began_s = watcher.simulated_s
        if began_s is not None and watcher.simulated_s - began_s > limit_s:
            return f"not done within {limit_s:.0f} s of simulated time"
        if watcher.elapsed_s - told_s >= 5.0:
            told_s = watcher.elapsed_s
            mode = watcher.status.mode if watcher.status else "starting"
            say(
                f"{told_s:6.1f} s  {mode:<12} chunks {watcher.accepted:<3} "
                f"simulated {watcher.simulated_s:.1f} s"
            )
    return f"not done within {_LEAST_WALL_S:.0f} s"


def _run(
    watcher: EpisodeWatcher, problem: str, folder: Path, options: argparse.Namespace
) -> DemoResult:
    path = folder / "record.npz"
    record = load_record(path) if path.exists() else None
    robot = load_embodiment(EMBODIMENT)
    inference_ms = percentiles_ms(watcher.inference_s)
    figures: dict[str, object] = {
        "success": not problem,
        "problem": problem,
        "suite": options.suite,
        "task": options.task,
        "episode": options.seed,
        "instruction": watcher.instruction,
        "simulated_s": watcher.simulated_s,
        "elapsed_s": watcher.elapsed_s,
        "chunks_accepted": watcher.accepted,
        "chunks_refused": watcher.refused,
        "chunks_dropped": watcher.dropped,
        "inference_p50_ms": inference_ms[0],
        "inference_p99_ms": inference_ms[1],
        **({} if record is None else figures_of(tool_extremes(record))),
        "limits_broken": None if record is None else broken(record, robot.command_limits),
    }
    return DemoResult(
        success=not problem,
        verdict=problem.splitlines()[0] if problem else f"{watcher.instruction}: done",
        figures=figures,
        frames=watcher.frames,
        latencies_s={"inference (request to reply), wall clock": watcher.inference_s},
        events=watcher.events,
        record=record,
        limits=robot.limits,
    )
