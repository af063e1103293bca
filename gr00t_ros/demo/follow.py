"""One run of the demo, followed over topics to its end: progress lines, figures, verdict."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from gr00t_ros.collide.description import disabled_pairs, read_description
from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.files import load_scene, read_mesh
from gr00t_ros.demo.attempt import attempt, followed, labelled, say
from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.demo.page import address_of, show
from gr00t_ros.demo.report import NEXT_STEPS, DemoResult, limits_text, percentiles_ms, write_report
from gr00t_ros.demo.watcher import Watcher, command_start_s
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.limits import JointLimits
from gr00t_ros.ros.clock import USE_SIM_TIME
from gr00t_ros.sim.description import RobotDescription
from gr00t_ros.sim.record import Record, broken, explained, load_record
from gr00t_ros.sim.robots import find_robot

_LATE = "check the CPU's load"  # as session/settling and node/replay_thread say it
_SLOWER = "; this machine was late: --real-time-factor 0.5 slows the simulation down"
_EVERY_ROWS = 5  # of the 1 kHz record, from one distance to the next


def follow(bringup: Bringup, options: argparse.Namespace) -> DemoResult:
    """Follow the processes of `bringup` until the task is done or has failed, and end them."""
    rclpy.init()
    watcher = Watcher(find_robot(options.robot).camera_names, start_s=command_start_s())
    if options.real_time_factor < 1.0:
        watcher.set_parameters([Parameter(USE_SIM_TIME, value=True)])
    executor = SingleThreadedExecutor()
    executor.add_node(watcher)

    def play() -> str:
        if options.watch:
            show(address_of(bringup), bringup.folder)
        problem = _watch(watcher, executor, bringup, options)
        if options.record:
            problem = labelled(watcher, executor, problem)
        if options.keep:
            _keep(executor)
        return problem

    problem = attempt(bringup, executor, play)
    run = _run(watcher, problem, bringup.folder, options)
    watcher.destroy_node()
    rclpy.try_shutdown()
    return run


def _watch(
    watcher: Watcher,
    executor: SingleThreadedExecutor,
    bringup: Bringup,
    options: argparse.Namespace,
) -> str:
    """Follow the run to its end; returns what went wrong, or "" on success."""
    deadline_s = time.monotonic() + options.timeout
    progress_s = 0.0
    while time.monotonic() < deadline_s:
        end = followed(watcher, executor, bringup)
        if end is not None:
            return end
        if watcher.elapsed_s - progress_s >= 1.0:
            progress_s = watcher.elapsed_s
            say(_progress(watcher))
    mode = watcher.status.mode if watcher.status else "no status"
    reason = watcher.status.reason if watcher.status else "is the node running?"
    late = any(_LATE in event for _, event in watcher.events)
    remedy = _SLOWER if late and options.real_time_factor == 1.0 else ""
    return f"not done after {options.timeout:.0f} s; node {mode}: {reason}{remedy}"


def _progress(watcher: Watcher) -> str:
    mode = watcher.status.mode if watcher.status else "starting"
    progress = watcher.robot.get("progress", "")
    return f"{watcher.elapsed_s:6.1f} s  {mode:<12} chunks {watcher.accepted:<3} {progress}"


def _keep(executor: SingleThreadedExecutor) -> None:
    domain = os.environ["ROS_DOMAIN_ID"]
    say(f"left running: export ROS_DOMAIN_ID={domain} to look with ROS tools; Ctrl-C ends it")
    while True:
        executor.spin_once(timeout_sec=0.1)


def _run(watcher: Watcher, problem: str, folder: Path, options: argparse.Namespace) -> DemoResult:
    path = folder / "record.npz"
    record = load_record(path) if path.exists() else None
    figures = _figures(watcher, options, record)
    verdict = problem.splitlines()[0] if problem else f"{options.instruction}: done"
    limits = load_embodiment(options.embodiment).limits
    return DemoResult(
        success=not problem,
        verdict=verdict,
        figures={
            "success": not problem,
            "problem": problem,
            **figures,
            **_clearance(record, options),
            "limits_broken": None if record is None else _broken(record, limits),
        },
        frames=watcher.frames,
        latencies_s={
            "inference (request to reply)": watcher.inference_s,
            "end to end (observation's stamp to merged chunk)": watcher.end_to_end_s,
        },
        events=watcher.events,
        record=record,
        limits=limits,
    )


def _broken(record: Record, limits: JointLimits) -> list[str]:
    """What is beyond its limit, and a last line about the latest window, which may be the cause."""
    found = broken(record, limits)
    return [line for line in (*found, explained(record)) if line] if found else []


def _clearance(record: Record | None, options: argparse.Namespace) -> dict[str, object]:
    """The smallest distance in the scene, and between what; nothing without a scene."""
    if record is None or not options.scene:
        return {}
    found = min_clearance(record, find_robot(options.robot), options.scene)
    return {"scene": options.scene, "min_clearance_m": found.distance_m, "nearest": found.between}


class SmallestDistance(NamedTuple):
    """The smallest distance, m, and the two things that it is between; wanted contacts left out."""

    distance_m: float
    between: str


def min_clearance(record: Record, robot: RobotDescription, scene: str) -> SmallestDistance:
    """The smallest distance of a record's commanded positions in the scene of that name or path.

    Looks at every fifth row: at 1 rad/s a distance is right within 5 mrad times the reach.
    """
    from gr00t_ros.sim.urdf import robot_srdf, robot_urdf  # MuJoCo: a run without a scene spares it

    model = robot.build_model(0)
    disabled = disabled_pairs(robot_srdf(robot, model), robot.name)
    description = read_description(robot_urdf(robot, model), robot.name, read_mesh, disabled)
    held = {
        joint.name: joint.ready_rad
        for joint in robot.joints
        if joint.name not in record.joint_names
    }
    engine = CollisionEngine(description, load_scene(scene), record.joint_names, held=held)
    judged = [index for index, pair in enumerate(engine.pairs) if pair.contact is None]
    smallest = SmallestDistance(float("inf"), "")
    for position in record.position[::_EVERY_ROWS]:
        distance = engine.distances(position, smallest.distance_m)[judged]
        nearest = int(np.argmin(distance))
        if distance[nearest] < smallest.distance_m:
            smallest = SmallestDistance(
                float(distance[nearest]), str(engine.pairs[judged[nearest]])
            )
    return smallest


def _figures(
    watcher: Watcher, options: argparse.Namespace, record: Record | None
) -> dict[str, object]:
    inference = percentiles_ms(watcher.inference_s)
    end_to_end = percentiles_ms(watcher.end_to_end_s)
    status = watcher.status
    return {
        "robot": options.robot,
        "seed": options.seed,
        "real_time_factor": options.real_time_factor,
        "instruction": options.instruction,
        "codec": options.codec,
        "server_generation": status.server_generation if status else "",
        "array_codec": status.array_codec if status else "",
        "queries": int(status.queries) if status else 0,
        "chunks_accepted": watcher.accepted,
        "chunks_refused": watcher.refused,
        "chunks_dropped": watcher.dropped,
        "windows_published": int(status.windows_published) if status else 0,
        "inference_p50_ms": inference[0],
        "inference_p99_ms": inference[1],
        "end_to_end_p50_ms": end_to_end[0],
        "end_to_end_p99_ms": end_to_end[1],
        "first_motion_s": watcher.first_motion_s,
        "motion_time_s": motion_time_s(record),
        "elapsed_s": watcher.elapsed_s,
    }


def motion_time_s(record: Record | None) -> float:
    """Total time in which a joint was commanded to move, s, from the robot's 1 kHz record."""
    if record is None or not len(record.time_ns):
        return 0.0
    return float(np.count_nonzero(np.abs(record.velocity).max(axis=1) > 1e-6)) * 1e-3


def finish(run: DemoResult, folder: Path, options: argparse.Namespace) -> int:
    """Write the report and print the verdict; returns the process's exit status."""
    page = write_report(folder, run)
    if options.json:
        options.json.write_text(json.dumps(run.figures, indent=2) + "\n")
    f = run.figures
    for text, command in NEXT_STEPS if run.success else ():
        say(f"next: {command:38} {text}")
    say(f"report: {page}")
    say(
        f"{'SUCCESS' if run.success else 'FAILURE'}: {run.verdict} | "
        f"{f['queries']} queries, {f['chunks_accepted']} chunks, "
        f"inference p50/p99 {f['inference_p50_ms']:.0f}/{f['inference_p99_ms']:.0f} ms, "
        f"end to end p50/p99 {f['end_to_end_p50_ms']:.0f}/{f['end_to_end_p99_ms']:.0f} ms, "
        f"motion {f['motion_time_s']:.1f} s, {limits_text(f['limits_broken'])}"
        f"{_clearance_text(f)}"
    )
    return 0 if run.success else 1


def _clearance_text(figures: Mapping[str, Any]) -> str:
    if "nearest" not in figures:
        return ""
    return f", nearest {1e3 * figures['min_clearance_m']:.0f} mm: {figures['nearest']}"
