"""Which pairs of links always touch, found by sampling, and what a list of disabled pairs hides.

A pair is found to touch always only if it touched in every sample. A pair that was merely not seen
touching is never taken out: samples miss postures that a robot reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from gr00t_ros.collide.description import Description, Joint, Names
from gr00t_ros.collide.engine import CollisionEngine

FINGER_M: Final = 0.1
"""Range of a sliding joint up to which it is a finger's, as in the node's check."""
RARE: Final = 0.001
"""A disabled pair that touches in a larger share of the samples than this, and in a smaller share
than 1 - RARE, is reported: it comes and goes."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """How one pair of links behaved over random postures; distances in m, 0 or less is touching."""

    links: tuple[str, str]
    samples: int
    touching: int
    least_m: float
    largest_m: float
    reason: str = ""

    @property
    def always(self) -> bool:
        """Whether the pair touched in every sample."""
        return self.touching == self.samples

    @property
    def evidence(self) -> str:
        """What was seen, in one sentence."""
        return (
            f"touched in {self.touching} of {self.samples} random postures, distances "
            f"{1e3 * self.least_m:.1f} to {1e3 * self.largest_m:.1f} mm"
        )


@dataclass(frozen=True, slots=True)
class PairReport:
    """What sampling found, and what does not fit in the list of disabled pairs.

    always: pairs that touched in every sample and are not disabled. sometimes: pairs that are
    checked and touched in some samples. doubtful: disabled pairs that touched in some samples.
    fingers: those that only finger joints move apart, and that are not doubtful for this reason.
    unknown: links of the list that the description does not have.
    """

    always: tuple[Sampled, ...]
    sometimes: tuple[Sampled, ...]
    doubtful: tuple[Sampled, ...]
    fingers: tuple[Sampled, ...]
    unknown: tuple[str, ...]


def find_pairs(description: Description, samples: int = 2000, seed: int = 0) -> PairReport:
    """Sample all joints evenly over their ranges, and judge every pair that is not adjacent."""
    listed = description.disabled
    unknown = sorted({link for pair in listed for link in pair} - set(description.links))
    rows = _sample(description, listed, samples, seed)
    checked = [row for row in rows if frozenset(row.links) not in listed]
    disabled = [row for row in rows if frozenset(row.links) in listed]
    mixed = [row for row in disabled if RARE < row.touching / row.samples < 1.0 - RARE]
    fingers = [row for row in mixed if _are_fingers(description, *row.links)]
    return PairReport(
        always=tuple(row for row in checked if row.always),
        sometimes=tuple(row for row in checked if row.touching and not row.always),
        doubtful=tuple(row for row in mixed if row not in fingers),
        fingers=tuple(fingers),
        unknown=tuple(unknown),
    )


def _are_fingers(description: Description, first: str, second: str) -> bool:
    """Whether two links move on both sides of a common link, and by finger joints alone.

    A finger joint follows another joint (mimic), is followed by one, or slides by FINGER_M at most.
    """
    chains = description.chain(first), description.chain(second)
    common = set(chains[0]) & set(chains[1])
    joints = [link.joint for link in description.links.values()]
    followed = {joint.follows for joint in joints if joint.follows != joint.name}
    for chain in chains:
        between = [description.links[name].joint for name in chain if name not in common]
        moving = [joint for joint in between if joint.name is not None]
        if not moving or not all(_is_finger(joint, followed) for joint in moving):
            return False
    return True


def _is_finger(joint: Joint, followed: Collection[str]) -> bool:
    if joint.follows != joint.name or joint.name in followed:
        return True
    lower, upper = joint.range
    return joint.slides and upper - lower <= FINGER_M


def _sample(
    description: Description, listed: Mapping[Names, str], samples: int, seed: int
) -> list[Sampled]:
    names = description.joint_names
    engine = CollisionEngine(description, None, names, unchecked=())
    # a joint that slides without limits moves nothing that is checked: the engine refuses others
    lower, upper = np.nan_to_num(description.ranges(names), posinf=0.0, neginf=0.0)
    random = np.random.default_rng(seed)
    distances = np.array(
        [engine.distances(random.uniform(lower, upper)) for _ in range(samples)]
    ).reshape(samples, -1)
    return [
        Sampled(
            (pair.first, pair.second),
            samples,
            int(np.count_nonzero(column <= 0.0)),
            float(column.min()),
            float(column.max()),
            listed.get(frozenset({pair.first, pair.second}), ""),
        )
        for pair, column in zip(engine.pairs, distances.T, strict=True)
    ]
