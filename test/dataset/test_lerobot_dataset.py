"""A LeRobot dataset's actions are what its files contain, or the error names the wrong file."""

import json
import signal
import sys

import numpy as np
import pytest

from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.codec import decode, encode

INFO = {"codebase_version": "v2.1", "fps": 15, "chunks_size": 2}
MODALITY = {
    "state": {},
    "action": {
        "joint_position": {"start": 0, "end": 7},
        "gripper_position": {"start": 7, "end": 8, "original_key": "action"},
        "eef_9d": {"start": 0, "end": 9, "original_key": "action.pose"},
    },
}
EPISODES = [{"episode_index": n, "tasks": ["stay"], "length": n + 2} for n in range(3)]


def values(episode, width):
    """(N, width) float32, every number another one."""
    rows = EPISODES[episode]["length"]
    return np.arange(rows * width, dtype=np.float32).reshape(rows, width) + 1000 * episode + width


@pytest.fixture
def folder(tmp_path):
    """The metadata of three episodes."""
    meta = tmp_path / "meta"
    meta.mkdir()
    (meta / "info.json").write_text(json.dumps(INFO))
    (meta / "modality.json").write_text(json.dumps(MODALITY))
    (meta / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in EPISODES))
    return tmp_path


@pytest.fixture
def with_data(folder):
    """The parquet files too; skipped without pyarrow."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for episode in range(3):
        columns = {"action": values(episode, 8), "action.pose": values(episode, 9)}
        table = pyarrow.table({name: rows.tolist() for name, rows in columns.items()})
        path = folder / "data" / f"chunk-{episode // 2:03d}" / f"episode_{episode:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, path)
    return folder


def test_the_metadata_is_read_without_pyarrow(folder):
    """Rate, episodes, and where each key lies."""
    dataset = LeRobotDataset(folder)
    assert (dataset.fps, dataset.lengths) == (15.0, {0: 2, 1: 3, 2: 4})
    assert {key: columns.width for key, columns in dataset.actions.items()} == {
        "joint_position": 7,
        "gripper_position": 1,
        "eef_9d": 9,
    }


@pytest.mark.parametrize("episode", range(3))
def test_each_key_s_columns_come_out_as_they_were_recorded(with_data, episode):
    """In every chunk folder, from every parquet column."""
    actions = LeRobotDataset(with_data).episode(episode)
    np.testing.assert_array_equal(actions["joint_position"], values(episode, 8)[:, :7])
    np.testing.assert_array_equal(actions["gripper_position"], values(episode, 8)[:, 7:])
    np.testing.assert_array_equal(actions["eef_9d"], values(episode, 9))
    assert {array.dtype for array in actions.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("episode", [-1, 3, "0"])
def test_an_episode_that_is_none_is_refused_with_what_there_is(folder, episode):
    """Before a file is looked for."""
    with pytest.raises(SettingsError, match="it has 3: 0 to 2"):
        LeRobotDataset(folder).episode(episode)


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("info.json", None, "No such file"),
        ("info.json", "{", "no JSON"),
        ("info.json", "[]", "expected a map"),
        ("info.json", json.dumps(INFO | {"codebase_version": "v1.6"}), "v2.0 or v2.1 or v3.0"),
        ("info.json", json.dumps(INFO | {"data_path": "{episode_index:99d}"}), "data_path is"),
        ("info.json", json.dumps(INFO | {"data_path": "../{episode_index}"}), "data_path is"),
        ("info.json", json.dumps(INFO | {"data_path": "{fps.real}"}), "data_path is"),
        ("info.json", json.dumps(INFO | {"fps": 0}), "fps"),
        ("episodes.jsonl", "", "at least one episode"),
        ("episodes.jsonl", '{"episode_index": 0}', "length"),
        ("episodes.jsonl", '{"episode_index": 0, "length": 0}', "expected a whole number from 1"),
        ("modality.json", "{}", "action is empty"),
        ("modality.json", '{"action": {"a": {"start": 0}}}', "end"),
        ("modality.json", '{"action": {"a": {"start": 3, "end": 3}}}', "start < end"),
        ("modality.json", '{"action": {"a": 5}}', "expected start and end"),
    ],
)
def test_wrong_metadata_is_refused_by_its_file(folder, file, content, text):
    """Before a server says that it is ready."""
    path = folder / "meta" / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SettingsError, match=text):
        LeRobotDataset(folder)


def test_data_that_contradict_the_metadata_are_refused(with_data):
    """A missing file, a missing column, another length, a value that is not finite."""
    import pyarrow
    from pyarrow import parquet

    dataset = LeRobotDataset(with_data)
    path = with_data / "data" / "chunk-000" / "episode_000000.parquet"
    short, bad = values(0, 9)[:1], values(0, 9)
    bad[1, 1] = np.nan
    for name, rows, text in (
        ("action.pose", short, r"is \(1, 8\), expected \(2, 7\)"),
        ("action.pose", values(0, 9)[:, :8], "expected"),
        ("action.pose", bad, "not finite"),
        ("other", values(0, 9), "cannot be read"),
    ):
        rest = values(0, 8)[: len(rows)]
        parquet.write_table(pyarrow.table({"action": rest.tolist(), name: rows.tolist()}), path)
        with pytest.raises(SettingsError, match=text):
            dataset.episode(0)
    path.write_bytes(b"no parquet")
    with pytest.raises(SettingsError, match="cannot be read"):
        dataset.episode(0)
    path.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        dataset.episode(0)


@pytest.fixture
def v3(folder):
    """The same three episodes as LeRobot v3 has them: two in one file, one in another."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    meta = folder / "meta"
    (meta / "info.json").write_text(json.dumps({"codebase_version": "v3.0", "fps": 15}))
    (meta / "episodes.jsonl").unlink()
    index = [[0, 2, 0, 0], [1, 3, 0, 0], [2, 4, 0, 1]]
    names = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    table = pyarrow.table(dict(zip(names, zip(*index, strict=True), strict=True)))
    (meta / "episodes" / "chunk-000").mkdir(parents=True)
    parquet.write_table(table, meta / "episodes" / "chunk-000" / "file-000.parquet")
    for file, episodes in enumerate([(0, 1), (2,)]):
        rows = {"action": [], "action.pose": [], "episode_index": []}
        for episode in episodes:
            rows["action"] += values(episode, 8).tolist()
            rows["action.pose"] += values(episode, 9).tolist()
            rows["episode_index"] += [episode] * EPISODES[episode]["length"]
        path = folder / "data" / "chunk-000" / f"file-{file:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(rows), path)
    return folder


