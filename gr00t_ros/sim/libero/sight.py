"""Where a known thing stands on the floor, found in LIBERO's agentview picture.

Each pixel gets the evidence for a kind: the logarithm of how much likelier its colour is on that
kind than on the floor or on another kind. A thing stands where the evidence inside its outline adds
up to the most: first with boxes around the outline on a coarse grid of the floor, then with the
outline itself on finer grids. A pixel of another kind counts little against it, because a thing may
stand behind another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.libero.objects import FLOOR, KINDS, SURROUNDINGS, Colour, ThingKind
from gr00t_ros.sim.vision import PinholeCamera

Array = NDArray[np.float64]

# agentview of LIBERO's floor scenes (position and quaternion of its model file), mirrored: LIBERO's
# policies get the picture of OpenGL turned by 180 degrees, which is upright and mirrored.
_BACK = np.array([0.848765, 0.0, 0.528770])
AGENTVIEW = PinholeCamera(
    np.array([0.896577, 0.0, 0.65]),
    np.column_stack([[0.0, -1.0, 0.0], [-0.528770, 0.0, 0.848765], _BACK]),
    np.pi / 4.0,
)
FLOOR_M = ((-0.26, 0.24), (-0.32, 0.34))
"""Ranges of x and y in which things are looked for, m in the world."""

_COARSE_M = 0.012
_ROUGH_M, _FINE_M = (0.016,), (0.008, 0.004, 0.002)  # steps of the finer grids
_KEPT = 3  # of the peaks, after the rough steps
_REACH = 2  # steps to each side
_PEAKS = 10
_APART_M = 0.03
_FOR, _AGAINST = 3.0, 1.2  # at most so much evidence from one pixel
_HIDDEN = 0.6  # evidence against it from a pixel of another thing
_OTHERS = 0.1  # how likely a pixel is another thing's, beside the floor's
_CORNERS = 16
_WHITE = 255.0
_LEAST = -30.0  # log-likelihood of a colour that a mixture does not have
_SOFTNESS = 12.0  # places with this much less evidence count 1/e in the mean


@dataclass(frozen=True, slots=True, eq=False)
class SeenThing:
    """A thing on the floor at `place_m` (2,) in the world.

    evidence: the sum over the pixels of its outline; mean_evidence: that of one of them.
    """

    place_m: Array
    evidence: float
    mean_evidence: float


class Sight:
    """One picture; the likelihood of every kind at every pixel is computed once."""

    def __init__(self, picture: NDArray[np.uint8], camera: PinholeCamera = AGENTVIEW) -> None:
        """`picture` (H, W, 3) uint8 rgb, as LIBERO's policies get it."""
        self._camera = camera
        self._size_px = (picture.shape[0], picture.shape[1])
        mixtures = [FLOOR, SURROUNDINGS, *(kind.colours for kind in KINDS)]
        self._floor, surroundings, *looks = _log_likelihoods(picture, mixtures)
        names = [kind.name for kind in KINDS]
        self._looks = dict(zip(names, looks, strict=True)) | {"": surroundings}

    def find(self, kind: ThingKind) -> SeenThing | None:
        """Return the place with the most evidence for the kind; None if it is out of FLOOR_M.

        There is such a place for a thing that is not there too: see its mean evidence.
        """
        evidence = self._evidence(kind)
        rough = [
            self._refine(kind, evidence, peak, _ROUGH_M) for peak in self._peaks(kind, evidence)
        ]
        best = sorted(rough, key=lambda one: -one.evidence)[:_KEPT]
        fine = [self._refine(kind, evidence, one.place_m, _FINE_M) for one in best]
        found = [one for one in fine if _on_floor(one.place_m)]
        return max(found, key=lambda one: one.evidence, default=None)

    def _evidence(self, kind: ThingKind) -> NDArray[np.float32]:
        others = [look for name, look in self._looks.items() if name != kind.name]
        rival = np.max(others, axis=0) + np.log(_OTHERS)
        evidence = self._looks[kind.name] - np.logaddexp(self._floor, rival)
        # A thing in front may hide it; the floor can't.
        least = np.where(rival > self._floor, -_HIDDEN, -_AGAINST)
        return np.asarray(np.clip(evidence, least, _FOR), dtype=np.float32)

    def _peaks(self, kind: ThingKind, evidence: NDArray[np.float32]) -> list[Array]:
        xs, ys = (np.arange(low, high + 1e-9, _COARSE_M) for low, high in FLOOR_M)
        places = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
        corners = _corners(kind)
        solid = np.zeros((len(places), len(corners), 3))
        solid[..., :2] = places[:, None]
        pixels = self._camera.project((solid + corners).reshape(-1, 3), self._size_px)
        pixels = pixels.reshape(len(places), -1, 2)
        limit = np.array(self._size_px)
        low = np.clip(np.floor(pixels.min(axis=1)).astype(int), 0, limit - 1)
        high = np.clip(np.ceil(pixels.max(axis=1)).astype(int) + 1, 1, limit)
        total = cv2.integral(evidence, sdepth=cv2.CV_64F)
        sums = (
            total[high[:, 0], high[:, 1]]
            - total[low[:, 0], high[:, 1]]
            - total[high[:, 0], low[:, 1]]
            + total[low[:, 0], low[:, 1]]
        )
        peaks: list[Array] = []
        for index in np.argsort(-sums):
            if all(np.linalg.norm(places[index] - peak) > _APART_M for peak in peaks):
                peaks.append(places[index])
            if len(peaks) == _PEAKS:
                break
        return peaks

    def _refine(
        self,
        kind: ThingKind,
        evidence: NDArray[np.float32],
        start_m: Array,
        steps_m: Sequence[float],
    ) -> SeenThing:
        place = start_m
        for step_m in steps_m:
            offsets = step_m * np.arange(-_REACH, _REACH + 1)
            places = place + np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
            sums = np.array([self._inside(kind, evidence, at) for at in places])
            # Outlines of whole pixels change in steps: the mean of the best places is finer.
            weights = np.exp((sums - sums.max()) / _SOFTNESS)
            place = weights @ places / weights.sum()
        part, mask = outline_mask(kind, place, self._camera, self._size_px)
        most = float(sums.max())
        return SeenThing(place, most, most / max(int(mask.sum()), 1))

    def _inside(self, kind: ThingKind, evidence: NDArray[np.float32], place_m: Array) -> float:
        part, mask = outline_mask(kind, place_m, self._camera, self._size_px)
        return float((evidence[part] * mask).sum())


