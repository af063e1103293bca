"""A dataset's episodes are what its files hold, in both formats, in any order of reading."""

import os
from copy import deepcopy

import numpy as np
import pytest

av = pytest.importorskip("av")
pyarrow = pytest.importorskip("pyarrow")
import dataset_files as files  # noqa: E402
from pyarrow import parquet  # noqa: E402

from gr00t_ros.dataset import video_decode  # noqa: E402
from gr00t_ros.dataset.episode import SOURCES  # noqa: E402
from gr00t_ros.dataset.reader import open_dataset  # noqa: E402
from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.serve.replay_policy import ReplayPolicy  # noqa: E402

CONTENT = files.content(episodes=3, rows=30)
FORMATS = {"v2.1": files.write_groot, "v3.0": files.write_lerobot3}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Both formats of the same episodes, which no test changes."""
    return {
        name: write(tmp_path_factory.mktemp(name) / "set", CONTENT)
        for name, write in FORMATS.items()
    }


@pytest.fixture
def groot(tmp_path):
    """A dataset that a test may change."""
    return files.write_groot(tmp_path / "set", CONTENT[:1])


def pictures_by_hand(path, first, count):
    """The pictures of a video, decoded from its begin with PyAV alone."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames[first : first + count])


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("index", range(3))
def test_an_episode_is_what_was_written(good, version, index):
    """States and actions to the last bit, cut by key; times, instruction, and the defaults."""
    reader = open_dataset(good[version])
    assert reader.episode_indices == (0, 1, 2)
    episode, of = reader.load(index, files.embodiment()), CONTENT[index]
    assert len(episode) == len(of) and episode.rate_hz == files.RATE_HZ
    assert episode.name == f"set/{index}"
    assert episode.instruction == files.TASKS[of.task]
    assert episode.stamps_ns.tolist() == [i * 100_000_000 for i in range(len(of))]
    for key, (start, end) in files.KEYS.items():
        np.testing.assert_array_equal(episode.state[key], of.state[:, start:end])
        np.testing.assert_array_equal(episode.action[key], of.action[:, start:end])
    assert list(episode.state) == ["arm", "gripper"] and list(episode.video) == ["front", "wrist"]
    assert set(episode.source) == {SOURCES.index("human")}
    assert not episode.intervention.any() and episode.success is None and not episode.predicted


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("camera", files.CAMERAS)
def test_pictures_in_any_order_are_those_in_the_file(good, version, camera):
    """Sequential, random and repeated access give the picture of the row, as PyAV decodes it."""
    episode = open_dataset(good[version]).load(1, files.embodiment())
    if version == "v2.1":
        path, first = files.video_file(good[version], 1, camera), 0
    else:
        path, first = good[version] / files.v3_file(files.V3_VIDEO, camera), len(CONTENT[0])
    expected = pictures_by_hand(path, first, len(CONTENT[1]))
    pictures = episode.video[camera]
    np.testing.assert_array_equal(np.stack(list(pictures)), expected)
    order = np.random.default_rng(3).permutation(len(expected))[:12]
    for row in (*order, 5, 5, 6, -1, 0):
        np.testing.assert_array_equal(pictures[int(row)], expected[row])
    copied = deepcopy(pictures)  # as another process would get it
    np.testing.assert_array_equal(copied[7], expected[7])
    with pytest.raises(IndexError):
        pictures[len(expected)]


def test_b_frames_and_long_groups_of_pictures_are_read_right(groot):
    """Libx264's default has both; a picture in the middle needs those before and after it."""
    path = files.video_file(groot)
    pictures = CONTENT[0].pictures["front"]
    files.encode(path, pictures, gop=250)
    read = open_dataset(groot).load(0, files.embodiment()).video["front"]
    expected = pictures_by_hand(path, 0, len(pictures))
    for row in (20, 3, 4, 29, 0):
        np.testing.assert_array_equal(read[row], expected[row])


def test_pictures_of_another_size_become_the_files(groot):
    """Padded as the node pads: the bars are black, the picture between them is the whole."""
    camera = {"topic": "/c", "size": [64, 64], "fit": "pad", "delta_indices": [0]}
    one_camera = files.embodiment(video={"front": camera})
    image = open_dataset(groot).load(0, one_camera).video["front"][0]
    assert image.shape == (64, 64, 3)
    assert not image[:8].any() and not image[56:].any() and image[8:56].any(axis=-1).all()