@pytest.mark.parametrize("episode", range(3))
def test_a_v3_dataset_has_several_episodes_in_a_file(v3, episode):
    """Each comes out as it was recorded, wherever it lies."""
    dataset = LeRobotDataset(v3)
    assert dataset.lengths == {0: 2, 1: 3, 2: 4}
    actions = dataset.episode(episode)
    np.testing.assert_array_equal(actions["joint_position"], values(episode, 8)[:, :7])
    np.testing.assert_array_equal(actions["eef_9d"], values(episode, 9))


def test_a_v3_dataset_without_pyarrow_or_episodes_is_refused(folder, monkeypatch):
    """Its list of episodes is a parquet file; without any there is nothing to replay."""
    (folder / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v3.0", "fps": 15}))
    with pytest.raises(SettingsError, match="episodes: expected at least one episode"):
        LeRobotDataset(folder)
    path = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match="a LeRobot v3 dataset of .* pip install pyarrow"):
        LeRobotDataset(folder)


def test_without_pyarrow_the_error_names_the_command(folder, monkeypatch):
    """It is no dependency of anything else."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match="pip install pyarrow"):
        LeRobotDataset(folder).episode(0)


def test_a_dataset_of_the_arm_is_served_as_a_process(with_data, start_sidecar, connect):
    """From the files to the wire."""
    sidecar = start_sidecar(
        "replay", "--embodiment", "franka_droid", "--dataset", str(with_data), "--port", "0"
    )
    reset = {"endpoint": "reset", "data": {"options": {"episode_index": 2}}}
    reply = decode(connect(sidecar.address).ask(encode(reset, "npy")))
    assert reply == {"episode_index": 2, "episode_length": 4, "current_step": 0}
    assert sidecar.end(signal.SIGTERM)[0] == 0


def test_no_dataset_is_one_line_and_status_two(start_sidecar, tmp_path):
    """As everything that a server cannot start with."""
    sidecar = start_sidecar(
        "replay", "--embodiment", "franka_droid", "--dataset", str(tmp_path), "--port", "0"
    )
    status, log = sidecar.wait()
    assert (sidecar.ready, status) == ("", 2)
    assert "info.json: No such file" in log and log.count("\n") == 1
