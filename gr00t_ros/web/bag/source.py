"""The source of the page that plays a bag or an episode of a recording, and its clock.

It commands no robot. One thread reads and decodes; the event loop only takes what that thread has
made last.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gr00t_ros.errors import BagError, Gr00tError, SettingsError
from gr00t_ros.record.facts import EpisodeFacts, read_facts
from gr00t_ros.record.recording import EMBODIMENT_FILE, EPISODE, episode_folders
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.web import snapshot
from gr00t_ros.web.bag.view import BagView
from gr00t_ros.web.view import Facts, LoggedEvent, PageCurves, PageSnapshot

SPEEDS: Final = (0.1, 20.0)
"""Seconds of the bag in one second, at least and at most."""


class PlayClock:
    """The position in a bag, ns from its start; stands at the end."""

    def __init__(self, duration_ns: int, now_ns: Callable[[], int]) -> None:
        """Start paused at the beginning; `now_ns` is steady time."""
        self.duration_ns, self.speed, self.playing = duration_ns, 1.0, False
        self._now_ns, self._since_ns, self._from_ns = now_ns, 0, 0

    @property
    def position_ns(self) -> int:
        """The position now."""
        if not self.playing:
            return self._from_ns
        passed = round((self._now_ns() - self._since_ns) * self.speed)
        return min(self._from_ns + passed, self.duration_ns)

    @property
    def at_end(self) -> bool:
        """Whether everything was played."""
        return self.position_ns >= self.duration_ns

    def play(self) -> None:
        """Run; from the beginning if it stands at the end."""
        self._set(0 if self.at_end else self.position_ns)
        self.playing = True

    def pause(self) -> None:
        """Stand."""
        self._set(self.position_ns)
        self.playing = False

    def seek(self, seconds: object) -> None:
        """Go to a position, s from the start; runs on if it ran. SettingsError outside the bag."""
        longest = self.duration_ns * 1e-9
        value = _number(seconds)
        if value is None or not 0.0 <= value <= longest + 1e-3:
            raise SettingsError(f"seek: got {seconds!r}, expected 0 to {longest:.3f} s")
        self._set(min(round(value * 1e9), self.duration_ns))

    def set_speed(self, factor: object) -> None:
        """Seconds of the bag in one second; raises SettingsError outside SPEEDS."""
        value = _number(factor)
        if value is None or not SPEEDS[0] <= value <= SPEEDS[1]:
            raise SettingsError(f"speed: got {factor!r}, expected {SPEEDS[0]:g} to {SPEEDS[1]:g}")
        self._set(self.position_ns)
        self.speed = value

    def _set(self, position_ns: int) -> None:
        self._from_ns, self._since_ns = position_ns, self._now_ns()


def _number(value: object) -> float | None:
    """A finite number, None for anything else (true and false are no numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


PERIOD_S: Final = 1 / 15
_CURVES_EVERY: Final = 3  # passes: five curves a second
ONLY_SHOWN: Final = "this is a bag: it is only shown, and no robot is commanded"


@dataclass(frozen=True, slots=True)
class _Shown:
    """What was made for one position."""

    position_ns: int = 0
    state: dict[str, Any] = field(default_factory=snapshot.empty)
    frames: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)


