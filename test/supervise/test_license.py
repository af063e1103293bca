"""The model version decides the license, and a non-commercial one must be acknowledged."""

import json
from pathlib import Path

import pytest
from server_profiles import profile_of

from gr00t_ros.errors import LaunchError
from gr00t_ros.supervise.license import acknowledged, strictest_terms, versions_of
from gr00t_ros.supervise.supervisor import Supervisor


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("nvidia/GR00T-N1-2B", ("N1",)),
        ("nvidia/GR00T-N1.5-3B", ("N1.5",)),
        ("/models/gr00t_n1_5/checkpoint-1000", ("N1.5",)),
        ("nvidia/GR00T-H-N1.7", ("N1.7",)),
        ("/models/N1.7-from-N1.6", ("N1.7", "N1.6")),
        ("nvidia/GR00T-N2", ("N2",)),
        ("/data/run1/checkpoint-17", ()),
        ("", ()),
    ],
)
def test_a_checkpoint_s_path_tells_its_version(path, versions):
    """As the makers write it, and nothing where a 1 is only a number."""
    assert versions_of(path, Path()) == versions


def test_a_local_checkpoint_s_config_tells_its_version(tmp_path):
    """A folder of any name has a config.json that names the model's class."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "Gr00tN1d6"}))
    assert versions_of(str(tmp_path), Path()) == ("N1.6",)
    (tmp_path / "config.json").write_bytes(b"\xff[")
    assert versions_of(str(tmp_path), Path()) == ()


@pytest.mark.parametrize("path", ["checkpoints/ft", "./checkpoints/ft", "../{name}/checkpoints/ft"])
def test_a_checkpoint_is_looked_for_where_the_server_runs(tmp_path, monkeypatch, path):
    """It reads a relative path in its own folder, which is not that of this process."""
    monkeypatch.chdir("/")
    checkpoint = tmp_path / "checkpoints" / "ft"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text(json.dumps({"model_type": "Gr00tN1d6"}))
    profile = profile_of(
        *("x.py", "{model_path}"),
        model_version="N1.7",
        model_path=path.format(name=tmp_path.name),
        working_directory=str(tmp_path),
    )
    with pytest.raises(LaunchError, match=r"NVIDIA OneWay.*\(N1\.6\)"):
        Supervisor(profile, environment={})
    Supervisor(profile, environment={"GR00T_ACCEPT_NONCOMMERCIAL": "1"})


@pytest.mark.parametrize(
    ("version", "path", "non_commercial"),
    [
        ("N1", "", True),
        ("N1.5", "", True),
        ("N1.6", "", True),
        ("N1.7", "", False),
        ("N1.7", "nvidia/GR00T-N1.7-3B", False),
        ("N1.7", "nvidia/GR00T-N1.6-3B", True),
        ("N1.7", "nvidia/GR00T-N2", True),
        ("N1.6", "nvidia/GR00T-N1.7-3B", True),
        ("none", "", False),
        ("none", "nvidia/GR00T-N1.5-3B", True),
        ("N9", "", True),
        ("", "", True),
    ],
)
def test_the_strictest_of_profile_and_checkpoint_counts(version, path, non_commercial):
    """A profile of N1.7 makes no N1.6 checkpoint commercial; the unknown is non-commercial."""
    assert strictest_terms(version, path, Path()).non_commercial is non_commercial


def test_a_non_commercial_model_is_started_only_with_an_acknowledgement():
    """The refusal names license and both ways to say yes; the answer says which was used."""
    found = strictest_terms("N1.6", "", Path())
    with pytest.raises(LaunchError, match="Noncommercial.*N1.6.*accept_noncommercial.*GR00T_ACC"):
        acknowledged(found, False, {"GR00T_ACCEPT_NONCOMMERCIAL": "0"})
    assert "acknowledged by parameter" in acknowledged(found, True, {})
    said = acknowledged(found, False, {"GR00T_ACCEPT_NONCOMMERCIAL": "1"})
    assert said.endswith("acknowledged by GR00T_ACCEPT_NONCOMMERCIAL")


def test_a_commercial_one_needs_none():
    """And the record still names its license."""
    assert "Open Model License (N1.7)" in acknowledged(
        strictest_terms("N1.7", "", Path()), False, {}
    )
    assert (
        acknowledged(strictest_terms("none", "", Path()), False, {})
        == "no weights of NVIDIA (none)"
    )
