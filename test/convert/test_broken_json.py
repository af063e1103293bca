"""Whatever stands in a JSON file of others, each command names the file in one line and goes on."""

import shutil

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from broken_json import each_broken, line_about, spoil  # noqa: E402
from recorded_bag import write_recording  # noqa: E402

from gr00t_ros.convert.__main__ import main as convert_main  # noqa: E402
from gr00t_ros.convert.place import NAMED_FILE  # noqa: E402
from gr00t_ros.dataset.lerobot import LeRobotDataset  # noqa: E402
from gr00t_ros.dataset.staged import FACTS_FILE  # noqa: E402
from gr00t_ros.errors import Gr00tError  # noqa: E402
from gr00t_ros.evaluate.results import JSON_NAME, read_results  # noqa: E402
from gr00t_ros.record.facts import EPISODE_FILE  # noqa: E402
from gr00t_ros.record.info import main as info  # noqa: E402


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two episodes of a second."""
    return write_recording(tmp_path_factory.mktemp("rec") / "rec", 2, 1.0)


@pytest.fixture
def recording(whole, tmp_path):
    """A copy of them."""
    return shutil.copytree(whole, tmp_path / "rec")


def convert(bag, output, *options):
    """The exit status."""
    return convert_main(["convert", str(bag), "--output", str(output), "--workers", "1", *options])


@each_broken
@pytest.mark.parametrize("command", ["info", "convert"])
def test_an_episode_with_a_broken_file_is_named_and_the_command_goes_on(
    recording, tmp_path, capsys, command, content
):
    """The first of two; the second is listed, or becomes the dataset."""
    broken = recording / "episode_000000" / EPISODE_FILE
    spoil(broken, content)
    if command == "info":
        assert info([str(recording)]) == 1
        text = capsys.readouterr().out
        assert line_about(broken, text).startswith("unreadable: ")
        assert "1 of 2 episodes kept" in text
    else:
        assert convert(recording, tmp_path / "out") == 1
        told = capsys.readouterr()
        assert "WARNING: left out: " in line_about(broken, told.err)
        assert "UNREADABLE: " in line_about(broken, told.out)
        assert len(LeRobotDataset(tmp_path / "out").lengths) == 1


@pytest.fixture(scope="module")
def converted(whole, tmp_path_factory):
    """A folder with the first episode as a dataset `out`, and a copy of it."""
    folder = tmp_path_factory.mktemp("converted")
    assert convert(whole / "episode_000000", folder / "out") == 0
    return folder, shutil.copytree(folder, tmp_path_factory.mktemp("kept") / "converted")


@pytest.fixture(scope="module")
def half_converted(whole, tmp_path_factory):
    """A folder with a recording whose first episode alone is staged in `out.partial`, and a copy.

    The second could not be converted, and was mended afterwards.
    """
    folder = tmp_path_factory.mktemp("half")
    recording = shutil.copytree(whole, folder / "rec")
    facts = recording / "episode_000001" / EPISODE_FILE
    text = facts.read_text()
    facts.write_text(text.replace("lift it", ""))
    assert convert(recording, folder / "out") == 1
    facts.write_text(text)
    return folder, shutil.copytree(folder, tmp_path_factory.mktemp("kept") / "half")


def put_back(folder, kept):
    """The folder as it was when it was copied, at its own path."""
    shutil.rmtree(folder)
    return shutil.copytree(kept, folder)


@each_broken
@pytest.mark.parametrize("name", ["done.json", f"part_0/{FACTS_FILE}"])
def test_a_conversion_that_goes_on_converts_again_what_it_cannot_read(
    half_converted, capsys, name, content
):
    """An episode that cannot be converted left the other one staged."""
    folder = put_back(*half_converted)
    spoil(folder / "out.partial" / "staged" / "000000" / name, content)
    assert convert(folder / "rec", folder / "out", "--resume") == 0
    assert "were converted before" not in capsys.readouterr().err
    assert len(LeRobotDataset(folder / "out").lengths) == 2


def test_a_conversion_that_goes_on_leaves_what_it_can_read(half_converted, capsys):
    """Without a broken file."""
    folder = put_back(*half_converted)
    assert convert(folder / "rec", folder / "out", "--resume") == 0
    assert "were converted before" in capsys.readouterr().err


@each_broken
@pytest.mark.parametrize("name", ["info.json", "modality.json", "episodes.jsonl"])
def test_a_dataset_with_a_broken_file_is_not_appended_to(whole, converted, capsys, name, content):
    """Status 2 and a line; the dataset stays as it is."""
    output = put_back(*converted) / "out"
    spoil(output / "meta" / name, content)
    before = sorted(one.name for one in output.rglob("*"))
    capsys.readouterr()
    assert convert(whole / "episode_000001", output, "--append") == 2
    assert line_about(output / "meta" / name, capsys.readouterr().err)
    assert sorted(one.name for one in output.rglob("*")) == before


@each_broken
def test_a_mark_that_cannot_be_read_is_named_with_what_to_remove(
    recording, tmp_path, capsys, content
):
    """It lies beside a dataset that is whole."""
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    assert convert(recording, output) == 0
    partial.mkdir()
    spoil(partial / NAMED_FILE, content)
    capsys.readouterr()
    assert convert(recording, output, "--append") == 2
    assert f"is whole: remove {partial}" in line_about(
        partial / NAMED_FILE, capsys.readouterr().err
    )
    assert len(LeRobotDataset(output).lengths) == 2


@each_broken
def test_results_that_cannot_be_read_are_an_error_that_names_them(tmp_path, content):
    """Of an evaluation."""
    spoil(tmp_path / JSON_NAME, content)
    with pytest.raises(Gr00tError) as caught:
        read_results(tmp_path)
    assert line_about(tmp_path / JSON_NAME, str(caught.value))


def test_large_results_are_read(tmp_path):
    """More than any other JSON file may have: an evaluation of a thousand episodes has 40 MB."""
    text = '{"schema": "gr00t_ros.evaluation/1"' + " " * 40_000_000 + "}"
    (tmp_path / JSON_NAME).write_text(text)
    assert read_results(tmp_path)["schema"] == "gr00t_ros.evaluation/1"
