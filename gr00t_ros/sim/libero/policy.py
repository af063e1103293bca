"""LIBERO's scripted policy: it sees the named thing and the basket, and picks and places.

It gets what a checkpoint for LIBERO_PANDA gets: pictures, state, sentence; no clock, no ROS, no
simulator, no weights. It keeps the memory of one episode (pick.ScriptedEpisode); a reset or another
sentence drops it. It stays still when it does not understand the sentence, does not see thing and
basket, or gets an implausible state.

`python -m gr00t_ros.sim.libero.policy` serves it behind GR00T's wire. It prints ``READY
tcp://HOST:PORT`` to stdout when clients can connect; all else goes to stderr.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.command_line import DONE, MISUSE, CommandParser, program, whole_number
from gr00t_ros.errors import EmbodimentError, Gr00tError, ObservationError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.policies import Action, PolicyObservation, modality_of, state_widths
from gr00t_ros.serve.robots import Robots
from gr00t_ros.serve.server import Delay, PolicyServer
from gr00t_ros.sim.description import need
from gr00t_ros.sim.libero.deltas import hand_of
from gr00t_ros.sim.libero.pick import ScriptedEpisode, parse_task

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

PICTURE_KEY = "image"
PICTURE_PX = (256, 256)
_POSE_KEYS = ("x", "y", "z", "roll", "pitch", "yaw")
_WIDTHS = {**dict.fromkeys(_POSE_KEYS, 1), "gripper": 2}
# LIBERO's world around its robot, m: a state outside is not of LIBERO, or in another frame.
_LOW_M, _HIGH_M = np.array([-0.5, -0.6, -0.05]), np.array([0.5, 0.6, 0.8])
_OPENINGS_M = (-0.01, 0.1)


class ScriptedPolicy:
    """Picks up the named thing and places it in the basket; a Policy (policies.Policy)."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError if a key is missing or has another width or representation."""
        self.modality: ModalityConfig = modality_of(embodiment)
        self._horizon = embodiment.action_horizon
        self._language_key = embodiment.language_key
        need(embodiment, "video", {stream.key for stream in embodiment.video}, {PICTURE_KEY})
        widths = {stream.key: stream.width for stream in embodiment.state}
        need(embodiment, "state", set(widths), set(_WIDTHS))
        need(embodiment, "action", {action.key for action in embodiment.action}, set(_WIDTHS))
        need(embodiment, "action", set(_WIDTHS), {action.key for action in embodiment.action})
        for key, width in _WIDTHS.items():
            if widths[key] != width:
                raise EmbodimentError(
                    f"{embodiment.source}: state.{key}: the scripted policy needs width {width}, "
                    f"got {widths[key]}"
                )
        for action in embodiment.action:
            if action.key != "gripper" and action.representation != "delta":
                raise EmbodimentError(
                    f"{embodiment.source}: action.{action.key}: the scripted policy returns delta, "
                    f"got {action.representation}"
                )
        self._episode: ScriptedEpisode | None = None

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Drop the episode."""
        self._episode = None
        return {}

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return deltas in -1..1 and the gripper 0..1, key -> (1, H, 1) float32, and the phase.

        Raises ObservationError for more than one robot, another size of the picture, and a state
        that is not finite.
        """
        picture, pose, fingers_m = _read(observation)
        episode = self._episode_of(observation["language"][self._language_key][0][0])
        why = _implausible(pose, fingers_m)
        if episode is None or why:
            reason = why or "the sentence is not understood"
            return self._action(_still(self._horizon, fingers_m)), _info("still", reason)
        hand = hand_of(pose[:3], pose[3:])
        chunk, intent = episode.act(
            picture, hand, float(fingers_m[0] - fingers_m[1]), self._horizon
        )
        if intent is None:
            return self._action(chunk), _info("still", "thing or basket is not in sight")
        return self._action(chunk), _info(intent.phase.value, "")

    def _episode_of(self, text: str) -> ScriptedEpisode | None:
        kind = parse_task(text)
        if kind is None:
            self._episode = None
        elif self._episode is None or self._episode.kind is not kind:
            self._episode = ScriptedEpisode(kind)
        return self._episode

    def _action(self, chunk: Array) -> Action:
        columns = dict(zip((*_POSE_KEYS, "gripper"), chunk.T, strict=True))
        return {
            key: columns[key][None, :, None].astype(np.float32)
            for key in self.modality["action"].keys
        }


