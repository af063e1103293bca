"""A bag of known values becomes rows with these values at their own times, or is refused."""

import hashlib
import json
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

import recorded_bag as rig  # noqa: E402
from bag_files import write_bag  # noqa: E402
from made_episode import number_of, picture  # noqa: E402
from ramp_robot import CONTENT, robot  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from recorded_bag import MS, START_NS, by_human, by_policy, streams, write_episode  # noqa: E402

from gr00t_ros.bags.message_types import type_name  # noqa: E402
from gr00t_ros.convert.recordings import read_episodes, recorded  # noqa: E402
from gr00t_ros.dataset.episode import SOURCES  # noqa: E402
from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.record.episode_bag import EpisodeBag, channel_of  # noqa: E402

PERIOD_NS = round(1e9 / rig.RATE_HZ)


def written(folder, messages, **changed):
    """The only episode of a recording with these messages."""
    write_episode(folder, 0, messages, **changed)
    return read_episodes(folder, robot())[0]


def load(folder, messages, **changed):
    """That episode, read."""
    return written(folder, messages, **changed).load()


def times(episode):
    """Row times in s after the start."""
    return (episode.stamps_ns - START_NS) * 1e-9


def close(values, expected, tolerance=1e-5):
    """Whether a column has these values in each row."""
    np.testing.assert_allclose(np.ravel(values), np.ravel(expected), atol=tolerance)


def shifted(slope, seconds):
    """A joint's line at these times."""
    return slope * seconds + 0.1


@pytest.mark.parametrize("source", [by_policy, by_human])
def test_row_i_has_picture_state_and_command_of_its_own_time(tmp_path, source):
    """All output types, from windows and from references and command topics alike."""
    seconds = 2.0
    goal = rig.window(("finger",), START_NS - 400 * MS, lambda _: [0.4])  # a level stays
    messages = [*streams(seconds), *source(seconds)]
    messages.append(("/gr00t_policy/windows/finger", START_NS - 400 * MS, goal))
    episode = load(tmp_path / "rec", messages)
    count = round(seconds * rig.RATE_HZ) + 1
    at = times(episode)
    assert episode.name == "episode_000000" and len(episode) == count
    close(at, np.arange(count) / rig.RATE_HZ)
    close(episode.state["arm"], [[shifted(0.1, t), shifted(-0.2, t)] for t in at])
    close(episode.state["jaw"], 1.0 - shifted(0.02, at) / 0.5)
    close(episode.state["tool"][:, 0], 0.1 + 0.01 * at)
    for camera, first in (("front", 0), ("wrist", 1000)):
        shown = [number_of(picture) for picture in episode.video[camera]]
        assert shown == [first + rig.frame_of(row) for row in range(count)]
    ahead = at + rig.LEAD_S
    tolerance = 1e-5 if source is by_policy else 0.2 * rig.WINDOW_MS * 1e-3 + 1e-5
    close(episode.action["arm"], [[shifted(0.1, t), shifted(-0.2, t)] for t in ahead], tolerance)
    close(episode.action["jaw"], 1.0 - shifted(0.02, ahead) / 0.5, tolerance)
    close(episode.action["wrist"], shifted(0.05, ahead), tolerance)
    close(episode.action["base"], np.tile(rig.BASE_SPEED, (count, 1)))
    close(episode.action["height"], np.full(count, 0.6))
    close(episode.action["finger"], np.full(count, 0.5))
    close(episode.action["tool"][:, 0], 0.1 + 0.01 * ahead, tolerance)
    close(episode.action["tool"][:, 3:], np.tile([0, 0, 0, 1], (count, 1)))
    assert "spare" not in episode.action


def test_deltas_of_a_pose_lead_from_each_row_to_the_next(tmp_path):
    """Of an output whose key is a delta; the last row leads one period beyond the episode."""
    content = yaml.safe_load(CONTENT)
    content["action"]["tool"]["representation"] = "delta"
    write_episode(tmp_path / "rec", 0, [*streams(2.5), *by_policy(2.5)])
    one = read_episodes(tmp_path / "rec", robot(action=content["action"]))[0]
    deltas = one.load().action["tool"]
    close(deltas[:, 0], np.full(21, 0.01 / rig.RATE_HZ), 1e-6)
    close(deltas[:, 3:], np.tile([0, 0, 0, 1], (21, 1)))


