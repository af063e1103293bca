"""LIBERO's environment as a child process; runs in the extra's Python, without the package.

Reads requests from its standard input and writes answers to its standard output: each a msgpack map
behind its length (4 bytes, big-endian). `RequestLoop` lists the requests. Pictures come by
themselves from a second thread, which renders a copy of the state while the physics goes on. The
process ends when its input ends. Everything that libraries print goes to standard error.

One request advances the physics by one of its own steps (2 ms); 25 of them are one of LIBERO's
control steps, in the order in which robosuite's `step` makes them. Rendering uses MuJoCo's own
renderer on EGL; its pictures are those of robosuite's renderer, value by value.
"""

from __future__ import annotations

import os
import queue
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import mujoco
import numpy as np
from libero.libero import benchmark, get_libero_path
from libero.libero.envs.env_wrapper import ControlEnv

PICTURE_PX = 256
CAMERAS = {"front": "agentview", "wrist": "robot0_eye_in_hand"}
"""Our names of the cameras, and LIBERO's."""
SETTLE_STEPS = 10
"""Control steps without motion after a reset, in which things come to rest."""
REST = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
"""The action that holds still, with the gripper opening."""
EPISODE_S = {
    "libero_spatial": 11.0,
    "libero_object": 14.0,
    "libero_goal": 15.0,
    "libero_10": 26.0,
}
"""Simulated time that evaluations commonly give each suite (220, 280, 300 and 520 steps), s."""
OTHER_EPISODE_S = 20.0
_ARM = tuple(f"robot0_joint{number}" for number in range(1, 8))
_FINGERS = ("gripper0_finger_joint1", "gripper0_finger_joint2")
_HAND, _TOOL, _BASE = "robot0_right_hand", "gripper0_grip_site", "robot0_base"
_HIDDEN_GROUP = 0  # the collision shapes


class World:
    """One task of LIBERO; `advance` is one step of the physics."""

    def __init__(self, suite: str, task: int) -> None:
        """Load the task's world (1 to 5 s); ValueError for a suite or task that is not there."""
        suites = benchmark.get_benchmark_dict()
        if suite not in suites:
            known = ", ".join(EPISODE_S)
            raise ValueError(f"suite: got {suite!r}, expected {known}, or another of LIBERO-PRO's")
        tasks = suites[suite]()
        if not 0 <= task < tasks.n_tasks:
            raise ValueError(f"task: got {task}, expected 0 to {tasks.n_tasks - 1} in {suite}")
        one = tasks.get_task(task)
        file = Path(get_libero_path("bddl_files"), one.problem_folder, one.bddl_file)
        self.instruction = str(one.language)
        self.limit_s = EPISODE_S.get(suite, OTHER_EPISODE_S)
        self._starts = tasks.get_task_init_states(task)
        self._env = ControlEnv(
            bddl_file_name=str(file),
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            ignore_done=True,
            hard_reset=False,  # the same model again, from the same seed: 0.1 s instead of seconds
        )
        self._domain = self._env.env
        self.control_steps = round(self._domain.control_timestep / self._domain.model_timestep)
        self._find()

    def _find(self) -> None:
        """Look up where the robot is in MuJoCo's arrays."""
        self.model, self.data = self._env.sim.model._model, self._env.sim.data._data
        joints = [self.model.joint(name) for name in (*_ARM, *_FINGERS)]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._tool = self.model.site(_TOOL).id

    def reset(self, episode: int, seed: int) -> None:
        """Put everything to the beginning of an episode; ValueError if there is none."""
        if not 0 <= episode < len(self._starts):
            raise ValueError(f"episode: got {episode}, expected 0 to {len(self._starts) - 1}")
        self._env.seed(seed)
        self._env.reset()
        self._find()
        self._env.set_init_state(self._starts[episode])
        self._within = 0
        for _ in range(SETTLE_STEPS * self.control_steps):
            self.advance(REST)

    def advance(self, action: tuple[float, ...]) -> bool | None:
        """One step of the physics with an action (7,), each -1 to 1.

        The controller takes a new goal from it at the first of `control_steps`; after the last it
        returns whether the task is done, otherwise None.
        """
        values = np.clip(np.asarray(action, dtype=float), -1.0, 1.0)
        self._domain._pre_action(values, self._within == 0)
        self._env.sim.step()
        self._within = (self._within + 1) % self.control_steps
        done = None
        if self._within == 0:
            self._domain._post_action(values)
            done = bool(self._domain._check_success())
        self._env.sim.forward()
        return done

    def state(self) -> dict[str, list[float]]:
        """What sensors of the robot see: joints, tool pose and twist; m, rad, s, N m.

        The fingers are as in LIBERO's model: the second counts downwards. `tool`: position of the
        point between the fingers and orientation of the hand (x, y, z, w), in the world.
        """
        data = self.data
        twist = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, data, mujoco.mjtObj.mjOBJ_SITE, self._tool, twist, 0)
        return {
            "position": data.qpos[self._qpos].tolist(),
            "velocity": data.qvel[self._qvel].tolist(),
            "effort": (data.qfrc_actuator + data.qfrc_gravcomp)[self._qvel].tolist(),
            "tool": [
                *data.site_xpos[self._tool].tolist(),
                *np.roll(data.body(_HAND).xquat, -1).tolist(),
            ],
            "twist": [*twist[3:].tolist(), *twist[:3].tolist()],
            "base": [
                *data.body(_BASE).xpos.tolist(),
                *np.roll(data.body(_BASE).xquat, -1).tolist(),
            ],
        }


