"""Numbers that others have published for GR00T on LIBERO, with their source; none is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SOURCE: Final = (
    "NVIDIA/Isaac-GR00T, examples/LIBERO/README.md at 559269d2931a7a5fe18fa9e520aba1a23d1504bc: "
    "GR00T N1.6 fine-tuned for 20,000 steps on each suite; percentages as they stand there, which "
    "are not always the fraction beside them"
)


@dataclass(frozen=True, slots=True)
class Published:
    """One number."""

    suite: str
    fraction: str
    percent: str

    @property
    def command(self) -> str:
        """The command that measures ours: the same number of episodes."""
        return (
            f"gr00t eval libero --suite {self.suite} --tasks all --episodes 20 --seed 0 "
            f"--host HOST --port PORT --output {self.suite}"
        )


ROWS: Final = (
    Published("libero_spatial", "195/200", "97.65 %"),
    Published("libero_goal", "195/200", "97.5 %"),
    Published("libero_object", "197/200", "98.45 %"),
    Published("libero_10", "189/200", "94.35 %"),
)
