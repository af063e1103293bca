"""What the writer writes has no fault, and the reader gives it back, in both formats."""

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("pyarrow")

import dataset_files as files  # noqa: E402

from gr00t_ros.dataset.checks.dataset import check_dataset  # noqa: E402
from gr00t_ros.dataset.embodiment_facts import read_dataset_meta  # noqa: E402
from gr00t_ros.dataset.episode import SOURCES, Episode  # noqa: E402
from gr00t_ros.dataset.reader import open_dataset  # noqa: E402
from gr00t_ros.dataset.staged import stage  # noqa: E402
from gr00t_ros.dataset.writer import write_dataset  # noqa: E402

ROBOT = files.embodiment()
PERIOD_NS = 1_000_000_000 // files.RATE_HZ


def cut(values):
    """The keys of all columns."""
    return {key: np.ascontiguousarray(values[:, a:b]) for key, (a, b) in files.KEYS.items()}


def episode(number, of):
    """An episode in memory, of which the policy commanded the first half."""
    count = len(of)
    is_human = np.arange(count) >= count // 2
    predicted = of.action + 0.25
    predicted[is_human] = np.nan
    return Episode(
        name=f"episode_{number:06d}",
        rate_hz=float(files.RATE_HZ),
        instruction=files.TASKS[of.task],
        stamps_ns=10**9 + np.arange(count, dtype=np.int64) * PERIOD_NS,
        state=cut(of.state),
        action=cut(of.action),
        video=of.pictures,
        source=np.where(is_human, SOURCES.index("human"), SOURCES.index("policy")).astype(np.uint8),
        intervention=is_human,
        predicted=cut(predicted),
        success=number != 1,
    )


@pytest.mark.parametrize(("form", "codec"), [("groot", "h264"), ("lerobot3", "av1")])
def test_a_written_dataset_has_no_finding_and_is_read_as_it_was(tmp_path, form, codec):
    """Every number to the last bit, who commanded, success; pictures as near as their coding."""
    made = [episode(i, of) for i, of in enumerate(files.content(episodes=3, rows=45))]
    staged = [tmp_path / "staged" / one.name for one in made]
    for one, folder in zip(made, staged, strict=True):
        stage(one, folder, codec)
    folder = tmp_path / form
    write_dataset(form, ROBOT, staged, folder)
    checked = check_dataset(folder, ROBOT, 1, lambda _done, _of: None)
    assert [finding.line() for finding in checked.findings.kept] == []
    assert checked.lags["state"].rows == pytest.approx(1.0, abs=0.3)
    reader = open_dataset(folder)
    for index, one in enumerate(made):
        read = reader.load(index, ROBOT)
        assert (read.instruction, read.success) == (one.instruction, one.success)
        for name in ("state", "action", "predicted"):
            for key, values in getattr(one, name).items():
                np.testing.assert_array_equal(getattr(read, name)[key], values)
        np.testing.assert_array_equal(read.source, one.source)
        np.testing.assert_array_equal(read.intervention, one.intervention)
        for camera, pictures in one.video.items():
            apart = [abs(read.video[camera][i].astype(int) - pictures[i]).mean() for i in (0, 20)]
            assert max(apart) < 8.0
    modality, known = read_dataset_meta(folder)
    assert modality["state"].keys == tuple(stream.key for stream in ROBOT.state)
    assert modality["action"].keys == tuple(action.key for action in ROBOT.action)
    assert modality["language"].keys == ROBOT.language_keys
    assert known.sizes == {s.key: (s.height_px, s.width_px) for s in ROBOT.video}
    assert known.state_names == {stream.key: stream.names for stream in ROBOT.state}
    assert known.action_names == {action.key: action.names for action in ROBOT.action}