def test_a_hand_that_closes_has_the_value_of_closed_from_its_first_motion_on(tmp_path):
    """Known by the controller's references alone, which state no velocity."""
    content = yaml.safe_load(CONTENT)
    content["action"]["jaw"] = {"output": "jaw", "scale": [0.0, 0.5], "threshold": 0.5}
    goal = rig.window(("finger",), START_NS - 400 * MS, lambda _: [0.4])
    messages = [one for one in [*streams(2.0), *by_human(2.0)] if one[0] != "/jaw/s"]
    messages.append(("/gr00t_policy/windows/finger", START_NS - 400 * MS, goal))
    for ms in range(-500, 2001, 50):
        at_ns, value = START_NS + ms * MS, min(max((ms - 500) * 0.0005, 0.0), 0.5)
        messages.append(("/jaw/s", at_ns, rig.state(("jaw",), at_ns, [value])))
    write_episode(tmp_path / "rec", 0, messages)
    one = read_episodes(tmp_path / "rec", robot(action=content["action"]))[0]
    values = one.load().action["jaw"].ravel()
    assert values[:6].tolist() == [0.0] * 6 and values[6:].tolist() == [1.0] * 15


def test_a_gripper_without_a_goal_is_unknown_not_guessed(tmp_path):
    """Goals of an action are on no topic: without windows no row is complete."""
    messages = [*streams(1.0), *by_human(1.0)]
    one = written(tmp_path / "rec", messages, seconds=1.0)
    with pytest.raises(BagError, match="what was commanded to finger: .*windows/finger, goals"):
        one.load()


@pytest.mark.parametrize("kept_bytes", [0, 100_000, 10**9])
def test_pictures_can_be_asked_for_in_any_order(tmp_path, monkeypatch, kept_bytes):
    """The same picture comes back, forwards, backwards and twice, from memory or the bag."""
    monkeypatch.setattr("gr00t_ros.convert.episodes.KEPT_BYTES", kept_bytes)
    episode = load(tmp_path / "rec", [*streams(2.0), *by_policy(2.0)])
    pictures = episode.video["front"]
    every = list(pictures)
    shown = [number_of(picture) for picture in every]
    assert shown == [rig.frame_of(row) for row in range(21)]
    for row in (3, 4, 4, 20, 1, 0, 19, -1):
        assert np.array_equal(pictures[row], every[row])
    with pytest.raises(IndexError):
        pictures[21]


def test_pictures_keep_the_camera_s_own_size(tmp_path):
    """With keep_size they are not resized."""
    write_episode(tmp_path / "rec", 0, [*streams(1.0), *by_policy(1.0)], seconds=1.0)
    video = {
        key: {"topic": f"/{key}", "size": [24, 32], "fit": "pad", "delta_indices": [0]}
        for key in ("front", "wrist")
    }
    small = robot(video=video)
    own, sent = (
        read_episodes(tmp_path / "rec", small, keep_size=keep)[0].load() for keep in (True, False)
    )
    assert own.video["front"][0].shape == (48, 64, 3)
    assert np.array_equal(own.video["front"][0], picture(0))
    assert sent.video["front"][0].shape == (24, 32, 3)


def without(messages, topic, from_s, to_s):
    """The messages without those of one topic in a span."""
    begin, end = (START_NS + round(s * 1e9) for s in (from_s, to_s))
    return [one for one in messages if one[0] != topic or not begin <= one[1] < end]


def test_a_gap_is_refused_with_its_place_and_splits_on_request(tmp_path):
    """A camera that is silent for longer than the node allows; nothing is filled in."""
    messages = without([*streams(6.0), *by_policy(6.0)], "/wrist", 2.0, 3.5)
    one = written(tmp_path / "rec", messages, seconds=6.0)
    with pytest.raises(BagError) as caught:
        one.load()
    text = str(caught.value)
    assert "s to 3.50 s: wrist (/wrist): nothing new received for" in text
    assert "--gaps split" in text and "\n" not in text
    parts = one.load_parts()
    assert [part.name for part in parts.episodes] == [f"episode_000000 part {i}" for i in (1, 2)]
    first, second = parts.episodes
    assert times(first)[-1] < 2.6 and times(second)[0] == pytest.approx(3.5)
    assert [cut.to_s for cut in parts.cut] == [pytest.approx(3.5)]
    assert (first.success, second.success) == (None, True)
    shown = [number_of(picture) for picture in second.video["wrist"]]
    assert shown == [1000 + rig.frame_of(35 + row) for row in range(len(second))]
    assert np.diff(times(second)) == pytest.approx(1 / rig.RATE_HZ)