def test_columns_that_the_recorder_adds_are_read(groot):
    """Source, intervention, success and what the policy predicted, NaN where it did not."""
    count = len(CONTENT[0])
    predicted = CONTENT[0].action + 1.0
    predicted[:4] = np.nan
    sources = np.arange(count) % 4

    table = parquet.read_table(files.data_file(groot), partitioning=None)
    table = table.append_column("action.predicted", files.vectors(predicted))
    table = table.append_column("source", pyarrow.array(sources))
    table = table.append_column("intervention", pyarrow.array(sources == 1))
    table = table.append_column("next.success", pyarrow.array([False] * (count - 1) + [True]))
    parquet.write_table(table, files.data_file(groot))
    episode = open_dataset(groot).load(0, files.embodiment())
    np.testing.assert_array_equal(episode.source, sources)
    np.testing.assert_array_equal(episode.intervention, sources == 1)
    assert episode.success is True
    np.testing.assert_array_equal(episode.predicted["arm"], predicted[:, :2])
    # other names in another order are other numbers
    names = ["idle", "human", "policy", "stopping"]
    feature = {"source": {"dtype": "int64", "shape": [1], "names": None, "values": names}}
    files.edit_json(groot / "meta/info.json", lambda i: i["features"].update(feature))
    episode = open_dataset(groot).load(0, files.embodiment())
    assert [SOURCES[i] for i in episode.source[:4]] == names


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rate_hz": 20}, "10 steps a second, expected rate_hz 20"),
        (
            {"video": {"top": {"topic": "/c", "size": [8, 8], "fit": "pad", "delta_indices": [0]}}},
            "video.top is none of meta/modality.json's cameras: front, wrist",
        ),
        (
            {"state": {"arm": {"from": "joints", "topic": "/j", "names": ["pan"]}}},
            "state.arm has width 2 in meta/modality.json, expected 1",
        ),
    ],
)
def test_an_embodiment_that_is_another_robot_is_refused(good, change, text):
    """Before a row is read."""
    with pytest.raises(SettingsError, match=text):
        open_dataset(good["v2.1"]).load(0, files.embodiment(**change))


def test_a_constant_state_that_the_dataset_lacks_is_the_embodiments(good):
    """It is what the observation would send."""
    state = {
        "arm": {"from": "joints", "topic": "/j", "names": ["pan", "tilt"]},
        "mount": {"from": "constant", "values": [0.5, 1.5]},
    }
    episode = open_dataset(good["v3.0"]).load(0, files.embodiment(state=state))
    assert episode.state["mount"].shape == (len(episode), 2)
    assert episode.state["mount"][3].tolist() == [0.5, 1.5]


def test_an_action_that_the_embodiment_ignores_may_be_missing(good):
    """Nobody executes it, so nobody can say what was commanded; another key must be there."""
    ignored = {"ignored": True, "names": ["x", "y"]}
    actions = {"eef": ignored, "arm": {"output": "arm"}, "gripper": {"output": "hand"}}
    episode = open_dataset(good["v2.1"]).load(0, files.embodiment(action=actions))
    assert list(episode.action) == ["arm", "gripper"]


def test_faulty_files_are_refused_in_one_line(groot):
    """A short video, a playlist under its name, an id without a text, two instructions."""
    reader = open_dataset(groot)
    video = files.video_file(groot)
    files.encode(video, CONTENT[0].pictures["front"][:-1])
    with pytest.raises(SettingsError, match="29 pictures from 0 s on, expected 30"):
        reader.load(0, files.embodiment()).video["front"][0]
    video.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(SettingsError, match="video cannot be read"):
        reader.load(0, files.embodiment()).video["front"][0]

    def tasks(first, rest):
        def change(columns):
            columns["task_index"] = [first] + [rest] * (len(CONTENT[0]) - 1)

        return change

    for ids, text in (((0, 1), "2 instructions, expected one: lift"), ((7, 7), "no task_index of")):
        files.edit_table(files.data_file(groot), tasks(*ids))
        with pytest.raises(SettingsError, match=text):
            open_dataset(groot).load(0, files.embodiment())


def test_files_that_would_fill_the_memory_are_not_read(groot):
    """More rows than a day at 100 Hz, a picture larger than any camera's, a pipe."""
    robot = files.embodiment()
    path = files.data_file(groot)
    values = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(10_000_001, np.int8)), pyarrow.array([0.5])
    )
    parquet.write_table(pyarrow.table({files.STATE: values}), path)
    with pytest.raises(SettingsError, match="10000001 rows and .* bytes when unpacked, expected"):
        open_dataset(groot).load(0, robot)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="no such file"):
        open_dataset(groot).load(0, robot)
    wide = [np.zeros((16, 8208, 3), np.uint8)] * 2
    files.encode(files.video_file(groot), wide)
    with pytest.raises(SettingsError, match="16x8208 pixels, expected at most 8192"):
        video_decode.VideoFrames(files.video_file(groot))


@pytest.mark.parametrize("version", FORMATS)
def test_the_replay_policy_plays_either_format(good, version):
    """Chunk after chunk it commands what was recorded."""
    robot = files.embodiment()
    policy = ReplayPolicy(open_dataset(good[version]).dataset, robot, robot.action_horizon)
    policy.reset({"episode_index": 2})
    observation = {"video": {"front": np.zeros((1, 1, 48, 64, 3), np.uint8)}}
    chunks = [policy(observation, None)[0] for _ in range(4)]
    for key, (start, end) in files.KEYS.items():
        played = np.concatenate([chunk[key][0] for chunk in chunks])
        np.testing.assert_array_equal(played, CONTENT[2].action[:32, start:end])


@pytest.mark.parametrize("pattern", ["../{video_key}.mp4", "{video_key:03d}", "/{video_key}"])
def test_a_video_path_outside_the_dataset_is_refused(groot, pattern):
    """Datasets come from others."""
    files.edit_json(groot / "meta/info.json", lambda i: i.update(video_path=pattern))
    with pytest.raises(SettingsError, match="video_path is"):
        open_dataset(groot)
