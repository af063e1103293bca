"""gr00t dataset convert: whole datasets or none, the same for any number of workers."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

import av  # noqa: E402
import recorded_bag as rig  # noqa: E402
from made_episode import number_of  # noqa: E402
from pyarrow import parquet  # noqa: E402
from recorded_bag import by_policy, streams, write_episode, write_recording  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402

from gr00t_ros.convert.__main__ import main  # noqa: E402
from gr00t_ros.convert.place import Place  # noqa: E402
from gr00t_ros.dataset.lerobot import LeRobotDataset  # noqa: E402
from gr00t_ros.record.__main__ import main as record  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.tools.embodiment import new  # noqa: E402

COMMAND = [sys.executable, "-m", "gr00t_ros.convert", "convert"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three kept episodes of a second and a half, and a discarded one."""
    folder = write_recording(tmp_path_factory.mktemp("rec") / "rec", 3, 1.5)
    write_episode(folder, 3, [*streams(0.2)], seconds=0.2, outcome="discarded")
    return folder


def convert(bag, output, *options):
    """The exit status."""
    words = ["convert", str(bag), "--output", str(output), "--workers", "1", *options]
    return main(words)


def content(folder):
    """Path -> bytes of all files of a dataset, of videos the frames."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): Frames(path) if path.suffix == ".mp4" else path.read_bytes()
        for path in files
    }


class Frames:
    """Equal to other frames at the same times, if no pixel is more than 8 of 255 levels off.

    x264 was seen to code a block of the same picture in two ways, 1 or 2 levels apart.
    """

    def __init__(self, path):
        with av.open(str(path)) as video:
            frames = [(one.pts, one.to_ndarray(format="rgb24")) for one in video.decode(video=0)]
        self.times = [time for time, _ in frames]
        self.pixels = np.array([picture for _, picture in frames], np.int16)

    def __eq__(self, other):
        same = self.times == other.times and self.pixels.shape == other.pixels.shape
        return same and bool(np.abs(self.pixels - other.pixels).max() <= 8)


def test_a_recording_becomes_a_dataset_in_each_format_with_the_same_numbers(
    recording, tmp_path, capsys
):
    """From the bag to rows and frames that are read by hand; our own reader reads it too."""
    groot, v3 = tmp_path / "groot", tmp_path / "v3"
    assert convert(recording, groot) == 0
    report = capsys.readouterr().out
    assert "3 episodes, 48 rows, 2 cameras, 1 instructions" in report
    assert "action spare" in report and "discarded: episode_000003" in report
    assert convert(recording, v3, "--format", "lerobot3") == 0
    info = json.loads((groot / "meta" / "info.json").read_text())
    assert info["discarded_episodes"] == ["episode_000003"]
    rows = parquet.read_table(groot / "data/chunk-000/episode_000001.parquet").to_pydict()
    at = np.arange(16) / rig.RATE_HZ
    state = np.array(rows["observation.state"])
    np.testing.assert_allclose(state[:, 0], 0.1 * at + 0.1, atol=1e-6)
    action = np.array(rows["action"])
    np.testing.assert_allclose(action[:, 1], -0.2 * (at + rig.LEAD_S) + 0.1, atol=1e-6)
    key = "observation.images.wrist"
    with av.open(str(groot / f"videos/chunk-000/{key}/episode_000001.mp4")) as container:
        shown = [number_of(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert shown == [1000 + rig.frame_of(row) for row in range(16)]
    every = parquet.read_table(v3 / "data/chunk-000/file-000.parquet").to_pydict()
    assert every["action"][16:32] == rows["action"]
    for folder in (groot, v3):
        actions = LeRobotDataset(folder).episode(1)
        np.testing.assert_array_equal(actions["arm"], action[:, :2].astype(np.float32))


def test_the_content_does_not_depend_on_the_workers(recording, tmp_path):
    """One process and two make the same files; nothing else is left beside them."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert convert(recording, one) == 0
    command = [*COMMAND, str(recording), "--output", str(two), "--workers", "2"]
    assert subprocess.run(command, check=False, capture_output=True, timeout=170).returncode == 0
    assert content(one) == content(two)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_killed_conversion_leaves_no_half_dataset_and_is_resumed(recording, tmp_path, capsys):
    """SIGKILL after the first episode; the finished one is not converted again."""
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    first = partial / "staged" / "000000" / "done.json"
    command = [*COMMAND, str(recording), "--output", str(output), "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        wait_until(first.exists, "the first episode")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert not output.exists() and partial.exists()
    written_ns = first.stat().st_mtime_ns
    assert convert(recording, output) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert convert(recording, output, "--resume") == 0
    assert "of 3 episodes were converted before" in capsys.readouterr().err
    assert written_ns and not partial.exists()
    whole = tmp_path / "whole"
    assert convert(recording, whole) == 0
    assert content(output) == content(whole)


def test_a_full_disk_is_a_clear_error_and_nothing_finished_is_lost(recording, tmp_path, capsys):
    """Files may have 3 kB at most: the first video does not fit; with room it goes on."""
    output = tmp_path / "out"
    command = [*COMMAND, str(recording), "--output", str(output), "--workers", "1"]
    limited = f"ulimit -f 3; exec {shlex.join(command)}"
    child = subprocess.run(
        ["bash", "-c", limited], check=False, capture_output=True, text=True, timeout=170
    )
    assert child.returncode == 1, child.stderr
    assert "cannot be written" in child.stdout and "Traceback" not in child.stderr
    assert not output.exists()
    assert convert(recording, output, "--resume") == 0


def test_an_output_that_is_there_is_refused(recording, tmp_path, capsys):
    """Nothing of it is changed."""
    output = tmp_path / "out"
    output.mkdir()
    assert convert(recording, output) == 2
    assert "is there already" in capsys.readouterr().err and not list(output.iterdir())


def while_it_is_made(patch, do):
    """Call `do` once, when all episodes are converted and the dataset has no name yet."""
    real = Place.give_name

    def give_name(*args):
        do()
        real(*args)

    patch.setattr(Place, "give_name", give_name)


@pytest.mark.parametrize("appending", [False, True])
def test_only_the_dataset_that_is_appended_to_is_ever_replaced(
    recording, tmp_path, capsys, monkeypatch, appending
):
    """What somebody put there meanwhile stays; once it is moved, --resume ends the conversion."""
    output, mine = tmp_path / "out", tmp_path / "mine"
    first, second = (recording / f"episode_00000{number}" for number in (0, 1))
    options = ["--append"] if appending else []
    if appending:
        assert convert(first, output) == 0

    def replace():
        if appending:
            output.rename(mine)
        output.mkdir()
        (output / "precious.txt").write_text("a work of years")

    with monkeypatch.context() as patch:
        while_it_is_made(patch, replace)
        assert convert(second, output, *options) == 2
    told = capsys.readouterr().err
    assert f"{output}: was made by somebody else" in told and "--resume" in told
    assert [one.name for one in output.iterdir()] == ["precious.txt"]
    output.rename(tmp_path / "kept")
    if appending:
        mine.rename(output)
    assert convert(second, output, *options, "--resume") == 0
    assert "1 of 1 episodes were converted before" in capsys.readouterr().err
    assert len(LeRobotDataset(output).lengths) == 1 + appending
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "out"]


