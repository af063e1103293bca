"""The G1's scripted policy's language: one sentence about a cube.

Knows words only. Anything it does not fully understand is no task: a robot must not act on half
a sentence ("do not touch ...").
"""

from __future__ import annotations

import re

_SENTENCE = re.compile(
    r"(?:please )?(?:reach(?: for| to)?|touch|go to|move (?:your|the|a) hand to)"
    r" (?:the |a )?(?P<colour>(?!the |a )\w+) (?:cube|block)(?: please)?"
)


def parse_colour(text: str) -> str | None:
    """Return the colour of the cube that `text` asks to reach, or None.

    "Reach for the red cube." -> "red", in any case and punctuation.
    """
    words = " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
    match = _SENTENCE.fullmatch(words)
    return match["colour"] if match else None
