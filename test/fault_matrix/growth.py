"""The memory, threads and file descriptors of a process, and whether they grow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ALLOWED_MB = 16.0
"""Allocators keep freed memory, and each cycle needs a few MB for a short time."""
ALLOWED_HANDLES = 2.0
"""A check of the server may run during one sample and not during the other."""


@dataclass(frozen=True, slots=True)
class Held:
    """One sample of one process."""

    memory_mb: float
    threads: int
    files: int


def held(pid: int) -> Held:
    """A sample of a process now; memory is the resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Held(int(found["VmRSS"]) / 1024, int(found["Threads"]), files)


def growth(samples: Sequence[Held]) -> str:
    """What has grown from the second quarter of the samples to the last; empty if nothing has.

    The first quarter is warm-up. Fewer than 4 samples are too few and raise ValueError.
    """
    if len(samples) < 4:
        raise ValueError(f"growth: got {len(samples)} samples, expected 4 or more")
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    for name, allowed in (
        ("memory_mb", ALLOWED_MB),
        ("threads", ALLOWED_HANDLES),
        ("files", ALLOWED_HANDLES),
    ):
        before, after = (median(getattr(one, name) for one in some) for some in (early, late))
        if after - before > allowed:
            found.append(f"{name} from {before:.1f} to {after:.1f}")
    return ", ".join(found)
