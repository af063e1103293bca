"""How much memory this process holds, and giving back what the C library keeps for later.

Linux's /proc and glibc; elsewhere the first says 0 and the second does nothing.
"""

import contextlib
import ctypes
import os

_STATM = "/proc/self/statm"  # second field: resident pages (proc_pid_statm(5))


class Resident:
    """Tells the resident memory of this process, also when it has no descriptor left."""

    def __init__(self) -> None:
        try:
            self._file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def bytes(self) -> int:
        """Return how much it is now, 0 where it cannot be told."""
        try:
            return int(os.pread(self._file, 128, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def close(self) -> None:
        """Give the descriptor back; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 where it cannot be told."""
    resident = Resident()
    try:
        return resident.bytes()
    finally:
        resident.close()


def release_freed() -> None:
    """Give freed memory back to the system, which `resident_bytes` else goes on counting."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
