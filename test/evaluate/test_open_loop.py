"""Which rows are queried, and what is sent."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")

from made_episodes import Recorded, made_episode, with_changes

from gr00t_ros.dataset.episode import HUMAN, IDLE, POLICY, SOURCES, STOPPING
from gr00t_ros.errors import ChunkError, SettingsError
from gr00t_ros.evaluate.open_loop import (
    OpenLoopSettings,
    observations,
    predict_episode,
    query_rows,
)


@pytest.fixture(scope="module")
def episode(robot):
    """80 rows of Desk6."""
    return made_episode(robot, rows=80)


def test_a_query_is_made_every_execute_steps(robot, episode):
    """The node's default is eight; --steps ends it earlier."""
    assert query_rows(episode, robot, OpenLoopSettings()).tolist() == list(range(0, 80, 8))
    assert query_rows(episode, robot, OpenLoopSettings(every_rows=30, steps=50)).tolist() == [0, 30]


def test_the_first_query_is_at_the_first_row_with_a_history(droid):
    """One second back is 15 rows; the observation is oldest first."""
    episode = made_episode(droid, rows=32)
    rows = query_rows(episode, droid, OpenLoopSettings()).tolist()
    assert rows == [15, 23, 31]
    for seen in observations(episode, droid, rows):
        for key, pictures in episode.video.items():
            assert (seen.video[key][0] == pictures[seen.row - 15]).all()
            assert (seen.video[key][1] == pictures[seen.row]).all()


def test_pictures_are_read_once_in_ascending_order(droid):
    """A reader of videos and bags would begin anew for each step back."""
    episode, asked = made_episode(droid, rows=48), []

    class Asked:
        def __init__(self, name, pictures):
            self._name, self._pictures = name, pictures

        def __getitem__(self, row):
            asked.append((self._name, row))
            return self._pictures[row]

    video = {key: Asked(key, pictures) for key, pictures in episode.video.items()}
    seen = list(observations(with_changes(episode, video=video), droid, [15, 23, 31, 47]))
    assert len(seen) == 4
    for camera in video:
        rows = [row for name, row in asked if name == camera]
        assert rows == sorted(set(rows)) == [0, 8, 15, 16, 23, 31, 32, 47]


def test_rows_while_stopping_or_idle_are_not_queried(robot, episode):
    """After such rows the rhythm begins anew, as the node's does."""
    source = np.full(80, SOURCES.index(POLICY), np.uint8)
    source[10:21] = SOURCES.index(IDLE)
    source[70:] = SOURCES.index(STOPPING)
    mixed = with_changes(episode, source=source)
    assert query_rows(mixed, robot, OpenLoopSettings()).tolist() == [0, 8, *range(21, 70, 8)]
    assert query_rows(mixed, robot, OpenLoopSettings(sources=(HUMAN,))).tolist() == []
    assert query_rows(mixed, robot, OpenLoopSettings(sources=(IDLE,))).tolist() == [10, 18]


def test_a_policy_that_remembers_begins_anew_after_a_break(robot, episode):
    """Each query adds 0.1 to the chunk; after idle rows the count begins again."""

    def remembers(chunks, _, query):
        return {key: rows + 0.1 * query for key, rows in chunks.items()}

    source = np.full(80, SOURCES.index(POLICY), np.uint8)
    source[20:31] = SOURCES.index(IDLE)
    policy = Recorded(robot, episode, remembers)
    mixed = with_changes(episode, source=source)
    found = predict_episode(mixed, robot, OpenLoopSettings(steps=47), policy)
    assert found.rows.tolist() == [0, 8, 16, 31, 39] and policy.begun == 2
    added = found.chunks["arm"][:, 0] - episode.action["arm"][found.rows]
    assert added[:, 0] == pytest.approx([0.0, 0.1, 0.2, 0.0, 0.1], abs=1e-6)


def test_a_state_that_is_not_finite_is_not_sent(robot, episode):
    """The node would not have it either; the row is named."""
    state = episode.state["arm"].copy()
    state[16, 2] = np.nan
    policy = Recorded(robot, episode)
    found = predict_episode(
        with_changes(episode, state={"arm": state}), robot, OpenLoopSettings(), policy
    )
    assert found.skipped == (16,) and 16 not in found.rows and policy.begun == 1


def test_a_chunk_that_is_not_finite_is_kept_and_named(robot, episode):
    """The node would drop it; any other fault of a chunk ends the episode."""

    def nan(chunks, observation, query):
        chunks["arm"][3, 1] = np.nan if query == 2 else 0.0
        return chunks

    found = predict_episode(episode, robot, OpenLoopSettings(), Recorded(robot, episode, nan))
    assert list(found.unfit) == [16] and "desk6_joint2" in found.unfit[16]
    short = Recorded(robot, episode, lambda chunks, *_: {"arm": chunks["arm"][:5]})
    with pytest.raises(ChunkError, match="shape"):
        predict_episode(episode, robot, OpenLoopSettings(), short)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_hz": 10.0}, "10 rows a second, expected 20"),
        ({"action": {}}, "action arm: got none, expected"),
        ({"video": {}}, "video front: got none"),
    ],
)
def test_an_episode_of_another_robot_is_refused(robot, episode, change, message):
    """Before anything is sent."""
    policy = Recorded(robot, episode)
    with pytest.raises(SettingsError, match=message):
        predict_episode(with_changes(episode, **change), robot, OpenLoopSettings(), policy)
    assert policy.begun == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (OpenLoopSettings(every_rows=33), "got 33 rows between two queries, expected 1 to 32"),
        (
            OpenLoopSettings(latency_ns=2_000_000_000),
            "got 2000 ms, expected 0 to less than a chunk",
        ),
        (OpenLoopSettings(swap=("front", "rear")), "got rear, expected two of front"),
        (
            OpenLoopSettings(keys=("arn",)),
            "modality keys: got arn, expected of arm .*did you mean arm?",
        ),
    ],
)
def test_settings_that_do_not_fit_the_robot_are_refused(robot, settings, message):
    """With the numbers of the embodiment file."""
    with pytest.raises(SettingsError, match=message):
        settings.check(robot)


def test_a_key_that_no_output_executes_may_be_missing(droid, measured):
    """As in a dataset that convert made: nobody can say what was commanded."""
    whole = made_episode(droid, rows=32)
    executed = {a.key: whole.action[a.key] for a in droid.action if a.output is not None}
    assert executed.keys() < whole.action.keys()
    found = measured(droid, with_changes(whole, action=executed), Recorded(droid, whole))
    assert {part.key for part in found.parts} == executed.keys()
    assert found.errors["policy"].mse == pytest.approx(0.0, abs=1e-9)
    (left,) = whole.action.keys() - executed.keys()
    with pytest.raises(SettingsError, match=f"got {left}, expected of those that it has"):
        measured(
            droid,
            with_changes(whole, action=executed),
            Recorded(droid, whole),
            OpenLoopSettings(keys=(left,)),
        )
