"""A robot that nobody has: the page's source for tests, whose mode a test sets by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

JOINTS = [f"panda_joint{number}" for number in range(1, 8)]
CAMERAS = ("exterior_image_1_left", "wrist_image_left")
TASK = "put the red cube on the blue plate"
PERIOD_S = 0.1

MODES: dict[str, dict[str, Any]] = {
    "replaying": {"label": "Replaying", "severity": "ok"},
    "holding": {"label": "Holding", "severity": "info", "reason": "the plan has ended"},
    "paused": {
        "label": "Paused by a watch",
        "severity": "warn",
        "reason": "video.wrist_image_left: newest sample is 1.31 s old, at most 0.25 s allowed",
        "remedy": "Check the camera's driver and the network.",
    },
    "paused_by_operator": {
        "label": "Paused by the operator",
        "severity": "info",
        "reason": "pause was called by the page (token 1)",
    },
    "fault": {
        "label": "Fault",
        "severity": "error",
        "reason": "panda_joint4: measured 0.143 rad from the controller's reference, "
        "at most 0.100 rad for 0.20 s allowed",
        "remedy": "Look what holds the arm back, and free it.",
    },
    "e_stop": {
        "mode": "fault",
        "label": "Fault",
        "severity": "error",
        "reason": "e-stop by the service ~/estop",
        "remedy": "Make sure that the arm may move.",
    },
}


class FakeSource:
    """What `gr00t_ros.web.view.Source` asks for; `mode` and `connected` are set by tests."""

    def __init__(self, **facts: Any) -> None:
        self.cameras = CAMERAS
        self.mode = "replaying"
        self.connected = True
        self.commands: list[tuple[str, Any, str]] = []
        self.refused: dict[str, str] = {}
        self.unanswered: set[str] = set()
        self.reports: list[dict[str, Any]] = []
        self.picture: Callable[[str, float], np.ndarray] = _picture
        self.position_s = 12.0
        self.playing = True
        self._instruction = TASK
        self._history = [TASK, "open the drawer"]
        self._events: list[dict[str, Any]] = []
        self._recorder: dict[str, Any] = {"state": "idle", "episode": 3, "seconds": None}
        self._facts = {
            "node": "/gr00t_policy",
            "robot": "franka_droid",
            "cameras": list(CAMERAS),
            "source": "live",
            "joints": JOINTS,
            "can_command": True,
            "can_record": True,
            "duration_s": None,
            **facts,
        }
        self.tell("info", "the page's source began")

    def tell(self, level: str, text: str) -> None:
        """Add an event."""
        number = len(self._events) + 1
        event = {"number": number, "time_s": time.time(), "level": level, "text": text}
        self._events.append(event)

    def become(self, mode: str) -> None:
        """Change the mode, with its event."""
        self.mode = mode
        shown = MODES[mode]
        level = {"warn": "warn", "error": "error"}.get(shown["severity"], "info")
        self.tell(level, f"{shown['label']}: {shown.get('reason', '')}".rstrip(": "))

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def state(self) -> dict[str, Any]:
        late = self.mode == "paused"
        ages = {"video.exterior_image_1_left": (0.06, 0.25), "state.joint_position": (0.008, 0.1)}
        ages["video.wrist_image_left"] = (1.31 if late else 0.05, 0.25)
        ages["controller.panda_arm"] = (0.011, 0.5)
        stages = [("assemble", 3, 5), ("encode", 2, 4), ("inference", 71, 96), ("merge", 1, 2)]
        return {
            "stamp_s": time.time(),
            "connected": self.connected,
            "age_s": 0.05 if self.connected else 3.2,
            "mode": self.mode,
            "reason": "",
            "remedy": "",
            "instruction": self._instruction,
            "episode": 4,
            "streams": [
                {"name": name, "age_s": age, "limit_s": limit, "ok": age <= limit}
                for name, (age, limit) in ages.items()
            ],
            "latency": {
                "stages": [
                    {"stage": stage, "p50_ms": p50, "p95_ms": p95, "max_ms": p95 * 1.4}
                    for stage, p50, p95 in (*stages, ("end_to_end", 128, 161))
                ],
                "horizon_ms": 400.0,
                "end_to_end_ms": 161.0,
            },
            "details": [["server", "127.0.0.1:5555"], ["array_codec", "msgpack_numpy"]],
            "shadow": False,
            "recorder": self._recorder if self._facts["can_record"] else None,
            "history": self._history,
            "position_s": self.position_s,
            "playing": self.playing,
            **MODES[self.mode],
        }

    def frame(self, camera: str) -> tuple[int, bytes] | None:
        if camera == "wrist_image_left" and self.mode == "paused":
            return None
        now_ns = time.time_ns() // 100_000_000 * 100_000_000
        ok, jpeg = cv2.imencode(".jpg", self.picture(camera, now_ns / 1e9))
        assert ok
        return now_ns, jpeg.tobytes()

    def events_since(self, number: int) -> list[dict[str, Any]]:
        return [event for event in self._events if event["number"] > number]

    def curves(self) -> dict[str, Any]:
        now = time.time()
        t = np.arange(-100, 9) * PERIOD_S
        still = self.mode not in ("replaying", "paused")
        predicted, commanded, measured = [], [], []
        for i in range(len(JOINTS)):
            at = 0.0 if still else now
            wave = 0.4 * np.sin((t + at) * (0.5 + 0.06 * i) + i) + 0.1 * i
            predicted.append([round(float(v), 4) for v in wave])
            known = np.where(t <= 0, wave + 0.004 * np.sin(7 * t), np.nan)
            commanded.append(_numbers(known))
            measured.append(_numbers(known - 0.02 * np.cos((t + at) * 0.5 + i)))
        return {
            "names": JOINTS,
            "t": [round(float(v), 3) for v in t],
            "predicted": predicted,
            "commanded": commanded,
            "measured": measured,
        }

    async def command(self, name: str, value: Any, who: str) -> tuple[bool, str]:
        self.commands.append((name, value, who))
        if name in self.refused:
            return False, self.refused[name]
        after = {"pause": "paused_by_operator", "resume": "replaying", "reset": "replaying"}
        if name == "estop":
            self.become("e_stop")
            return True, "stopped, latched until reset"
        if name in after:
            self.become(after[name])
        if name == "instruction":
            self._instruction = value
            self._history = [value, *self._history]
        if name == "seek":
            self.position_s = value
        if name in ("play", "pause_bag"):
            self.playing = name == "play"
        if name.startswith("record_"):
            self._recorder = {**self._recorder, "state": name.removeprefix("record_")}
        return True, ""

    def close(self) -> None:
        """Nothing is held."""


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(v) else round(float(v), 4) for v in values]


def _picture(camera: str, at_s: float) -> np.ndarray:
    """A cube that moves over a table, (180, 320, 3) uint8, BGR."""
    picture = np.full((180, 320, 3), (150, 165, 170), np.uint8)
    picture[: 70 if camera.startswith("ext") else 30] = (205, 205, 200)
    cv2.circle(picture, (230, 130), 34, (190, 110, 40), -1)
    x = int(110 + 70 * math.sin(at_s))
    cv2.rectangle(picture, (x, 90), (x + 36, 126), (40, 40, 200), -1)
    return picture