def test_a_conversion_without_append_leaves_the_name_of_an_old_dataset_alone(recording, tmp_path):
    """OUTPUT.before is somebody else's, unless --append has made it."""
    mine = tmp_path / "out.before"
    mine.mkdir()
    assert convert(recording / "episode_000000", tmp_path / "out") == 0 and mine.is_dir()


@pytest.mark.parametrize("option", ["--resume", "--append"])
def test_one_output_is_converted_by_one_process_at_a_time(
    recording, tmp_path, capsys, monkeypatch, option
):
    """The second one names the first, whatever its options, and the first one ends well."""
    output, episode = tmp_path / "out", recording / "episode_000000"
    again = []
    with monkeypatch.context() as patch:
        while_it_is_made(patch, lambda: again.append(convert(episode, output, option)))
        assert convert(episode, output) == 0
    assert again == [2]
    assert f"{output}: is still converted by process {os.getpid()}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_a_folder_that_can_be_no_new_dataset_is_refused(recording, capsys, output):
    """In one line."""
    assert convert(recording, output) == 2
    assert capsys.readouterr().err.startswith("gr00t dataset convert: ")


def refused(run, words, capsys):
    """What a command says that ends by its options, as `gr00t` runs it."""
    try:
        status = run(words)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("option", ["--instruction", "--output", "--embodiment"])
