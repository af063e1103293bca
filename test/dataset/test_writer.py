"""Datasets read back by hand, with pyarrow, PyAV and json alone: row i has picture i."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from made_episode import episode, number_of, picture
from pyarrow import parquet
from ramp_robot import HORIZON, RATE_HZ, robot
from scheduling import noted_policy, schedule
from watched_disk import watched_disk

from gr00t_ros.dataset.staged import stage
from gr00t_ros.dataset.stats import relative_statistics, statistics
from gr00t_ros.dataset.video_encode import (
    _ordinary_scheduling,
    encode,
    frame_times,
    join,
    refuse_uneven,
)
from gr00t_ros.dataset.writer import write_dataset
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.rotation import matrix_from_rot6d_rows, rot6d_rows_from_matrix

CAMERAS = {"front": 0, "wrist": 1000}


def written(folder, form, episodes=None, codec="h264"):
    """A dataset of these episodes; returns its folder."""
    made = episodes or [episode(number, 20 + number) for number in range(3)]
    staged = [folder / "staged" / str(number) for number in range(len(made))]
    for one, place in zip(made, staged, strict=True):
        stage(one, place, codec)
    write_dataset(form, robot(), staged, folder / form, ("episode_000009",))
    return folder / form


def read_json(path):
    """The content of a JSON file; NaN, which is no JSON, is an error."""
    return json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(text))


def rows_of(path):
    """Column -> list of values."""
    return parquet.read_table(path).to_pydict()


def frames_of(path):
    """The number that each frame shows, and its time in s."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [number_of(f.to_ndarray(format="rgb24")) for f in frames], [f.time for f in frames]


