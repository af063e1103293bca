"""Every embodiment file closes the loop with a server of its tag, and each mismatch is named.

The tags' shapes are those of tag_shapes.py, not of the files. No ROS: topics' content in, windows
out; test/node/test_embodiments.py does the same over real topics.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from robot_of_file import commanded, observation_of, plain, start_of
from tag_policy import TagPolicy
from tag_shapes import shapes_of

from gr00t_ros.errors import ChunkError, ObservationError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.observe.modality import compare
from gr00t_ros.robot.embodiment import parse

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
FILES = sorted(FOLDER.glob("*.yaml"))
TICK_NS = 20_000_000
SETTLED = 2e-3

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def load(path: Path) -> Any:
    """The embodiment of a file and the shapes of its tag."""
    robot = parse(yaml.safe_load(path.read_text()), path.name)
    return robot, shapes_of(robot.robot, robot.tag)


def answer(robot: Any, shapes: Any) -> Any:
    """The reply to an observation of the robot at its start, as the client hands it on."""
    action, _ = TagPolicy(shapes)(observation_of(robot), None)
    return {key: rows[0] for key, rows in action.items()}


@every_file
def test_a_server_of_the_files_tag_differs_in_nothing_but_in_what_it_does_not_say(path):
    """Keys, their order, history, horizon and representation are the tag's."""
    robot, shapes = load(path)
    found = compare(robot, shapes.modality())
    silent = [one for one in found if one.kind == "representation" and not one.expected]
    assert [str(one) for one in found if one not in silent] == []
    assert not [one for one in silent if one.fatal]


@every_file
def test_what_the_policy_answers_is_where_each_named_joint_comes_to_rest(path):
    """Through chunk, guard, reference, shaper and plan, in the file's order and units; commands
    beside joints as the chunk has them.
    """
    robot, shapes = load(path)
    reply = answer(robot, shapes)
    replay = Replay(robot.limits, ReplaySettings(), None, robot.command_limits)
    replay.start(0, start_of(robot))
    chunk = from_reply(robot, reply, 0, 0, 0)
    verdict = replay.accept(chunk, TICK_NS)
    assert verdict.accepted, verdict.reason
    expected = commanded(plain(path), reply)
    windows = {}
    for now_ns in range(TICK_NS, 12 * 10**9, TICK_NS):
        window = replay.tick(now_ns)
        if window is not None:
            windows = dict(zip(robot.joint_names, window.positions[-1], strict=True))
    assert replay.at_rest(12 * 10**9)
    joints = {name: expected.pop(name) for name in robot.joint_names}
    commands = dict(zip(robot.command_limits.names, chunk.commands[-1], strict=True))
    assert commands == pytest.approx(expected, abs=1e-6)
    assert windows == pytest.approx(joints, abs=SETTLED)


@every_file
@pytest.mark.parametrize("modality", ["video", "state", "action", "language"])
def test_a_key_of_another_name_is_named_and_fatal(path, modality):
    """Whichever of the file's keys it is that the server calls otherwise."""
    robot, shapes = load(path)
    theirs = shapes.modality()
    for index, key in enumerate(theirs[modality].keys):
        keys = list(theirs[modality].keys)
        keys[index] = f"{key}_other"
        changed = dict(theirs, **{modality: replace(theirs[modality], keys=tuple(keys))})
        fatal = [one for one in compare(robot, changed) if one.fatal]
        assert f"{key}_other" in [one.key for one in fatal]
        assert any(key in str(one) and path.name in str(one) for one in fatal)


@every_file
@pytest.mark.parametrize("modality", ["video", "state", "action"])
def test_keys_in_another_order_are_named_with_both_orders(path, modality):
    """Before activation; a strict node refuses it."""
    robot, shapes = load(path)
    theirs = shapes.modality()
    keys = theirs[modality].keys
    if len(keys) < 2:
        return
    configs = theirs[modality].action_configs
    turned = replace(theirs[modality], keys=keys[::-1], action_configs=configs and configs[::-1])
    (found,) = [o for o in compare(robot, dict(theirs, **{modality: turned})) if o.kind == "order"]
    assert found.modality == modality
    assert ", ".join(keys) in str(found) and ", ".join(keys[::-1]) in str(found)


@every_file
def test_another_history_or_horizon_is_named_and_fatal(path):
    """One step more than the file has, of pictures, state and actions."""
    robot, shapes = load(path)
    theirs = shapes.modality()
    for modality, steps, kind in (
        ("video", (-7, 0), "history"),
        ("state", (-7, 0), "history"),
        ("action", tuple(range(shapes.horizon + 1)), "horizon"),
    ):
        changed = dict(theirs, **{modality: replace(theirs[modality], delta_indices=steps)})
        fatal = [one for one in compare(robot, changed) if one.fatal]
        assert {(one.modality, one.kind) for one in fatal} == {(modality, kind)}


@every_file
def test_a_state_key_of_another_width_is_named_by_the_strict_server(path):
    """At the check of the server, which sends it a zero observation."""
    robot, shapes = load(path)
    for key, width in shapes.state.items():
        wider = replace(shapes, state={**shapes.state, key: width + 1})
        with pytest.raises(ObservationError, match=f"'{key}' must have width {width + 1}. Got"):
            TagPolicy(wider)(observation_of(robot), None)


@every_file
def test_an_action_key_of_another_width_is_named_with_both(path):
    """At the check of the server, by the answer to its zero observation."""
    robot, shapes = load(path)
    reply = answer(robot, shapes)
    for key, (width, _) in shapes.action.items():
        rows = np.zeros((shapes.horizon, width + 1), np.float32)
        with pytest.raises(ChunkError, match=f"action {key}: got shape .*{width + 1}.*{width}"):
            from_reply(robot, {**reply, key: rows}, 0, 0, 0)
