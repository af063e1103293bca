"""The wheel and the sdist have what they must, and nothing that belongs to the repository alone."""

import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gr00t_ros
from release import contents

ROOT = Path(__file__).parents[2]


def test_the_version_stands_in_package_xml_alone():
    """Python asks for it there, and so do pip and the documentation; nothing else repeats it."""
    version = ElementTree.parse(ROOT / "package.xml").findtext("version")
    assert version is not None and gr00t_ros.__version__ == version
    for name in ("setup.py", "docs/conf.py"):
        assert 'findtext("version")' in (ROOT / name).read_text()
    literal = re.compile(rf"(?<![\d.=]){re.escape(version)}(?![\d.])")
    for name in ("setup.py", "pyproject.toml", "CMakeLists.txt", "CITATION.cff", "docs/conf.py"):
        assert not literal.search((ROOT / name).read_text()), name
    with pytest.raises(AttributeError, match="no attribute 'version'"):
        gr00t_ros.version  # noqa: B018


def test_the_wheel_that_is_installed_here_is_complete_and_clean():
    """Without a build: by the list that pip kept. Modules may be newer in the checkout."""
    # not distribution(): it may find the egg-info that a build leaves in the checkout
    here = [sysconfig.get_path("purelib")]
    installed = next(Distribution.discover(name="gr00t_ros", path=here), None)
    if installed is None:
        pytest.skip("gr00t_ros is not installed here as a wheel (./dev setup)")
    found = contents.installed_names(installed, Path(sys.prefix))
    needs = {name for name in contents.wheel_needs() if not name.startswith("gr00t_ros/")}
    assert contents.wheel_problems(found, needs) == []
    assert {"gr00t_ros/__init__.py", "gr00t_ros/web/page/index.html"} <= set(found)


def test_the_sdist_has_all_that_the_wheel_is_built_from(tmp_path):
    """By the list that setuptools makes before it packs; no test, no cache, no .venv."""
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    names = (tmp_path / "gr00t_ros.egg-info" / "SOURCES.txt").read_text().splitlines()
    inside = [name for name in names if "egg-info" not in name]
    assert contents.sdist_problems(inside) == []


@pytest.mark.parametrize(
    "name",
    [
        "test/test_package.py",
        "shared/house.md",
        ".venv/bin/python",
        "gr00t_ros/node/__pycache__/node.cpython-311.pyc",
        "gr00t_ros/.hidden",
    ],
)
def test_what_does_not_belong_is_found(name):
    """In both; and what is missing is named."""
    needs = {"gr00t_ros/__init__.py"}
    (missing, extra) = contents.wheel_problems([name], needs)
    assert (missing, extra) == ("missing: gr00t_ros/__init__.py", f"should not be there: {name}")
    assert f"should not be there: {name}" in contents.sdist_problems([name])
    assert contents.wheel_problems(needs, needs) == []