def v3_rows(folder):
    """The rows of each episode, found by the episodes' own file and range."""
    episodes = rows_of(folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    rows = rows_of(folder / "data" / "chunk-000" / "file-000.parquet")
    spans = zip(episodes["dataset_from_index"], episodes["dataset_to_index"], strict=True)
    return [{name: values[a:b] for name, values in rows.items()} for a, b in spans]


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_row_i_of_the_groot_flavour_has_frame_i_and_its_own_values(tmp_path, codec):
    """Frames are counted, at a constant rate from 0; timestamps are float64."""
    folder = written(tmp_path, "groot", codec=codec)
    for number in range(3):
        rows = 20 + number
        file = folder / f"data/chunk-000/episode_{number:06d}.parquet"
        table = rows_of(file)
        at = np.arange(rows) + 100 * number
        assert [row[0] for row in table["observation.state"]] == at.tolist()
        assert [row[1] for row in table["action"]] == (at + 6000).tolist()
        assert table["timestamp"] == [i / RATE_HZ for i in range(rows)]
        assert str(parquet.read_schema(file).field("timestamp").type) == "double"
        assert table["frame_index"] == list(range(rows))
        assert table["index"][0] == sum(range(20, 20 + number))
        assert table["task_index"] == [number % 2] * rows
        assert table["next.done"] == [False] * (rows - 1) + [True] == table["next.success"]
        for camera, first in CAMERAS.items():
            name = f"observation.images.{camera}/episode_{number:06d}.mp4"
            shown, times = frames_of(folder / "videos" / "chunk-000" / name)
            assert shown == (at + first).tolist()
            assert times == pytest.approx([i / RATE_HZ for i in range(rows)], abs=1e-9)


def test_the_meta_files_say_what_the_loaders_ask(tmp_path):
    """Slices in the file's order, cameras in the file's order, sizes, rate, tasks, statistics."""
    meta = written(tmp_path, "groot") / "meta"
    info, modality = read_json(meta / "info.json"), read_json(meta / "modality.json")
    assert (info["codebase_version"], info["fps"], info["robot_type"]) == ("v2.1", 10, "ramp")
    assert info["discarded_episodes"] == ["episode_000009"]
    assert [info[f"total_{name}"] for name in ("episodes", "frames", "tasks", "videos")] == [
        *(3, 63),
        *(2, 6),
    ]
    assert list(modality["video"]) == ["front", "wrist"]
    assert modality["annotation"] == {"human.task_description": {"original_key": "task_index"}}
    slices = {key: (of["start"], of["end"]) for key, of in modality["action"].items()}
    assert slices == {
        **{"arm": (0, 2), "jaw": (2, 3), "wrist": (3, 4), "base": (4, 7), "height": (7, 8)},
        **{"finger": (8, 9), "tool": (9, 16)},
    }
    features = info["features"]
    assert features["action"]["names"][:4] == ["pan", "tilt", "jaw", "roll"]
    camera = features["observation.images.front"]
    assert camera["shape"] == [48, 64, 3] and camera["names"] == ["height", "width", "channels"]
    assert (camera["info"]["video.fps"], camera["info"]["video.channels"]) == (10, 3)
    lines = [json.loads(line) for line in (meta / "episodes.jsonl").read_text().splitlines()]
    assert [(one["length"], one["tasks"], one["recording"]) for one in lines] == [
        (20, ["lift it"], "episode_000000"),
        (21, ["put it down"], "episode_000001"),
        (22, ["lift it"], "episode_000002"),
    ]
    stats = read_json(meta / "stats.json")
    every = np.concatenate([np.arange(20 + n) + 100.0 * n for n in range(3)])
    assert set(stats) == {"observation.state", "action", "timestamp"}
    assert set(stats["action"]) == {"mean", "std", "min", "max", "q01", "q99"}
    assert stats["observation.state"]["mean"][0] == pytest.approx(every.mean())
    assert stats["observation.state"]["q99"][0] == pytest.approx(np.quantile(every, 0.99))


def test_both_formats_hold_the_same_numbers_and_frames(tmp_path):
    """LeRobot v3.0: one parquet file and one video a camera, found by the episodes' table."""
    groot, v3 = written(tmp_path / "a", "groot"), written(tmp_path / "b", "lerobot3")
    episodes = rows_of(v3 / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    assert episodes["length"] == [20, 21, 22] and episodes["tasks"][1] == ["put it down"]
    tasks = parquet.read_table(v3 / "meta" / "tasks.parquet")
    assert tasks.column("task").to_pylist() == ["lift it", "put it down"]
    names = ("observation.state", "action", "frame_index", "index", "task_index", "intervention")
    for number, rows in enumerate(v3_rows(v3)):
        other = rows_of(groot / f"data/chunk-000/episode_{number:06d}.parquet")
        assert all(rows[name] == other[name] for name in names)
        assert rows["timestamp"] == pytest.approx(other["timestamp"], abs=1e-6)
    for camera, first in CAMERAS.items():
        key = f"observation.images.{camera}"
        shown, times = frames_of(v3 / "videos" / key / "chunk-000" / "file-000.mp4")
        assert shown == [first + 100 * n + i for n in range(3) for i in range(20 + n)]
        begins = episodes[f"videos/{key}/from_timestamp"]
        assert begins == pytest.approx([times[0], times[20], times[41]], abs=1e-9)
        assert episodes[f"videos/{key}/to_timestamp"][-1] == pytest.approx(63 / RATE_HZ)
    stats = read_json(v3 / "meta" / "stats.json")
    assert stats["action"]["count"] == [63] and len(stats["action"]["q10"]) == 16
    assert np.shape(stats["observation.images.front"]["mean"]) == (3, 1, 1)
    assert 0.0 < stats["observation.images.front"]["mean"][0][0][0] < 1.0


def test_new_files_begin_at_the_size_limit(tmp_path, monkeypatch):
    """Each episode in a file of its own when the limit is small."""
    monkeypatch.setattr("gr00t_ros.dataset.lerobot3.DATA_MB", 0)
    monkeypatch.setattr("gr00t_ros.dataset.lerobot3.VIDEO_MB", 0)
    folder = written(tmp_path, "lerobot3")
    episodes = rows_of(folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    assert episodes["data/file_index"] == [0, 1, 2]
    key = "videos/observation.images.wrist"
    assert episodes[f"{key}/file_index"] == [0, 1, 2]
    assert episodes[f"{key}/from_timestamp"] == [0.0, 0.0, 0.0]
    shown, _ = frames_of(folder / f"{key}/chunk-000/file-002.mp4")
    assert shown == [1200 + i for i in range(22)]


def test_predictions_and_success_are_columns_only_where_they_are_known(tmp_path):
    """One episode with predictions: the other's are NaN. One of unknown success: no column."""
    first = episode(0)
    predicted = {key: rows + 1 for key, rows in first.action.items()}
    predicted["arm"][:3] = np.nan
    one = episode(0, predicted=predicted)
    folder = written(tmp_path, "groot", [one, episode(1, success=None)])
    tables = [rows_of(folder / f"data/chunk-000/episode_{n:06d}.parquet") for n in range(2)]
    values = np.array(tables[0]["action.predicted"])
    assert np.isnan(values[:3, :2]).all() and values[5, 0] == first.action["arm"][5, 0] + 1
    assert np.isnan(np.array(tables[1]["action.predicted"])).all()
    assert "next.success" not in tables[0]
    stats = read_json(folder / "meta" / "stats.json")
    assert np.isfinite(stats["action.predicted"]["mean"]).all()


@pytest.mark.parametrize("what", ["state", "action"])
def test_a_value_that_is_not_finite_is_refused(tmp_path, what):
    """With its key, row and column; nothing finished is left."""
    one = episode()
    getattr(one, what)["arm"][7, 1] = np.nan
    with pytest.raises(SettingsError, match=rf"{what}.arm: nan in row 7, column 1"):
        stage(one, tmp_path / "staged", "h264")
    assert not (tmp_path / "staged" / "facts.json").exists()


def test_a_video_with_another_number_of_frames_than_rows_is_refused(tmp_path):
    """A camera that lost a picture."""
    one = episode()
    one.video["wrist"].pop()
    with pytest.raises(SettingsError, match="wrist has 19 pictures for 20 rows"):
        stage(one, tmp_path / "staged", "h264")


def test_an_episode_without_an_instruction_is_refused(tmp_path):
    """The option that gives one is named."""
    with pytest.raises(SettingsError, match="--instruction"):
        stage(episode(instruction=" "), tmp_path / "staged", "h264")


def test_episodes_of_other_sizes_do_not_go_into_one_dataset(tmp_path):
    """Both sizes are named."""
    small = episode(1, video={key: [picture(1, (24, 64))] * 20 for key in CAMERAS})
    with pytest.raises(SettingsError, match=r"pictures .*24, 64.* has .*48, 64"):
        written(tmp_path, "groot", [episode(0), small])


def test_the_same_pictures_give_the_same_frames(tmp_path):
    """So that a dataset does not depend on who encoded it, and when; no file has a date."""
    files = [tmp_path / name for name in ("a.mp4", "b.mp4")]
    for file in files:
        encode(file, episode().video["front"], 29.97)
    assert frames_of(files[0]) == frames_of(files[1])
    assert b"creation_time" not in files[0].read_bytes()


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_encoding_keeps_no_real_time_scheduling(tmp_path, codec):
    """In no thread, also while pictures are encoded: it starved a node on the same machine."""
    seen = set()

    def pictures():
        for number in range(4):
            yield picture(number)
            threads = [int(thread) for thread in os.listdir("/proc/self/task")]
            seen.update(os.sched_getscheduler(thread) for thread in threads)

    encode(tmp_path / "video.mp4", pictures(), 10.0, codec)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert not seen & {os.SCHED_FIFO, os.SCHED_RR}
    assert noted_policy() == os.SCHED_OTHER, "DDS and libzmq give it to each thread they start"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set real-time scheduling")
def test_two_encoders_at_once_keep_no_real_time_scheduling():
    """One takes back in the kernel what the other's thread got: its note must go all the same."""
    begun, given, taken = threading.Event(), threading.Event(), threading.Event()

    def first():
        with _ordinary_scheduling():
            begun.set()
            given.wait()
        taken.set()

    def second():
        begun.wait()
        with _ordinary_scheduling():
            schedule(os.SCHED_FIFO, 1)  # as SVT-AV1 does
            given.set()
            taken.wait()
        return os.sched_getscheduler(0), noted_policy()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(first)
        assert pool.submit(second).result() == (os.SCHED_OTHER, os.SCHED_OTHER)


def test_pictures_with_an_odd_side_are_encoded_in_h264_and_refused_by_av1(tmp_path):
    """yuv420p shares one colour between two pixels."""
    pictures = [picture(i, (47, 63)) for i in range(3)]
    assert encode(tmp_path / "odd.mp4", pictures, 10.0) == 3
    assert frames_of(tmp_path / "odd.mp4")[0] == [0, 1, 2]
    with pytest.raises(SettingsError, match="even numbers"):
        encode(tmp_path / "odd_av1.mp4", pictures, 10.0, "av1")


def test_frames_that_are_missing_or_late_are_found(tmp_path):
    """The check that follows each encoding."""
    file, both = tmp_path / "a.mp4", tmp_path / "b.mp4"
    encode(file, [picture(i) for i in range(10)], 10.0)
    with pytest.raises(SettingsError, match="10 frames were encoded of 11"):
        refuse_uneven(file, 11, 10.0)
    with pytest.raises(SettingsError, match="frame 9 is at 0.9"):
        refuse_uneven(file, 10, 20.0)
    join(both, [file, file])
    refuse_uneven(both, 20, 10.0)
    assert len(frame_times(both)[0]) == 20


def test_relative_statistics_are_those_of_chunks_from_their_first_state():
    """Joints by difference; poses in the frame of the state, as NVIDIA's loader has them."""
    rng = np.random.default_rng(1)
    state = rng.normal(size=(30, 2)).astype(np.float32)
    action = rng.normal(size=(30, 2)).astype(np.float32)
    found = relative_statistics("NON_EEF", [(state, action)], HORIZON)
    chunks = np.stack([action[i : i + HORIZON] - state[i] for i in range(30 - HORIZON + 1)])
    assert np.shape(found["mean"]) == (HORIZON, 2)
    np.testing.assert_allclose(found["mean"], chunks.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["q01"], np.quantile(chunks, 0.01, axis=0), rtol=1e-4)
    assert relative_statistics("NON_EEF", [(state[:3], action[:3])], HORIZON) is None


def test_relative_poses_are_in_the_frame_of_the_state():
    """A step forward of a turned hand is a step along its own axis."""
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = np.concatenate([[1.0, 2, 3], rot6d_rows_from_matrix(quarter)])
    ahead = np.concatenate([[1.0, 2.5, 3], rot6d_rows_from_matrix(quarter @ quarter)])
    state = np.tile(turned, (4, 1)).astype(np.float32)
    action = np.tile(ahead, (4, 1)).astype(np.float32)
    found = relative_statistics("EEF", [(state, action)], 2)
    mean = np.array(found["mean"])
    np.testing.assert_allclose(mean[:, :3], [[0.5, 0, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(matrix_from_rot6d_rows(mean[:, 3:]), [quarter] * 2, atol=1e-6)


def test_what_facts_speak_of_is_on_the_disk_before_them(tmp_path, monkeypatch):
    """Rows, videos and their names: a power failure never leaves facts alone."""
    folder = tmp_path / "staged"
    order, disk = watched_disk(monkeypatch, "facts.json")
    stage(episode(), folder, "h264")
    files = {"rows.parquet", "front.mp4", "wrist.mp4"}
    before = order[: order.index("facts")]
    assert files < set(before) and before[-1] == folder.name
    assert all(disk[name] == (folder / name).read_bytes() for name in files)


def test_statistics_of_a_column_without_a_known_value_are_finite():
    """JSON has no NaN."""
    found = statistics(np.full((4, 2), np.nan, np.float32))
    assert found["mean"] == [0.0, 0.0]
