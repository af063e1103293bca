"""What is written whole is on the disk; a folder that cannot be asked for names stops nothing."""

import errno
import os
from pathlib import Path

import pytest

from gr00t_ros.folder import to_disk, write_whole


def failing(patch, name, number, of_folder):
    """`os.open` or `os.fsync` says this errno of folders, or of files."""
    real = getattr(os, name)

    def call(target, *args, **kwargs):
        path = Path(target if name == "open" else f"/proc/self/fd/{target}")
        if path.is_dir() == of_folder:
            raise OSError(number, os.strerror(number))
        return real(target, *args, **kwargs)

    patch.setattr(os, name, call)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("fsync", errno.EINVAL),
        ("fsync", errno.ENOTSUP),
        ("open", errno.EACCES),
        ("open", errno.EPERM),
    ],
)
def test_a_file_is_written_into_a_folder_that_cannot_be_asked(tmp_path, monkeypatch, name, number):
    """On vboxsf, 9p and some of FUSE; what it says of a file is an error there too."""
    path = tmp_path / "facts"
    with monkeypatch.context() as patch:
        failing(patch, name, number, of_folder=True)
        write_whole(path, "all of it")
        to_disk(path)
    assert path.read_text() == "all of it"
    failing(monkeypatch, name, number, of_folder=False)
    with pytest.raises(OSError, match=os.strerror(number)):
        to_disk(path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_what_a_disk_says_of_a_folder_is_an_error(tmp_path, monkeypatch, number):
    """Names that the disk has refused are not taken for written."""
    failing(monkeypatch, "fsync", number, of_folder=True)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_whole(tmp_path / "facts", "all of it")