def test_a_text_that_is_not_utf_8_is_refused_at_its_option(tmp_path, capsys, option):
    """A Latin-1 byte of a command line, before anything is read or written."""
    text = os.fsdecode(b"T\xfcr")
    bags = ["convert", "none", "--output", str(tmp_path / "out"), option, text]
    told = refused(main, bags, capsys)
    assert f"{option[2:]}: got 'T\\udcfcr', half a UTF-16 character" in told
    if option != "--output":
        words = [str(tmp_path / "rec"), "--embodiment", "franka_droid", option, text]
        told = refused(record, [*words, "--no-screen"], capsys)
        assert f"{option[2:]}: got 'T\\udcfcr', half a UTF-16 character" in told
    told = refused(record, [text, "--embodiment", "franka_droid"], capsys)
    assert "folder: got 'T\\udcfcr'" in told
    assert list(tmp_path.iterdir()) == []


def test_episodes_are_appended_to_a_dataset(recording, tmp_path, capsys):
    """The same dataset as if all had been converted at once; another robot's is refused."""
    kept = [recording / f"episode_{number:06d}" for number in range(3)]
    whole, output = tmp_path / "whole", tmp_path / "out"
    for bags, folder in ((kept, whole), (kept[:2], output)):
        options = ["--output", str(folder), "--workers", "1"]
        assert main(["convert", *map(str, bags), *options]) == 0
    assert convert(kept[2], output, "--append") == 0
    assert content(output) == content(whole)
    more = write_episode(tmp_path / "more", 3, [*streams(1.0), *by_policy(1.0)], seconds=1.0)
    assert convert(more, output, "--append", "--keep-size", "--format", "lerobot3") == 2
    own = output / "meta" / "embodiment.yaml"
    own.write_text(own.read_text().replace("[0.0, 0.8]", "[0.0, 0.4]"))
    refuse_append(more, output, capsys, "action.finger.scale[1] is 0.8, not 0.4")
    own.unlink()
    info = output / "meta" / "info.json"
    info.write_text(info.read_text().replace("new_embodiment", "gr1"))
    refuse_append(more, output, capsys, "embodiment_tag of the new episodes")


