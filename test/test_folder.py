"""What is written whole is on the disk; a folder that cannot be asked for names stops nothing."""

import errno
import os
from pathlib import Path

import pytest

from gr00t_ros.folder import to_disk, tree_to_disk, write_whole


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


def test_all_of_a_tree_is_on_the_disk_and_what_links_lead_to_is_left_alone(tmp_path, monkeypatch):
    """Each file before the folder that names it; a link to nothing is no error, a full disk is."""
    tree, real, order = tmp_path / "tree", os.fsync, []
    (tree / "meta" / "deep").mkdir(parents=True)
    for name in ("rows", "meta/info", "meta/deep/one"):
        (tree / name).write_text(name)
    (tmp_path / "elsewhere").mkdir()
    (tree / "folder").symlink_to(tmp_path / "elsewhere")
    (tree / "nothing").symlink_to(tmp_path / "none")

    def fsync(number):
        order.append(os.path.relpath(os.readlink(f"/proc/self/fd/{number}"), tree))
        real(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        tree_to_disk(tree)
    assert sorted(order) == [".", "meta", "meta/deep", "meta/deep/one", "meta/info", "rows"]
    assert all(order.index(one) < order.index(os.path.dirname(one) or ".") for one in order[:-1])
    failing(monkeypatch, "fsync", errno.ENOSPC, of_folder=False)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        tree_to_disk(tree)
    with pytest.raises(FileNotFoundError):
        tree_to_disk(tmp_path / "none")