class BagSource:
    """A Source (web/view) over one bag; `start` begins to play it."""

    def __init__(self, view: BagView, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Show the beginning; `now_ns` is steady time. `close` closes the view too."""
        self._view, self._lock = view, threading.Lock()
        self._clock = PlayClock(view.duration_ns, now_ns)
        self._problem = ""
        self._shown = _Shown(curves=view.curves(0))
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.cameras = view.cameras
        self.refresh()

    @property
    def missing(self) -> tuple[str, ...]:
        """What cannot be shown from this bag, each as a sentence with what to do."""
        return self._view.missing

    def start(self) -> None:
        """Play, and follow the clock in a thread of its own."""
        with self._lock:
            self._clock.play()
        self._thread = threading.Thread(target=self._follow, name="bag", daemon=True)
        self._thread.start()

    def facts(self) -> Facts:
        """What does not change while the bag is shown."""
        return {
            "node": self._view.node,
            "robot": self._view.robot,
            "cameras": list(self.cameras),
            "source": "bag",
            "joints": list(self._view.joints),
            "can_command": False,
            "can_record": False,
            "duration_s": self._view.duration_ns * 1e-9,
        }

    def state(self) -> PageSnapshot:
        """The newest snapshot, with where the bag stands: position_s, playing, speed."""
        with self._lock:
            playing, speed = self._clock.playing and not self._clock.at_end, self._clock.speed
        shown = self._shown
        found = shown.state | {
            "position_s": round(shown.position_ns * 1e-9, 3),
            "playing": playing,
            "speed": speed,
        }
        if self._problem:
            found |= {"severity": "error", "reason": self._problem}
        return found

    def frame(self, camera: str) -> tuple[int, bytes] | None:
        """Stamp in ns and JPEG of the newest picture."""
        return self._shown.frames.get(camera)

    def events_since(self, number: int) -> list[LoggedEvent]:
        """The events with a larger number, up to the position that is shown."""
        return [*self._view.events_since(number, self._shown.position_ns)]

    def curves(self) -> PageCurves:
        """The joint curves of the last ten seconds."""
        return self._shown.curves

    async def command(self, name: str, value: object, who: str) -> tuple[bool, str]:
        """Play, hold, go to a position or change the speed; every command to a robot is refused."""
        try:
            with self._lock:
                text = self._carry_out(name, value)
        except SettingsError as error:
            return False, str(error)
        self._wake.set()
        return True, text

    def close(self) -> None:
        """End the thread and close the bag."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._view.close()

    def refresh(self, with_curves: bool = True) -> None:
        """Make what belongs to the present position; called by the thread, or by a test."""
        with self._lock:
            position_ns = self._clock.position_ns
        try:
            state, frames = self._view.state(position_ns), self._view.frames(position_ns)
            curves = self._view.curves(position_ns) if with_curves else self._shown.curves
        except Exception as error:  # such as a message that cannot be read: the page says so
            named = isinstance(error, Gr00tError)
            self._problem = str(error) if named else f"{type(error).__name__}: {error}"
            with self._lock:
                self._clock.pause()
            return
        self._problem = ""
        self._shown = _Shown(position_ns, state, frames, curves)

    def _carry_out(self, name: str, value: object) -> str:
        clock = self._clock
        if name == "play":
            clock.play()
            return f"plays at speed {clock.speed:g}"
        if name == "pause_bag":
            clock.pause()
        elif name == "seek":
            clock.seek(value)
        elif name == "speed":
            clock.set_speed(value)
            return f"speed {clock.speed:g}"
        else:
            raise SettingsError(ONLY_SHOWN)
        return f"at {clock.position_ns * 1e-9:.1f} s"

    def _follow(self) -> None:
        passes = 0
        while not self._closing.is_set():
            sought = self._wake.is_set()
            self._wake.clear()
            self.refresh(with_curves=sought or passes % _CURVES_EVERY == 0)
            passes += 1
            self._wake.wait(PERIOD_S)


def open_source(
    path: Path,
    node: str,
    embodiment: str | None = None,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> BagSource:
    """The source of a bag, of an episode's folder, or of a recording with one episode.

    embodiment: name or path; else the recording's own. Raises BagError and EmbodimentError.
    """
    folder = _episode(path)
    facts = read_facts(folder) if folder.is_dir() else None
    robot = _robot(folder, embodiment)
    named = facts.policy_node if facts is not None and facts.policy_node else node
    return BagSource(_view(folder, robot, named, facts), now_ns)


def _view(folder: Path, robot: Embodiment | None, node: str, facts: EpisodeFacts | None) -> BagView:
    try:
        return BagView(folder, robot, node, facts)
    except BagError as error:
        if EPISODE.fullmatch(folder.name) and facts is None:
            raise BagError(
                f"{error}; if its recorder was killed: gr00t record recover {folder}"
            ) from error
        raise


def _episode(path: Path) -> Path:
    """The folder of a bag; the only episode of a recording. BagError if it has several."""
    if not path.is_dir() or not (path / EMBODIMENT_FILE).is_file():
        return path
    episodes = episode_folders(path)
    if len(episodes) == 1:
        return episodes[0]
    if not episodes:
        raise BagError(f"{path}: got a recording without an episode, expected one: record one")
    raise BagError(
        f"{path}: got a recording with {len(episodes)} episodes, expected one of them: "
        f"{episodes[0]} to {episodes[-1].name}"
    )


def _robot(folder: Path, embodiment: str | None) -> Embodiment | None:
    if embodiment is not None:
        return load_embodiment(embodiment)
    kept = folder.absolute().parent / EMBODIMENT_FILE
    try:
        return load_embodiment(str(kept)) if kept.is_file() else None
    except Gr00tError as error:
        raise BagError(f"{kept}: {error}; give another file: --embodiment NAME|FILE") from error