class CameraThread:
    """Renders the newest state that it was given, in a thread of its own that owns the GL."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        """`send` gets `{"pictures": {camera: (H, W, 3) bytes}, "tag": ...}` from the thread."""
        self._send = send
        self._asked: queue.SimpleQueue[tuple[mujoco.MjModel, Any, Any] | None] = queue.SimpleQueue()
        self._model: mujoco.MjModel | None = None
        self._renderer: Any = None  # of that model
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)
        self._thread.start()

    def ask(self, world: World, tag: int) -> None:
        """Render the world's present state; the pictures carry the tag."""
        self._asked.put((world.model, world.data.qpos.copy(), tag))

    def close(self) -> None:
        """End the thread after what was asked, and wait for it."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            model, positions, tag = asked
            try:
                self._send({"pictures": self._render(model, positions), "tag": tag})
            except Exception:
                self._send({"error": f"camera thread:\n{traceback.format_exc(limit=6)}"})
        self._close()  # in the thread that has its context

    def _render(self, model: mujoco.MjModel, positions: Any) -> dict[str, bytes]:
        if model is not self._model:
            self._close()
            # the buffer's size is read from the model; a larger one only takes time
            model.vis.global_.offwidth = model.vis.global_.offheight = PICTURE_PX
            self._model, self._data = model, mujoco.MjData(model)
            self._renderer = mujoco.Renderer(model, PICTURE_PX, PICTURE_PX)
            self._seen = mujoco.MjvOption()
            self._seen.geomgroup[_HIDDEN_GROUP] = 0
        self._data.qpos[:] = positions
        mujoco.mj_kinematics(model, self._data)
        mujoco.mj_camlight(model, self._data)
        return {name: self._picture(camera) for name, camera in CAMERAS.items()}

    def _close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()

    def _picture(self, camera: str) -> bytes:
        """As a real camera's picture: its first row is the top one, and it is not mirrored."""
        self._renderer.update_scene(self._data, camera=camera, scene_option=self._seen)
        return bytes(self._renderer.render().tobytes())


class RequestLoop:
    """Answers requests until the input ends."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers
        self._lock = threading.Lock()
        self._world: World | None = None
        self._task: tuple[str, int] | None = None
        self._cameras = CameraThread(self._send)

    def serve(self) -> None:
        """Answer each request by a map: with `error`, a text, if it failed."""
        while (request := self._receive()) is not None:
            try:
                answer = getattr(self, f"_on_{request.pop('do')}")(**request)
            except ValueError as error:
                answer = {"error": str(error)}
            except Exception:
                answer = {"error": traceback.format_exc(limit=8)}
            self._send({"answer": answer})
        self._cameras.close()

    def _on_reset(self, suite: str, task: int, episode: int, seed: int) -> dict[str, Any]:
        """Begin an episode of a task."""
        if self._task != (suite, task) or self._world is None:
            self._task = None
            self._world = World(suite, task)
            self._task = (suite, task)
        self._world.reset(episode, seed)
        return {
            "instruction": self._world.instruction,
            "limit_s": self._world.limit_s,
            "control_steps": self._world.control_steps,
            "state": self._world.state(),
        }

    def _on_step(self, action: list[float], picture: int | None) -> dict[str, Any]:
        """One step of the physics; `picture`: render the state after it, with this tag."""
        if self._world is None:
            raise ValueError("step: no task is loaded, expected a reset before it")
        done = self._world.advance(tuple(action))
        if picture is not None:
            self._cameras.ask(self._world, picture)
        return {"state": self._world.state(), "done": done}

    def _on_picture(self, picture: int) -> dict[str, Any]:
        """Render the present state."""
        if self._world is None:
            raise ValueError("picture: no task is loaded, expected a reset before it")
        self._cameras.ask(self._world, picture)
        return {}

    def _receive(self) -> dict[str, Any] | None:
        head = self._requests.read(4)
        if len(head) < 4:
            return None
        body = self._requests.read(struct.unpack(">I", head)[0])
        request = msgpack.unpackb(body)
        return request if isinstance(request, dict) else {"do": "nothing"}

    def _send(self, message: dict[str, Any]) -> None:
        body = msgpack.packb(message)
        with self._lock:
            self._answers.write(struct.pack(">I", len(body)) + body)
            self._answers.flush()


def main() -> int:
    """Serve on the standard streams; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        RequestLoop(sys.stdin.buffer, answers).serve()
    except BrokenPipeError:  # nobody waits for the answer
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
