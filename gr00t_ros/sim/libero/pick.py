"""One episode of picking up a thing and placing it in the basket, from what is seen and felt.

Each query decides the phase anew from hand, fingers and picture. The memory is small: where the
thing and the basket were last seen, what the fingers were told, and whether the thing was let go.
So a missed or lost thing is looked for again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.libero.deltas import DeltaChunk, HandPose, plan
from gr00t_ros.sim.libero.objects import BASKET, GROCERIES, ThingKind
from gr00t_ros.sim.libero.sight import Sight

Array = NDArray[np.float64]

_SENTENCE = re.compile(r"pick up the (?P<thing>.+) and place it in the basket")

DOWN = np.diag([1.0, -1.0, -1.0])
"""Rotation of a hand that points down, the fingers apart along the world's y."""

# Heights of the grip site, m; the finger tips are 1 cm below it, the palm about 5 cm above it.
HOVER_M = 0.24  # nothing on the floor is higher than 0.15
_LOWEST_M = 0.013
_PALM_M = 0.042  # from the site up to what it may touch
_RIM_M = 0.148
_CLEAR_M = 0.035  # between the thing's bottom and the basket's rim
_BASKET_M = 0.13  # farther from its middle a thing is outside
_RELEASE_M = 0.05  # the thing's bottom over the basket's floor

_NEAR_M = 0.008
_FUNNEL_M = 0.02  # over a place within this, the hand may go down
_STUCK_M = 0.0015
_STUCK_NEAR_M = 0.02
_FAST, _SLOW = 0.75, 0.3  # largest deltas: on the way, and the last centimetres down
_SLOW_WITHIN_M = 0.03

# Opening: the distance between the fingers, m; 0.08 is open.
_EMPTY_M = 0.02  # with one of the things between them the fingers can't close further
_OPEN_M = 0.07
_STILL_M = 0.002

_SURE = 0.3  # mean evidence of a pixel
_TRUST_HEIGHT_M = 0.2  # a lower hand may hide the thing, or hold it


class PickPhase(Enum):
    """What the hand does."""

    SEARCH = "search"
    APPROACH = "approach"
    GRASP = "grasp"
    LIFT = "lift"
    CARRY = "carry"
    RELEASE = "release"
    RETREAT = "retreat"
    DONE = "done"


@dataclass(frozen=True, slots=True, eq=False)
class Intent:
    """Where the hand shall go, how fast at most, and whether the fingers shall be open."""

    phase: PickPhase
    goal: HandPose
    open: bool
    largest: float


def parse_task(text: str) -> ThingKind | None:
    """Return the thing that `text` asks to place in the basket; None if it is not understood."""
    match = _SENTENCE.fullmatch(" ".join(re.sub(r"[^\w\s]", " ", text.lower()).split()))
    names = {kind.name: kind for kind in GROCERIES}
    return names.get(match["thing"]) if match else None


def grasp_height_m(kind: ThingKind) -> float:
    """Return the height of the grip site that grasps the kind: low, but the palm stays clear."""
    return max(_LOWEST_M, kind.height_m - _PALM_M, 0.45 * kind.height_m)


