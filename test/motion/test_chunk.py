"""A reply becomes a chunk with exactly the mapped values, or it is refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import ChunkError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.robot.embodiment import parse

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
VALID = yaml.safe_load(FILE.read_text())
ROBOT = parse(VALID, FILE.name)


def reply(**changes):
    """A reply of 40 rows with some keys replaced; None removes one."""
    rng = np.random.default_rng(7)
    action = {
        "eef_9d": rng.normal(size=(40, 9)).astype(np.float32),
        "gripper_position": np.linspace(0, 1, 40, dtype=np.float32)[:, None],
        "joint_position": rng.normal(size=(40, 7)).astype(np.float32),
    }
    action.update(changes)
    return {key: values for key, values in action.items() if values is not None}


def chunk_of(action, robot=ROBOT):
    """The chunk of a reply."""
    return from_reply(robot, action, sequence=3, episode=2, stamp_ns=1_000)


def refusal(action):
    """Kind and text with which a reply is refused."""
    with pytest.raises(ChunkError) as caught:
        chunk_of(action)
    return caught.value.kind, str(caught.value)


def test_rows_are_absolute_targets_in_plan_joint_order_on_the_observation_s_time():
    """Arm columns as sent, gripper thresholded at 0.5 and scaled to radians, one stamp."""
    action = reply()
    chunk = chunk_of(action)
    assert chunk.joints.shape == (40, 8)
    assert chunk.joints.dtype == np.float64
    np.testing.assert_array_equal(chunk.joints[:, :7], action["joint_position"])
    np.testing.assert_array_equal(chunk.joints[:20, 7], 0.0)
    np.testing.assert_array_equal(chunk.joints[20:, 7], 0.8)
    assert (chunk.sequence, chunk.episode, chunk.stamp_ns) == (3, 2, 1_000)
    assert chunk.step_ns == ROBOT.step_ns
    assert chunk.end_ns == 1_000 + 39 * ROBOT.step_ns


def test_a_value_on_the_threshold_is_open():
    """DROID closes above 0.5, not at it."""
    values = np.full((40, 1), 0.5, dtype=np.float32)
    assert (chunk_of(reply(gripper_position=values)).joints[:, 7] == 0.0).all()
    values = np.nextafter(values, np.float32(1.0))
    assert (chunk_of(reply(gripper_position=values)).joints[:, 7] == 0.8).all()


@settings(max_examples=examples(50), deadline=None)
@given(st.permutations(["eef_9d", "gripper_position", "joint_position"]), st.booleans())
def test_neither_the_reply_s_order_nor_the_file_s_changes_a_joint_s_column(order, swap):
    """Columns are found by joint name, in the outputs' order."""
    action = reply()
    mapping = dict(VALID, action={key: VALID["action"][key] for key in order})
    if swap:
        mapping["outputs"] = dict(reversed(VALID["outputs"].items()))
    robot = parse(mapping, "robot.yaml")
    chunk = chunk_of({key: action[key] for key in reversed(order)}, robot)
    columns = {name: chunk.joints[:, i] for i, name in enumerate(robot.joint_names)}
    for i in range(7):
        np.testing.assert_array_equal(columns[f"fr3_joint{i + 1}"], action["joint_position"][:, i])
    assert set(columns["robotiq_85_left_knuckle_joint"]) == {0.0, 0.8}


def test_a_scale_without_threshold_keeps_what_lies_between():
    """A scale alone gives lo + v (hi - lo), for a gripper that can stand half open."""
    gripper = {"output": "gripper", "scale": [0.2, 0.8]}
    robot = parse(dict(VALID, action=dict(VALID["action"], gripper_position=gripper)), "r.yaml")
    joints = chunk_of(reply(), robot).joints
    np.testing.assert_allclose(joints[:, 7], np.linspace(0.2, 0.8, 40), atol=1e-7)


def test_a_range_that_runs_downwards_is_led_back_to_the_joint():
    """0.085 m open .. 0 closed to radians; a threshold gives its larger or smaller end."""
    gripper = {"output": "gripper", "scale": [0.0, 0.8], "range": [0.085, 0.0], "unit": "m"}
    open_m = np.linspace(0.085, 0.0, 40, dtype=np.float32)[:, None]
    robot = parse(dict(VALID, action=dict(VALID["action"], gripper_position=gripper)), "r.yaml")
    joints = chunk_of(reply(gripper_position=open_m), robot).joints
    np.testing.assert_allclose(joints[:, 7], np.linspace(0.0, 0.8, 40), atol=1e-6)
    gripper["threshold"] = 0.04
    robot = parse(dict(VALID, action=dict(VALID["action"], gripper_position=gripper)), "r.yaml")
    joints = chunk_of(reply(gripper_position=open_m), robot).joints
    np.testing.assert_array_equal(joints[:, 7], np.where(open_m[:, 0] > 0.04, 0.0, 0.8))


def test_the_server_s_values_are_kept_apart_from_the_buffers_they_came_in():
    """A reply decoded as a view may be overwritten by the next one; the chunk may not."""
    action = reply()
    sent = {key: values.copy() for key, values in action.items()}
    chunk = chunk_of(action)
    for values in action.values():
        values[:] = 99.0
    for key, values in sent.items():
        np.testing.assert_array_equal(chunk.raw[key], values)
        assert not chunk.raw[key].flags.writeable
    assert chunk.joints.max() < 99.0
    assert not chunk.joints.flags.writeable


def test_an_unknown_key_is_refused_with_both_lists():
    """A key that nobody mapped or ignored may be a base command: nothing of the reply is played."""
    kind, text = refusal(reply(base_motion=np.zeros((40, 3), np.float32)))
    assert kind == "keys"
    assert "base_motion" in text
    assert "franka_droid.yaml expects eef_9d, gripper_position, joint_position" in text


@pytest.mark.parametrize("key", ["eef_9d", "gripper_position", "joint_position"])
def test_a_missing_key_is_refused_even_if_it_is_ignored(key):
    """A server that left out what it announced is another server."""
    assert refusal(reply(**{key: None}))[0] == "keys"


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8, object])
def test_another_dtype_is_refused_by_name(dtype):
    """The contract says float32; a cast could hide a broken server."""
    kind, text = refusal(reply(joint_position=np.zeros((40, 7), dtype)))
    assert kind == "dtype"
    assert "action joint_position" in text
    assert "expected float32" in text


@pytest.mark.parametrize("shape", [(39, 7), (41, 7), (40, 8), (40, 6), (40,), (1, 40, 7), (0, 7)])
def test_another_shape_is_refused_with_both_shapes(shape):
    """Horizon and width are exact: a shorter chunk is not a chunk of this checkpoint."""
    kind, text = refusal(reply(joint_position=np.zeros(shape, np.float32)))
    assert kind == "shape"
    assert f"got shape {shape}, expected (horizon, width) (40, 7)" in text


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("key", "name"), [("joint_position", "fr3_joint3"), ("eef_9d", "z")])
def test_a_value_that_is_not_finite_is_named_by_key_row_and_column(key, name, bad):
    """One NaN anywhere, ignored keys included, refuses the whole reply."""
    action = reply()
    action[key][17, 2] = bad
    kind, text = refusal(action)
    assert kind == "finite"
    assert f"action {key}: {np.float32(bad)} in row 17, column 2 ({name})" in text