@pytest.mark.parametrize(("from_s", "to_s"), [(-1.0, 0.3), (3.45, 9.0)])
def test_a_few_rows_may_be_missing_at_the_beginning_or_the_end(tmp_path, from_s, to_s):
    """A camera starts three rows late, or its last picture is too old for some: it is listed."""
    messages = without([*streams(4.0), *by_policy(4.0)], "/front", from_s, to_s)
    (cut,) = written(tmp_path / "rec", messages, seconds=4.0).load_whole().cut
    assert cut.from_s == 0.0 or cut.to_s == pytest.approx(4.1)
    assert 0.0 < cut.to_s - cut.from_s < 0.55 and not cut.is_gap


@pytest.mark.parametrize(("from_s", "to_s"), [(-1.0, 1.0), (2.0, 9.0)])
def test_a_missing_beginning_or_end_is_a_gap(tmp_path, from_s, to_s):
    """A camera that starts late or dies: the episode is refused, and one part is left of it."""
    messages = without([*streams(4.0), *by_policy(4.0)], "/front", from_s, to_s)
    one = written(tmp_path / "rec", messages, seconds=4.0)
    with pytest.raises(BagError, match="0.00 s to 1.00 s: front|s to 4.10 s: front"):
        one.load()
    parts = one.load_parts()
    assert len(parts.episodes) == 1 and [cut.is_gap for cut in parts.cut] == [True]
    assert parts.episodes[0].success is (None if to_s == 9.0 else True)


def test_a_gap_before_a_short_rest_is_refused(tmp_path):
    """Only one part is long enough to be kept: the episode is not whole for that."""
    messages = without([*streams(4.0), *by_policy(4.0)], "/wrist", 2.0, 3.5)
    one = written(tmp_path / "rec", messages, seconds=4.0)
    with pytest.raises(BagError, match="s to 3.50 s: wrist .*; 3.50 s to 4.10 s: 1 s without"):
        one.load()
    assert len(one.load_parts().episodes) == 1


def test_a_short_part_between_two_gaps_is_left_out_and_named(tmp_path):
    """A part of less than a second holds no whole chunk."""
    messages = without([*streams(6.0), *by_policy(6.0)], "/joint_states", 1.5, 3.0)
    messages = without(messages, "/joint_states", 3.2, 4.5)
    parts = written(tmp_path / "rec", messages, seconds=6.0).load_parts()
    assert len(parts.episodes) == 2
    assert any("without a gap are the least" in cut.why for cut in parts.cut)


def test_sources_and_interventions_are_those_of_their_rows(tmp_path):
    """A takeover between 0.5 s and 1.2 s, with a stop before it."""
    marks = [(0.0, "policy"), (0.5, "stopping"), (0.7, "human"), (1.2, "policy"), (1.8, "idle")]
    sources = [[START_NS + round(s * 1e9), name] for s, name in marks]
    taken = [[START_NS + 500 * MS, START_NS + 1200 * MS]]
    messages = [*streams(2.0), *by_policy(2.0)]
    episode = load(tmp_path / "rec", messages, sources=sources, interventions=taken)
    names = [SOURCES[index] for index in episode.source]
    expected = ["policy"] * 5 + ["stopping"] * 2 + ["human"] * 5 + ["policy"] * 6 + ["idle"] * 3
    assert names == expected
    assert np.flatnonzero(episode.intervention).tolist() == list(range(5, 12))


def test_predictions_are_those_of_the_newest_accepted_chunk(tmp_path):
    """From the time it is received; NaN before it, and after its last row."""
    robot_ = robot()
    chunks = [(0.3, True, None), (0.5, False, -1.0), (0.6, True, None)]
    messages = [*streams(2.0), *by_policy(2.0)]
    for received_s, accepted, value in chunks:
        time_ns = START_NS + round(received_s * 1e9)
        message = rig.chunk(robot_, time_ns - 100 * MS, accepted, value)
        messages.append(("/gr00t_policy/action_chunk", time_ns, message))
    episode = load(tmp_path / "rec", messages)
    values, at = episode.predicted["arm"], times(episode)
    known = (at > 0.29) & (at < 1.21)  # the last chunk is of 0.5 s and has eight steps
    assert np.isfinite(values).all(axis=1).tolist() == known.tolist()
    close(values[known], np.repeat(at[known, None], 2, axis=1))


def test_the_end_of_the_last_window_is_held_when_nothing_else_says_more(tmp_path):
    """Windows that end: levels and joints stay, velocities are zero."""
    messages = [*streams(2.0), *by_policy(1.0)]
    episode = load(tmp_path / "rec", messages)
    last = rig.commanded("pan", START_NS + 1000 * MS + 400 * MS)
    close(episode.action["arm"][-1, 0], last)
    close(episode.action["base"][-1], np.zeros(3))
    close(episode.action["height"][-1], 0.6)