def outline_mask(
    kind: ThingKind, place_m: Array, camera: PinholeCamera, size_px: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
    """Return a part of the picture (rows, columns) and its mask, 1 where the thing is seen.

    The thing of that kind stands at `place_m` (2,). The part is empty if it is out of sight.
    """
    count = len(kind.sections_m)
    points = camera.project(_corners(kind) + [*place_m, 0.0], size_px)[:, ::-1]
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, size_px[::-1])
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, low, size_px[::-1])
    mask = np.zeros((high - low)[::-1], dtype=np.uint8)
    if mask.size:
        rims = (points - low).astype(np.float32).reshape(count, -1, 2)
        for lower, upper in zip(rims[:-1], rims[1:], strict=True):
            hull = cv2.convexHull(np.concatenate([lower, upper]))
            cv2.fillConvexPoly(mask, np.round(hull * 16.0).astype(np.int32), 1, shift=4)
    return (slice(low[1], high[1]), slice(low[0], high[0])), mask


def _on_floor(place_m: Array) -> bool:
    return all(low <= x <= high for x, (low, high) in zip(place_m, FLOOR_M, strict=True))


@cache
def _corners(kind: ThingKind) -> Array:
    """Return points (N, 3) on the rims of the kind's sections, the thing standing at 0, 0."""
    if kind.round:
        angles = np.linspace(0.0, 2.0 * np.pi, _CORNERS, endpoint=False)
        rim = np.column_stack([np.cos(angles), np.sin(angles)])
    else:
        rim = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    return np.concatenate(
        [
            np.column_stack([rim * [half_x, half_y], np.full(len(rim), height)])
            for height, half_x, half_y in kind.sections_m
        ]
    )


def _log_likelihoods(
    picture: NDArray[np.uint8], mixtures: Sequence[Sequence[Colour]]
) -> list[NDArray[np.float32]]:
    """Return for each mixture (H, W): the logarithm of the density of its likeliest part.

    A normal density's logarithm is quadratic in the colour, so one product of matrices has all.
    """
    pixels = picture.reshape(-1, 3).T.astype(np.float32) / _WHITE
    terms = np.vstack([pixels**2, pixels, np.ones_like(pixels[:1])])
    each = np.stack([_quadratic(colour) for part in mixtures for colour in part]) @ terms
    ends = np.cumsum([len(part) for part in mixtures])[:-1]
    return [
        np.maximum(part.max(axis=0), _LEAST).reshape(picture.shape[:2])
        for part in np.split(each, ends)
    ]


def _quadratic(colour: Colour) -> NDArray[np.float32]:
    mean, deviation = np.array(colour.mean) / _WHITE, np.array(colour.deviation) / _WHITE
    constant = np.log(max(colour.share, 0.001)) - np.log(colour.deviation).sum()
    constant -= 0.5 * ((mean / deviation) ** 2).sum()
    return np.array([*(-0.5 / deviation**2), *(mean / deviation**2), constant], dtype=np.float32)
