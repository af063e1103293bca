"""Folders that must survive: files that are there whole or not at all, and one process at a time.

What `write_whole`, `to_disk` and `tree_to_disk` were given is on the disk when they return: a power
failure after that does not change it. Of the names in a folder that holds where its file system can
be asked.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP})
"""What fsync of a folder says on vboxsf, 9p and some of FUSE: names cannot be waited for there."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there with all of its content or not at all; raises OSError."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk; raises OSError.

    Does not wait for a folder that may not be read, or whose file system cannot tell.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        if not path.is_dir():
            raise
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_SYNC or not path.is_dir():
            raise
    finally:
        os.close(number)


def tree_to_disk(folder: Path) -> None:
    """`to_disk` of a folder and all that is in and below it, each before the folder that names it.

    What a symbolic link leads to is not looked at: who writes the tree did not write that.
    """

    def unreadable(error: OSError) -> None:
        raise error

    # One fsync a file, about 2 ms each. One sync() of everything would wait for every disk of the
    # machine, and tells no error.
    for base, _, names in os.walk(folder, topdown=False, onerror=unreadable):
        for path in (Path(base, name) for name in names):
            if not path.is_symlink():
                to_disk(path)
        to_disk(Path(base))


class Hold:
    """One process at a time in a folder. The kernel ends it with its process, however that ends.

    other: who holds the folder already, so that this one does not; empty if it does.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError if there is no such folder."""
        self._number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.other = hold(self._number)

    def release(self) -> None:
        """Let another one have it; may be called again."""
        if self._number >= 0:
            os.close(self._number)
        self._number = -1


def hold(number: int) -> str:
    """Hold an open file until it is closed; returns who holds it already, empty if nobody does.

    On a file system without locks nobody ever does.
    """
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(number)
    except OSError:
        return ""
    return ""


def _holder(number: int) -> str:
    """Who holds an open file, as Linux lists it in /proc/locks."""
    status = os.fstat(number)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and device in words:
                return f"process {words[4]}"
    return "another process"