def test_after_the_windows_the_controller_s_reference_says_what_is_commanded(tmp_path):
    """A person takes over the same controllers; the old window has ended."""
    messages = [*streams(3.0), *by_policy(1.0), *by_human(3.0, 0.9)]
    episode = load(tmp_path / "rec", messages, seconds=3.0)
    expected = [shifted(0.1, t + rig.LEAD_S) for t in times(episode)[16:]]
    close(episode.action["arm"][16:, 0], expected, 0.1 * rig.WINDOW_MS * 1e-3 + 1e-5)


def test_messages_whose_stamps_run_ahead_of_the_recorder_s_clock_wait_for_their_time(tmp_path):
    """The recorder's clock lagged by 80 ms for a moment: no gap, and no row ahead of its time."""
    lag = (START_NS + 1000 * MS, START_NS + 1100 * MS)
    messages = [
        (topic, lag[0] if lag[0] < time_ns < lag[1] else time_ns, message)
        for topic, time_ns, message in [*streams(2.0), *by_policy(2.0)]
    ]
    episode = load(tmp_path / "rec", messages)
    close(episode.state["arm"][:, 0], shifted(0.1, times(episode)), 0.1 * 0.04)


def test_a_plain_bag_is_one_episode_with_the_sources_of_the_status(tmp_path):
    """Without episode.json: kept, success unknown, the policy's mode says who commands."""
    messages = [*streams(2.0), *by_policy(2.0), rig.status(START_NS - 500 * MS, "holding")]
    messages += [rig.status(START_NS + 500 * MS, "replaying")]
    bag = write_bag(tmp_path / "plain", sorted(messages, key=lambda one: one[1]), mcap=True)
    (one,) = read_episodes(bag, robot())
    episode = one.load()
    assert episode.success is None and episode.instruction == "lift it"
    names = [SOURCES[index] for index in episode.source]
    assert set(names[: names.index("policy")]) == {"idle"} and names[-1] == "policy"


def test_another_instruction_in_a_plain_bag_is_refused_or_splits_it(tmp_path):
    """Each part has its own; an instruction that is given is that of all rows."""
    messages = [*streams(3.0), *by_policy(3.0), rig.status(START_NS - 500 * MS, "running", "")]
    for ms, text in ((-400, "lift it"), (500, ""), (1000, "lift it"), (1500, "drop it")):
        messages.append(rig.status(START_NS + ms * MS, "running", text))
    bag = write_bag(tmp_path / "plain", sorted(messages, key=lambda one: one[1]), mcap=True)
    (one,) = read_episodes(bag, robot())
    with pytest.raises(BagError, match="at 2.00 s, no row: .* changes from 'lift it' to 'drop it'"):
        one.load()  # the bag begins 0.5 s before the start
    first, second = one.load_parts().episodes
    assert (first.instruction, second.instruction) == ("lift it", "drop it")
    assert second.stamps_ns[0] - first.stamps_ns[-1] == PERIOD_NS
    assert second.stamps_ns[0] == pytest.approx(START_NS + 1500 * MS, abs=PERIOD_NS)
    (given,) = read_episodes(bag, robot(), instruction="move")
    assert given.load().instruction == "move"


def test_discarded_and_unfinished_episodes_are_named_and_not_read(tmp_path):
    """Only the kept one is in the list."""
    folder = tmp_path / "rec"
    messages = [*streams(1.0), *by_policy(1.0)]
    for index, outcome in enumerate(("kept", "discarded", "kept")):
        write_episode(folder, index, messages, seconds=1.0, outcome=outcome)
    (folder / "episode_000002" / "episode.json").unlink()
    assert [one.name for one in read_episodes(folder, robot())] == ["episode_000000"]
    found = recorded([folder], robot())
    assert [one.name for one in found.discarded] == ["episode_000001"]
    assert [one.name for one in found.unfinished] == ["episode_000002"]
    assert read_episodes(folder / "episode_000002", robot()) == []


def test_a_bag_without_a_needed_topic_is_refused_with_those_that_it_has(tmp_path):
    """The message names the stream and its topic."""
    messages = [one for one in [*streams(1.0), *by_policy(1.0)] if one[0] != "/wrist"]
    one = written(tmp_path / "rec", messages, seconds=1.0)
    with pytest.raises(BagError, match="/wrist of wrist is missing; the bag has .*/front"):
        one.load()


def test_a_missing_path_is_an_error_in_one_line(tmp_path):
    """Nothing else is read."""
    with pytest.raises(BagError, match="no such recording or bag"):
        read_episodes(tmp_path / "nowhere", robot())