@pytest.mark.parametrize("known", [True, False], ids=["with bags", "made earlier"])
def test_no_episode_is_appended_twice(recording, tmp_path, capsys, known):
    """Those that are there are named, and the others added; also of a copy, and of a moved one."""
    output, moved = tmp_path / "out", tmp_path / "another" / "rec"
    assert convert(recording / "episode_000000", output) == 0
    if not known:  # an earlier version did not note the bags
        listed = output / "meta" / "episodes.jsonl"
        row = json.loads(listed.read_text())
        del row["bag"]
        listed.write_text(json.dumps(row) + "\n")
    shutil.copytree(recording, moved)
    before = content(output)
    capsys.readouterr()
    assert convert(moved / "episode_000000", output, "--append") == 0
    told = capsys.readouterr().out
    assert "not added again, it is in it" in told and "episode_000000" in told
    assert "has all of these episodes already, nothing was added" in told
    assert content(output) == before
    assert convert(moved, output, "--append", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["episodes"] == 3 and len(figures["there"]) == 1
    lines = (output / "meta" / "episodes.jsonl").read_text().splitlines()
    names = [json.loads(line)["recording"] for line in lines]
    assert names == ["episode_000000", "episode_000001", "episode_000002"]
    assert convert(recording, output, "--append") == 0
    assert capsys.readouterr().out.count("not added again") == 3
    rows = figures["rows"]
    assert convert(recording, output, "--append", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["episodes"], figures["rows"]) == (3, rows) and len(figures["there"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "out"]


def of_the_same_looks(recording, folder):
    """Another episode whose bag has the name, the start and the size of the recording's first."""
    messages = [*streams(1.5), *by_policy(1.5)]
    for topic, _, message in messages:
        if topic == "/tool_pose":
            message.pose.position.y = 0.5
    other = write_episode(folder, 0, messages, seconds=1.5)
    pairs = zip(other.iterdir(), (recording / other.name).iterdir(), strict=True)
    assert all((a.name, a.stat().st_size) == (b.name, b.stat().st_size) for a, b in pairs)
    return other


@pytest.mark.parametrize("noted", [True, False], ids=["with its content", "made earlier"])
def test_a_bag_is_known_by_its_content_where_that_was_noted(recording, tmp_path, capsys, noted):
    """In simulated time each episode begins at the same time, and pictures have one size."""
    output, other = tmp_path / "out", of_the_same_looks(recording, tmp_path / "other")
    assert convert(recording / "episode_000000", output) == 0
    if not noted:
        listed = output / "meta" / "episodes.jsonl"
        row = json.loads(listed.read_text())
        del row["bag"]["sha256"]
        listed.write_text(json.dumps(row) + "\n")
    capsys.readouterr()
    assert convert(other, output, "--append") == 0
    assert ("not added again" in capsys.readouterr().out) is not noted
    assert len(LeRobotDataset(output).lengths) == 1 + noted


def refuse_append(bag, output, capsys, said):
    """It is refused with these words, and nothing of the dataset is changed."""
    before = content(output)
    capsys.readouterr()
    assert convert(bag, output, "--append", "--resume") == 2
    assert said in capsys.readouterr().err
    assert content(output) == before


def test_an_episode_with_a_gap_fails_alone_and_nothing_is_written(tmp_path, capsys):
    """The other one is kept for --resume, with the gap split."""
    recording, output = tmp_path / "rec", tmp_path / "out"
    messages = [*streams(5.0), *by_policy(5.0)]
    gap = range(rig.START_NS + 1500 * rig.MS, rig.START_NS + 3000 * rig.MS)
    write_episode(
        recording,
        0,
        [one for one in messages if one[0] != "/joint_states" or one[1] not in gap],
        seconds=5.0,
    )
    write_episode(recording, 1, [*streams(1.0), *by_policy(1.0)], seconds=1.0)
    assert convert(recording, output) == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown and "--gaps split" in shown and not output.exists()
    assert convert(recording, output, "--resume", "--gaps", "split") == 0
    shown = capsys.readouterr()
    assert f"left out of {recording}/episode_000000: 1." in shown.out
    assert "1 of 2 episodes were converted before" in shown.err
    lines = (output / "meta" / "episodes.jsonl").read_text().splitlines()
    names = [json.loads(line)["recording"] for line in lines]
    assert names == ["episode_000000 part 1", "episode_000000 part 2", "episode_000001"]
    assert [json.loads(line).get("success") for line in lines] == [None, True, True]
    assert (
        "next.success is not in it" in shown.out
        and "1 episodes: episode_000000 part 1" in shown.out
    )


def test_a_lost_end_is_never_left_out_without_a_word(tmp_path, capsys):
    """A camera dies: refused, also where --gaps split had staged the rest; split lists it."""
    recording, output = tmp_path / "rec", tmp_path / "out"
    dead = range(rig.START_NS + 2000 * rig.MS, rig.START_NS + 9000 * rig.MS)
    messages = [*streams(4.0), *by_policy(4.0)]
    kept = [one for one in messages if one[0] != "/wrist" or one[1] not in dead]
    write_episode(recording, 0, kept, seconds=4.0)
    other = write_episode(recording, 1, [*streams(1.0), *by_policy(1.0)], seconds=1.0)
    (other / "episode.json").rename(other / "facts")
    (other / "episode.json").write_text((other / "facts").read_text().replace("lift it", ""))
    assert convert(recording, output, "--gaps", "split") == 1  # the other has no instruction
    shutil.copy(other / "facts", other / "episode.json")
    capsys.readouterr()
    assert convert(recording, output, "--resume", "--json") == 1
    assert "s to 4.10 s: wrist" in json.loads(capsys.readouterr().out)["failed"][0]
    assert convert(recording, output, "--resume", "--gaps", "split", "--json") == 0
    ((cut,),) = json.loads(capsys.readouterr().out)["cut"].values()
    assert "s to 4.10 s: wrist" in cut


def test_a_few_rows_that_are_left_out_are_listed(tmp_path, capsys):
    """By default too: a camera starts three rows late."""
    late = range(rig.START_NS - 1000 * rig.MS, rig.START_NS + 300 * rig.MS)
    messages = [*streams(1.5), *by_policy(1.5)]
    kept = [one for one in messages if one[0] != "/front" or one[1] not in late]
    write_episode(tmp_path / "rec", 0, kept, seconds=1.5)
    assert convert(tmp_path / "rec", tmp_path / "out", "--json") == 0
    ((cut,),) = json.loads(capsys.readouterr().out)["cut"].values()
    assert cut.startswith("0.00 s to 0.30 s: front")


def test_what_the_recorder_lost_is_told_of_each_episode(tmp_path, capsys):
    """Messages that it dropped, and its problem; nothing of an episode without either."""
    recording, messages = tmp_path / "rec", [*streams(1.0), *by_policy(1.0)]
    lost, ended = {"/wrist": 7, "/front": 1}, "the disk was full"
    write_episode(recording, 0, messages, seconds=1.0, dropped=lost)
    write_episode(recording, 1, messages, seconds=1.0, problem=ended)
    write_episode(recording, 2, messages, seconds=1.0)
    assert convert(recording, tmp_path / "out") == 0
    first, second = (str(recording / f"episode_00000{number}") for number in (0, 1))
    told = [line for line in capsys.readouterr().out.splitlines() if "its recorder says" in line]
    assert told == [
        f"  its recorder says of {first}: messages lost: 7 of /wrist, 1 of /front",
        f"  its recorder says of {second}: {ended}",
    ]
    assert convert(recording, tmp_path / "again", "--json") == 0
    assert json.loads(capsys.readouterr().out)["recorder"] == {
        first: {"dropped": lost, "problem": ""},
        second: {"dropped": {}, "problem": ended},
    }


def test_unfinished_episodes_are_named(recording, tmp_path, capsys):
    """With the command that repairs them."""
    copy = tmp_path / "rec"
    shutil.copytree(recording, copy)
    (copy / "episode_000001" / "episode.json").unlink()
    assert convert(copy, tmp_path / "out", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["episodes"] == 2
    assert [Path(one).name for one in figures["unfinished"]] == ["episode_000001"]


def test_an_episode_with_broken_facts_is_left_out_with_its_reason(recording, tmp_path, capsys):
    """The others become the dataset, the exit status is 1; without any other nothing is written."""
    copy, output = tmp_path / "rec", tmp_path / "out"
    shutil.copytree(recording, copy)
    broken = copy / "episode_000001" / "episode.json"
    broken.write_text("{")
    assert convert(copy, output) == 1
    told = capsys.readouterr()
    assert f"WARNING: left out: {broken}:1:2: no JSON that can be read" in told.err
    assert f"UNREADABLE: {broken}" in told.out
    assert f"gr00t record recover {broken.parent}" in told.out
    assert "2 episodes, 32 rows" in told.out
    assert len(LeRobotDataset(output).lengths) == 2
    assert convert(broken.parent, tmp_path / "none") == 2
    assert str(broken) in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_a_recording_of_another_robot_is_refused(recording, tmp_path, capsys):
    """Its own tag and the file's are named."""
    assert convert(recording, tmp_path / "out", "--embodiment", "franka_droid") == 2
    assert "was recorded as new_embodiment" in capsys.readouterr().err


def changed_copy(recording, folder, old, new):
    """A copy of a recording whose embodiment file says something else."""
    shutil.copytree(recording, folder)
    file = folder / "embodiment.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder


def test_recordings_of_two_robots_with_one_tag_are_refused(recording, tmp_path, capsys):
    """The first difference is named; a comment is none; --embodiment decides, with a warning."""
    first, output = str(recording), tmp_path / "out"
    other = changed_copy(recording, tmp_path / "other", "[0.0, 0.5]", "[0.0, 0.25]")
    options = ["--output", str(output), "--workers", "1"]
    assert main(["convert", first, str(other), *options]) == 2
    told = capsys.readouterr().err
    assert f"{other}/embodiment.yaml: state.jaw.scale[1] is 0.25, not 0.5" in told
    assert not output.exists()
    commented = changed_copy(recording, tmp_path / "commented", "robot:", "# as built\nrobot:")
    assert main(["convert", first, str(commented), *options]) == 0
    named = tmp_path / "named"
    assert convert(other, named, "--embodiment", str(recording / "embodiment.yaml")) == 0
    assert "WARNING" in (told := capsys.readouterr().err) and "0.25, not 0.5" in told


class Killed(BaseException):
    """Nothing of the converter runs after it."""


def kill_at(patch, owner, name, end):
    """Raise Killed in place of a call on the path that ends so; of a folder half is removed."""
    real = getattr(owner, name)

    def trap(path, *args, **kwargs):
        if not str(path).endswith(end):
            return real(path, *args, **kwargs)
        if name == "rmtree":
            real(sorted(one for one in Path(path).iterdir() if one.is_dir())[0])
        raise Killed

    patch.setattr(owner, name, trap)


MOMENTS = {
    "the old dataset has its name": (Path, "rename", "/out"),
    "neither has it": (Path, "rename", "out.partial/dataset"),
    "the old one is removed": (shutil, "rmtree", "out.before"),
    "the staged episodes are removed": (shutil, "rmtree", "out.partial/staged"),
    "all but the mark is removed": (Path, "unlink", "named.json"),
}


@pytest.mark.parametrize("first", [2, 0], ids=["new ones", "with those that are there"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_append_that_is_killed_at_any_moment_adds_its_episodes_once(
    recording, tmp_path, capsys, monkeypatch, moment, first
):
    """The same command again, then what it advises; nothing is left beside the dataset."""
    kept = [str(recording / f"episode_{number:06d}") for number in range(3)]
    whole, output = tmp_path / "whole", tmp_path / "out"
    append = ["convert", *kept[first:], "--output", str(output), "--workers", "1", "--append"]
    for bags, folder in ((kept, whole), (kept[:2], output)):
        assert main(["convert", *bags, "--output", str(folder), "--workers", "1"]) == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, *MOMENTS[moment])
        main(append)
    capsys.readouterr()
    status = main(append)
    told = capsys.readouterr()
    if list(MOMENTS).index(moment) < 2:
        assert status == 2 and "--resume goes on with it" in told.err and output.is_dir()
        assert main([*append, "--resume"]) == 0
    else:
        assert status == 0 and "3 episodes, 48 rows" in told.out and "not" not in told.err
        assert "nothing was added again" in told.out
    assert content(output) == content(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


@pytest.mark.parametrize("options", [["--append"], ["--format", "lerobot3"]], ids=" ".join)
def test_a_dataset_is_on_the_disk_before_what_it_is_made_of_is_removed(
    recording, tmp_path, monkeypatch, options
):
    """All of it before the mark, and its name before the old dataset or the staged ones go."""
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    if "--append" in options:
        assert convert(recording / "episode_000000", output) == 0
    steps, disk, before_mark = [], {}, {}
    fsync, rename, rmtree = os.fsync, Path.rename, shutil.rmtree

    def names_or_bytes(path):
        return sorted(os.listdir(path)) if path.is_dir() else path.read_bytes()

    def synced(number):
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        if path.name.startswith("named.json"):
            before_mark.update(disk)
        disk[path.stat().st_ino] = names_or_bytes(path)
        steps.append(path)
        fsync(number)

    def renamed(path, to):
        steps.append("renamed")
        return rename(path, to)

    def removed(*args, **kwargs):
        steps.append("removed")
        rmtree(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        patch.setattr(Path, "rename", renamed)
        patch.setattr(shutil, "rmtree", removed)
        assert convert(recording / "episode_000001", output, *options) == 0
    every = [output, *output.rglob("*")]
    assert len(every) > 15
    for one in every:
        assert before_mark.get(one.stat().st_ino) == names_or_bytes(one), one
    assert partial in steps[: next(i for i, one in enumerate(steps) if "named.json" in str(one))]
    named = steps[len(steps) - steps[::-1].index("renamed") :]
    assert {tmp_path, partial} <= set(named[: named.index("removed")])


def test_names_that_a_killed_conversion_gave_are_on_the_disk_before_the_rest_goes(
    recording, tmp_path, monkeypatch
):
    """It was killed before it could wait for them; the next one does, then removes."""
    output, bag, real = tmp_path / "out", recording / "episode_000001", os.fsync
    assert convert(recording / "episode_000000", output) == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, shutil, "rmtree", "out.before")
        convert(bag, output, "--append")
    there = []

    def fsync(number):
        if Path(os.readlink(f"/proc/self/fd/{number}")) == tmp_path:
            there.append((tmp_path / "out.before").exists())
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    assert convert(bag, output, "--append") == 0
    assert there == [True] and [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("lost", ["front.mp4", "rows.parquet"])
@pytest.mark.parametrize("how", ["empty", "missing"])
def test_a_staged_episode_that_a_power_failure_emptied_is_converted_again(
    recording, tmp_path, capsys, monkeypatch, lost, how
):
    """An earlier version wrote facts before rows and videos were on the disk."""
    output, whole = tmp_path / "out", tmp_path / "whole"

    def stop():
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        while_it_is_made(patch, stop)
        convert(recording, output)
    files = list((tmp_path / "out.partial" / "staged" / "000001").glob(f"part_0/{lost}"))
    assert len(files) == 1
    files[0].unlink() if how == "missing" else os.truncate(files[0], 0)
    capsys.readouterr()
    assert convert(recording, output, "--resume") == 0
    assert "2 of 3 episodes were converted before" in capsys.readouterr().err
    assert convert(recording, whole) == 0 and content(output) == content(whole)


def test_after_a_killed_append_others_can_be_appended(recording, tmp_path, capsys, monkeypatch):
    """Killed while it removed the old dataset; an episode that it had added is named."""
    kept = [str(recording / f"episode_{number:06d}") for number in range(3)]
    output = tmp_path / "out"
    assert convert(kept[0], output) == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, shutil, "rmtree", "out.before")
        convert(kept[1], output, "--append")
    options = ["--output", str(output), "--workers", "1", "--append"]
    assert main(["convert", *kept[1:], *options]) == 2
    assert f"{kept[1]}: in {output} already" in capsys.readouterr().err
    assert convert(kept[2], output, "--append") == 0
    assert "3 episodes, 48 rows" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_has_the_name_of_the_old_dataset_is_not_removed(recording, tmp_path, capsys):
    """No conversion left it there."""
    output, mine = tmp_path / "out", tmp_path / "out.before"
    assert convert(recording, output) == 0
    mine.mkdir()
    assert convert(recording, output, "--append") == 2
    assert "rename or remove it" in capsys.readouterr().err and mine.is_dir()


def test_an_episode_that_is_given_twice_is_refused(recording, tmp_path, capsys):
    """By its recording and by itself, through a link too."""
    link, output = tmp_path / "link", tmp_path / "out"
    link.symlink_to(recording / "episode_000001")
    assert main(["convert", str(recording), str(link), "--output", str(output)]) == 2
    assert "is given twice" in capsys.readouterr().err and not output.exists()


@pytest.mark.parametrize("form", ["groot", "lerobot3"])
def test_a_dataset_gives_back_the_embodiment_file(recording, tmp_path, capsys, form):
    """As it was, whole; not if more is asked for; robot and tag are in info.json."""
    output, back = tmp_path / "out", tmp_path / "back.yaml"
    assert convert(recording, output, "--format", form) == 0
    info = json.loads((output / "meta" / "info.json").read_text())
    assert (info["robot_type"], info["embodiment_tag"]) == ("ramp", "new_embodiment")
    capsys.readouterr()
    assert new(["--dataset", str(output), "--output", str(back)]) == 0
    assert "as it is, the embodiment file" in capsys.readouterr().out
    of, own = (load_embodiment(str(file)) for file in (back, recording / "embodiment.yaml"))
    assert repr(of).replace(of.source, own.source) == repr(own)
    assert back.read_bytes() == (recording / "embodiment.yaml").read_bytes()
    assert new(["--dataset", str(output), "--tag", "gr1"]) == 0
    told = capsys.readouterr()
    assert told.out.count("FILL_IN") > 3 and "not used, because of --tag" in told.err
