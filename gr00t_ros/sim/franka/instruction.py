"""The scripted policy's language: one sentence about a cube and a plate.

Knows words only. Anything it does not fully understand is no task: a robot must not act on half
a sentence ("do not put ...").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COLOUR = r"(?:the |a )?(?P<{0}>(?!the |a )\w+)"
_SENTENCE = re.compile(
    rf"(?:please )?(?:put|place|move|pick(?: up)?) {_COLOUR.format('cube')} (?:cube|block)"
    rf"(?: and (?:put|place) it)? (?:on|onto) {_COLOUR.format('plate')} plate(?: please)?"
)


@dataclass(frozen=True, slots=True)
class Task:
    """Which cube goes onto which plate, by colour; the colours may be unknown ones."""

    cube: str
    plate: str


def parse_task(text: str) -> Task | None:
    """Return the task that `text` asks for, in any case and punctuation, or None.

    "Put the red cube on the blue plate." -> Task("red", "blue").
    """
    words = " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
    match = _SENTENCE.fullmatch(words)
    return Task(match["cube"], match["plate"]) if match else None