def test_broken_facts_are_refused(tmp_path):
    """A source that is none of the four."""
    folder = write_episode(tmp_path / "rec", 0, [*streams(1.0)], seconds=1.0)
    content = json.loads((folder / "episode.json").read_text())
    content["sources"] = [[START_NS, "robot"]]
    (folder / "episode.json").write_text(json.dumps(content))
    with pytest.raises(BagError, match="robot"):
        read_episodes(tmp_path / "rec", robot())


@pytest.mark.parametrize("gaps", ["refuse", "split"])
@pytest.mark.parametrize(
    ("start_s", "stop_s"),
    [(0, 1_795_000_002), (-4000, 2), (-4500, -3000), (9000, 10_000)],
    ids=["stop far behind the bag", "start far before it", "both before it", "both behind it"],
)
def test_an_episode_far_outside_its_bag_is_refused_with_its_times(tmp_path, gaps, start_s, stop_s):
    """As facts of a clock that was set; memory and time do not depend on how far."""
    start_ns = START_NS + start_s * 10**9
    messages = [*streams(2.0), *by_policy(2.0)]
    times = {"start_ns": start_ns, "stop_ns": START_NS + stop_s * 10**9, "sources": []}
    episode = written(tmp_path / "rec", messages, **times)
    with pytest.raises(BagError, match="got no message from 1970-.* to .* UTC") as caught:
        episode.load() if gaps == "refuse" else episode.load_parts()
    assert "the clock was set during the episode" in str(caught.value)


def test_a_clock_that_was_set_forward_inside_the_bag_is_refused_with_its_times(tmp_path):
    """A robot without a battery clock: 1970 at its start, then the network tells the time."""
    jump_ns = 1_795_000_000 * 10**9
    later = START_NS + 10**9
    messages = [
        (topic, time_ns + (jump_ns if time_ns > later else 0), message)
        for topic, time_ns, message in [*streams(2.0), *by_policy(2.0)]
    ]
    episode = written(tmp_path / "rec", messages, stop_ns=START_NS + 2 * 10**9 + jump_ns)
    with pytest.raises(BagError, match="from 1970-.* to 2026-.* UTC .* the clock was set"):
        episode.load_parts()


TOPICS = [
    *("/gr00t_policy/status", "/gr00t_policy/action_chunk", "/gr00t_policy/windows/base"),
    *("/arm/c", "/arm/s", "/cmd_vel", "/tool_goal", "/joint_states", "/tool_pose", "/front"),
]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_message_that_is_none_refuses_its_episode_or_is_left_out(tmp_path, topic):
    """Half of it is missing, as of a damaged bag: its topic and time are named, or it is a gap."""
    made = [*streams(2.0), *by_human(2.0), *by_policy(2.0)]
    for ms in range(0, 2000, 100):
        time_ns = START_NS + ms * MS
        made.append(rig.status(time_ns, "replaying"))
        made.append(("/gr00t_policy/action_chunk", time_ns, rig.chunk(robot(), time_ns)))
    broken_ns = START_NS + 1300 * MS
    bag, channels, broken = EpisodeBag(tmp_path / "bag"), {}, 0
    for name, time_ns, message in sorted(made, key=lambda one: one[1]):
        if name not in channels:
            channels[name] = channel_of(name, type_name(type(message)), QoSProfile(depth=1))
        data = serialize_message(message)
        if name == topic and abs(time_ns - broken_ns) <= 100 * MS:
            data, broken = data[: len(data) // 2], broken + 1
        bag.write(channels[name], time_ns, data)
    bag.close()
    assert broken
    (episode,) = recorded([tmp_path / "bag"], robot(), instruction="lift it").kept
    try:
        parts = episode.load_parts()
    except BagError as error:
        assert f"{topic}: the message at " in str(error) and "is no " in str(error)
        assert str(error).startswith(str(tmp_path / "bag"))
    else:
        assert parts.episodes


def test_recordings_are_read_without_what_only_python_3_11_has(tmp_path, monkeypatch):
    """Python 3.10, that of Humble, has neither datetime.UTC nor hashlib.file_digest."""
    episode = written(tmp_path, [*streams(1.0), *by_policy(1.0)])
    content = next(one for one in episode.path.iterdir() if one.suffix == ".mcap").read_bytes()
    monkeypatch.delattr(hashlib, "file_digest", raising=False)
    assert episode.bag["sha256"] == sha256(sha256(content).digest()).hexdigest()
    later = "import datetime; vars(datetime).pop('UTC', None); import gr00t_ros.convert.episodes"
    subprocess.run([sys.executable, "-c", later], check=True)