class ScriptedEpisode:
    """The state of one task."""

    def __init__(self, kind: ThingKind) -> None:
        self.kind = kind
        self._thing_m: Array | None = None
        self._basket_m: Array | None = None
        self._closed = False
        self._let_go = False
        self._last: tuple[HandPose, float] | None = None
        self._chunk: DeltaChunk | None = None

    def act(
        self, picture: NDArray[np.uint8], hand: HandPose, opening_m: float, horizon: int
    ) -> tuple[Array, Intent | None]:
        """Return the chunk (H, 7): deltas, then the gripper, 0 closed .. 1 open; and its intent.

        `picture` (256, 256, 3) uint8 rgb of the agentview, as LIBERO's policies get it;
        `opening_m`: distance between the fingers. The hand stays (intent None) until thing and
        basket were seen.
        """
        self._look(picture, hand)
        intent = self._decide(hand, opening_m)
        self._last = (hand, opening_m)
        if intent is None:
            self._chunk = None
            still = np.zeros((horizon, 7))
            still[:, 6] = float(not self._closed)
            return still, None
        self._chunk = plan(hand, intent.goal, horizon, largest=intent.largest, before=self._chunk)
        gripper = np.full((horizon, 1), float(intent.open))
        return np.hstack([self._chunk.deltas, gripper]), intent

    def _look(self, picture: NDArray[np.uint8], hand: HandPose) -> None:
        if self._closed:
            return
        sight = Sight(picture)
        self._basket_m = _seen(sight, BASKET, self._basket_m, hand)
        self._thing_m = _seen(sight, self.kind, self._thing_m, hand)

    def _decide(self, hand: HandPose, opening_m: float) -> Intent | None:
        if self._basket_m is None:
            return None
        if self._let_go:
            return self._after(hand, opening_m)
        if not self._closed:
            return (
                self._search(hand) if self._thing_m is None else self._approach(hand, self._thing_m)
            )
        last_m = self._last[1] if self._last else opening_m
        if opening_m > _OPEN_M or abs(opening_m - last_m) > _STILL_M:
            return self._intent(PickPhase.GRASP, hand.position_m, is_open=False)
        if opening_m < _EMPTY_M:
            self._closed, self._thing_m = False, None  # missed or lost
            return self._search(hand)
        return self._carry(hand, self._basket_m)

    def _search(self, hand: HandPose) -> Intent | None:
        """Rise to where the hand hides nothing; stay there."""
        if hand.position_m[2] > _TRUST_HEIGHT_M:
            return None
        rise = np.array([*hand.position_m[:2], HOVER_M])
        return self._intent(PickPhase.SEARCH, rise, is_open=True)

    def _approach(self, hand: HandPose, thing_m: Array) -> Intent:
        place = np.array([*thing_m, grasp_height_m(self.kind)])
        if self._arrived(hand, place):
            self._closed = True
            return self._intent(PickPhase.GRASP, hand.position_m, is_open=False)
        return self._above(PickPhase.APPROACH, hand, place, HOVER_M, is_open=True)

    def _carry(self, hand: HandPose, basket_m: Array) -> Intent:
        high = grasp_height_m(self.kind) + _RIM_M + _CLEAR_M
        place = np.array([*basket_m, grasp_height_m(self.kind) + _RELEASE_M])
        if self._arrived(hand, place):
            self._closed, self._let_go, self._thing_m = False, True, None
            return self._intent(PickPhase.RELEASE, hand.position_m, is_open=True)
        far = np.linalg.norm(hand.position_m[:2] - place[:2]) > _FUNNEL_M
        phase = PickPhase.LIFT if far and hand.position_m[2] < high - _FUNNEL_M else PickPhase.CARRY
        return self._above(phase, hand, place, high, is_open=False)

    def _after(self, hand: HandPose, opening_m: float) -> Intent:
        if opening_m < _OPEN_M:
            return self._intent(PickPhase.RELEASE, hand.position_m, is_open=True)
        up = np.array([*hand.position_m[:2], HOVER_M + _RIM_M])
        if hand.position_m[2] < HOVER_M:
            return self._intent(PickPhase.RETREAT, up, is_open=True)
        if self._thing_m is not None and self._outside(self._thing_m):
            self._let_go = False
            return self._approach(hand, self._thing_m)
        return self._intent(PickPhase.DONE, hand.position_m, is_open=True)

    def _outside(self, thing_m: Array) -> bool:
        assert self._basket_m is not None
        return float(np.linalg.norm(thing_m - self._basket_m)) > _BASKET_M

    def _above(
        self, phase: PickPhase, hand: HandPose, place_m: Array, high_m: float, *, is_open: bool
    ) -> Intent:
        """Go over `place_m` at `high_m`, then down to it; straight up first where it is low."""
        off = float(np.linalg.norm(hand.position_m[:2] - place_m[:2]))
        goal = place_m.copy()
        largest = _FAST
        if off > _FUNNEL_M:
            goal[2] = high_m
            if hand.position_m[2] < high_m - _FUNNEL_M:
                goal[:2] = hand.position_m[:2]
        elif hand.position_m[2] - place_m[2] < _SLOW_WITHIN_M:
            largest = _SLOW
        return self._intent(phase, goal, is_open=is_open, largest=largest)

    def _intent(
        self, phase: PickPhase, goal_m: Array, *, is_open: bool, largest: float = _FAST
    ) -> Intent:
        return Intent(phase, HandPose(goal_m, DOWN), is_open, largest)

    def _arrived(self, hand: HandPose, place_m: Array) -> bool:
        """Whether the hand is there, or close and no longer moving."""
        off = float(np.linalg.norm(hand.position_m - place_m))
        moved = (
            np.inf
            if self._last is None
            else np.linalg.norm(hand.position_m - self._last[0].position_m)
        )
        return off < _NEAR_M or (off < _STUCK_NEAR_M and float(moved) < _STUCK_M)


def _seen(sight: Sight, kind: ThingKind, last_m: Array | None, hand: HandPose) -> Array | None:
    """Return where the kind is: as seen now, or where it was if the hand may hide it."""
    if last_m is not None and hand.position_m[2] < _TRUST_HEIGHT_M:
        return last_m
    seen = sight.find(kind)
    return last_m if seen is None or seen.mean_evidence < _SURE else seen.place_m