def _read(observation: PolicyObservation) -> tuple[NDArray[np.uint8], Array, Array]:
    """Return the newest picture, the pose (6,) and the fingers (2,) m; raises ObservationError."""
    picture = np.asarray(observation["video"][PICTURE_KEY])
    state = {key: np.asarray(observation["state"][key]) for key in _WIDTHS}
    if len(picture) != 1 or any(len(value) != 1 for value in state.values()):
        raise ObservationError("the scripted policy drives one robot, got a batch of several")
    if picture.shape[2:] != (*PICTURE_PX, 3):
        raise ObservationError(
            f"video.{PICTURE_KEY} is {picture.shape[2:]}, expected (256, 256, 3): the camera is "
            "known for this size only"
        )
    pose = np.array([state[key][0, -1, 0] for key in _POSE_KEYS], dtype=np.float64)
    fingers_m = np.asarray(state["gripper"][0, -1], dtype=np.float64)
    if not (np.all(np.isfinite(pose)) and np.all(np.isfinite(fingers_m))):
        raise ObservationError(f"the state is not finite: {pose}, gripper {fingers_m}")
    return picture[0, -1], pose, fingers_m


def _implausible(pose: Array, fingers_m: Array) -> str:
    """Return what is wrong with a state; "" if nothing is."""
    if np.any(pose[:3] < _LOW_M) or np.any(pose[:3] > _HIGH_M):
        return f"the hand at {pose[:3].round(3)} m is outside LIBERO's world"
    opening_m = float(fingers_m[0] - fingers_m[1])
    if not _OPENINGS_M[0] <= opening_m <= _OPENINGS_M[1]:
        return f"the fingers are {opening_m:.3f} m apart; the second one counts downwards in LIBERO"
    return ""


def _still(horizon: int, fingers_m: Array) -> Array:
    """Return a chunk (H, 7) without motion; fingers that may hold something stay closed."""
    still = np.zeros((horizon, 7))
    still[:, 6] = float(fingers_m[0] - fingers_m[1] > 0.07)
    return still


def _info(phase: str, reason: str) -> Mapping[str, Any]:
    return {"phase": phase, "reason": reason}


def main(argv: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM: DONE; MISUSE if it cannot start."""
    options = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    try:
        embodiment = load_embodiment(options.embodiment)
        server = PolicyServer(
            Robots(lambda: ScriptedPolicy(embodiment)),
            bind=f"tcp://127.0.0.1:{options.port}",
            state_widths=state_widths(embodiment),
            delay=Delay(options.latency_ms),
        )
    except Gr00tError as error:
        log.error("%s", error)
        return MISUSE
    with server:
        server.stop_on(signal.SIGINT, signal.SIGTERM)
        print(f"READY {server.address}", flush=True)
        server.serve_forever()
    return DONE


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t sim libero-policy",
        description="Serve the policy that sees and does LIBERO's pick-and-place tasks, "
        "with this computer's clients only.",
        example="gr00t sim libero-policy --port 5555 --latency-ms 150",
    )
    add = parser.add_argument
    add("--port", type=whole_number(0, 65_535), default=5555, help="0 for a free one (%(default)s)")
    add(
        "--latency-ms",
        type=float,
        metavar="MS",
        default=0.0,
        help="least time from request to reply, of the wall clock (%(default)s)",
    )
    add("--embodiment", default="libero_panda", help="name or file (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(program(lambda: main(sys.argv[1:])))
