"""Embodiment parsing: what a file says is what the robot gets, and every mistake has its name."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from pose_robot import with_pose

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import Embodiment, parse
from gr00t_ros.robot.framing import Crop, Framing

VALID = with_pose()
ARM = [f"fr3_joint{i}" for i in range(1, 8)]
WRIST = "video.wrist_image_left"
CROP = {"unit": "fraction", "top": 0.0, "left": 0.25, "height": 0.5, "width": 0.5}
TWO_TOPICS = {"from": "joints", "topics": ["/left", "/right"], "names": ["l", "r"]}
TF = {"from": "tf", "frame": "fr3_link0", "link": "tool", "encode": "xyz_axis_angle"}
IMU = {"from": "imu", "topic": "/imu", "encode": "projected_gravity"}
KNUCKLE = "robotiq_85_left_knuckle_joint"


def changed(path, value):
    """A copy of the valid mapping with one value replaced or added."""
    mapping = copy.deepcopy(VALID)
    *parents, last = path.split(".")
    at = mapping
    for key in parents:
        at = at[key]
    at[last] = value
    return mapping


def without(path):
    """A copy of the valid mapping with one key removed."""
    mapping = changed(path, None)
    *parents, last = path.split(".")
    at = mapping
    for key in parents:
        at = at[key]
    del at[last]
    return mapping


def refusal(mapping):
    """The message with which parse refuses a mapping."""
    with pytest.raises(EmbodimentError) as caught:
        parse(mapping, "robot.yaml")
    return str(caught.value)


def test_the_valid_file_keeps_its_own_order():
    """The file's order of streams, keys and joints is the embodiment's."""
    robot = parse(VALID, "robot.yaml")
    assert [s.key for s in robot.state] == ["eef_9d", "gripper_position", "joint_position"]
    assert [v.key for v in robot.video] == ["exterior_image_1_left", "wrist_image_left"]
    assert robot.joint_names == (*ARM, KNUCKLE)
    swapped = dict(VALID, outputs=dict(reversed(VALID["outputs"].items())))
    assert parse(swapped, "robot.yaml").joint_names == (KNUCKLE, *ARM)


def test_limits_follow_the_plan_joint_order_whatever_their_order_in_the_file():
    """Limits are found by joint name, so shuffling them in the file changes nothing."""
    shuffled = dict(VALID, limits=dict(reversed(VALID["limits"].items())))
    ours, theirs = parse(VALID, "a").limits, parse(shuffled, "b").limits
    assert ours.names == theirs.names == (*ARM, KNUCKLE)
    for name in ("lower", "upper", "velocity", "acceleration", "jerk", "margin", "jump", "held"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.lower[3] == -3.0421
    assert ours.upper[3] == -0.1518
    assert ours.jump[7] == math.inf
    np.testing.assert_array_equal(ours.envelope[3], [0.30, 8.00, -0.1458, -3.0481])
    assert np.isnan(ours.envelope[7]).all()


def test_limits_cannot_be_changed_after_parsing():
    """Nobody loosens a limit by writing into a shared array."""
    limits = parse(VALID, "robot.yaml").limits
    for name in ("lower", "upper", "velocity", "acceleration", "jerk", "jump", "envelope"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(limits, name)[0] = 99.0


def test_streams_default_to_one_sample_at_the_rate_of_the_action_steps():
    """Without delta_indices and rate_hz a state stream is sent once and expected at rate_hz."""
    robot = parse(without("state.joint_position.rate_hz"), "robot.yaml")
    assert robot.state[2].delta_indices == (0,)
    assert robot.state[2].period_ns == robot.step_ns == 66_666_667
    assert [s.width for s in robot.state] == [9, 1, 7]


def test_a_camera_s_framing_is_read_from_the_file():
    """Crop, rotation and flips; none of them where the file has none, or says the usual."""
    mapping = changed(f"{WRIST}.crop", CROP)
    mapping["video"]["wrist_image_left"] |= {"rotate": 90, "flip_vertical": True}
    mapping["video"]["exterior_image_1_left"] |= {"rotate": 0, "flip_vertical": False}
    plain, framed = parse(mapping, "robot.yaml").video
    assert plain.framing is None
    crop = Crop("fraction", 0.0, 0.25, 0.5, 0.5)
    assert framed.framing == Framing(crop, rotate_deg=90, flip_vertical=True)


def test_views_of_several_sizes_are_for_servers_that_take_them():
    """The file says so at its top."""
    mapping = dict(changed(f"{WRIST}.size", [200, 200]), view_sizes="any")
    assert [v.height_px for v in parse(mapping, "robot.yaml").video] == [180, 200]


def test_every_state_source_is_read_from_the_file():
    """Topics, widths, columns, scales and values are what the file says."""
    mapping = changed("state.both", TWO_TOPICS)
    pose = {"from": "pose", "topic": "/ee_pose", "encode": "xyz_axis_angle", "columns": [3]}
    units = {"scale": [[0, 2], [1, -1]], "range": [-100, 100]}
    mapping["state"] |= {"tool": TF, "down": IMU, "roll": pose}
    mapping["state"] |= {"pad": {"from": "constant", "values": [0, 1.5]}}
    mapping["state"]["motors"] = {**TWO_TOPICS, **units}
    robot = parse(mapping, "robot.yaml")
    both, tool, down, roll, pad, motors = robot.state[3:]
    assert both.topics == ("/left", "/right")
    assert [s.width for s in (both, tool, down, roll, pad)] == [2, 6, 3, 1, 2]
    assert (tool.topics, tool.frame, tool.link) == (("/tf fr3_link0 -> tool",), "fr3_link0", "tool")
    assert (pad.topics, pad.values) == ((), (0.0, 1.5))
    assert motors.scale.joint == ((0.0, 2.0), (1.0, -1.0))
    assert motors.scale.policy == ((-100.0, 100.0),) * 2
    assert pad not in robot.streams and down in robot.streams


def test_an_action_key_may_command_some_joints_of_an_output():
    """Two keys share an output when together they command each of its joints once."""
    mapping = changed("action.wrist", {"output": "arm", "names": ARM[4:]})
    mapping["action"]["joint_position"] = {"output": "arm", "names": ARM[:4]}
    robot = parse(mapping, "robot.yaml")
    assert {a.key: a.width for a in robot.action} == {
        "eef_9d": 9,
        "gripper_position": 1,
        "joint_position": 4,
        "wrist": 3,
    }


def test_an_unknown_key_is_named_with_its_place_the_allowed_ones_and_the_nearest():
    """A misspelt key is refused, never skipped."""
    message = refusal(changed("video.wrist_image_left.delta_indexes", [0]))
    assert message.startswith("robot.yaml: video.wrist_image_left: unknown key 'delta_indexes'")
    assert "did you mean 'delta_indices'?" in message
    assert "allowed: topic, size, fit, delta_indices, transport, rate_hz, crop" in message


@pytest.mark.parametrize(
    ("path", "value", "place", "expected"),
    [
        ("rate_hz", 0, "rate_hz", "finite number from 0.1"),
        ("rate_hz", math.nan, "rate_hz", "finite number"),
        ("rate_hz", True, "rate_hz", "got True"),
        ("rate_hz", "15", "rate_hz", "got '15'"),
        ("action_horizon", 0, "action_horizon", "whole number from 1"),
        ("action_horizon", 40.0, "action_horizon", "whole number"),
        ("robot", "", "robot", "a text that is not empty"),
        ("embodiment_tag", 5, "embodiment_tag", "a text"),
        ("video", {}, "video", "a map that is not empty"),
        ("state", [], "state", "a map that is not empty"),
        ("video.wrist_image_left.size", [180], "video.wrist_image_left.size", "[height, width]"),
        ("video.wrist_image_left.size", [0, 320], "size[0]", "whole number from 1"),
        ("video.wrist_image_left.size", [200, 320], "wrist_image_left", "[180, 320], expected one"),
        ("view_sizes", "mixed", "view_sizes", "one of same, any"),
        (f"{WRIST}.rotate", 45, "rotate", "0, 90, 180 or 270 degrees"),
        (f"{WRIST}.rotate", 180.0, "rotate", "whole number"),
        (f"{WRIST}.flip_horizontal", 1, "flip_horizontal", "true or false"),
        (f"{WRIST}.crop", [0, 0, 1, 1], "crop", "a map"),
        (f"{WRIST}.crop", {**CROP, "unit": "mm"}, "crop.unit", "one of pixels, fraction"),
        (f"{WRIST}.crop", {**CROP, "unit": "pixels"}, "crop.top", "whole number from 0"),
        (f"{WRIST}.crop", {**CROP, "top": 0.6}, "crop", "top + height and left + width of 1 at"),
        (f"{WRIST}.crop", {**CROP, "width": 0.0}, "crop.width", "finite number from 0.01"),
        (f"{WRIST}.crop", {"unit": "fraction"}, "crop", "missing top, left, height, width"),
        ("video.wrist_image_left.fit", "crop", "fit", "one of pad, stretch"),
        ("video.wrist_image_left.transport", "h264", "transport", "one of raw, compressed"),
        ("video.wrist_image_left.topic", "/camera//raw", "topic", "a ROS topic name"),
        ("video.wrist_image_left.topic", "/wrist image", "topic", "a ROS topic name"),
        ("video.wrist_image_left.delta_indices", [0, -15], "delta_indices", "increase"),
        ("video.wrist_image_left.delta_indices", [0, 0], "delta_indices", "increase"),
        ("video.wrist_image_left.delta_indices", [-1, 1], "delta_indices[1]", "to 0"),
        ("video.wrist_image_left.delta_indices", [], "delta_indices", "a list that is not empty"),
        ("state.eef_9d.encode", "quaternion", "encode", "one of xyz_axis_angle, xyz_quat"),
        ("state.eef_9d.rotate", [[1, 0, 0], [0, 1, 0]], "rotate", "3x3 rotation matrix"),
        ("state.eef_9d.rotate", [[2, 0, 0], [0, 1, 0], [0, 0, 1]], "rotate[0][0]", "from -1 to 1"),
        ("state.eef_9d.rotate", [[-1, 0, 0], [0, 1, 0], [0, 0, 1]], "rotate", "determinant 1"),
        ("state.eef_9d.names", ["a"], "state.eef_9d", "unknown key 'names'"),
        ("state.joint_position.from", "euler", "from", "one of joints, pose, tf, imu, constant"),
        ("state.joint_position.names", [*ARM, ARM[0]], "names", "fr3_joint1 named twice"),
        ("state.joint_position.names", "fr3_joint1", "names", "a list"),
        ("state.gripper_position.scale", [0.8, 0.8], "scale", "[first, last]"),
        ("state.gripper_position.scale", [0.0], "scale", "two different numbers"),
        ("state.gripper_position.scale", [[0, 1], [0, 1]], "scale", "2 pairs, expected one pair"),
        ("state.gripper_position.scale", [[0, math.nan]], "scale[0][1]", "finite"),
        ("state.joint_position.range", [-100, 100], "range", "a range without a scale"),
        ("action.joint_position.range", [-100, 100], "range", "a range without a scale"),
        ("action.gripper_position.scale", [0.8, 0.8], "scale", "two different numbers"),
        (
            "state.joint_position.topics",
            ["/a", "/b"],
            "state.joint_position",
            "got topic and topics, expected one of them",
        ),
        ("state.x", {**TWO_TOPICS, "topics": ["/a", "/a"]}, "state.x.topics", "each topic once"),
        ("state.x", {**TWO_TOPICS, "topics": []}, "state.x.topics", "a list that is not empty"),
        ("state.eef_9d.near", [3, 0, 0], "near", "one value for each orientation"),
        ("state.x", {**TF, "near": [3, 0, 0, 0]}, "state.x.near", "3 numbers of an orientation"),
        ("state.x", {**TF, "near": [0, 0, 0]}, "state.x.near", "not all 0"),
        ("state.eef_9d.columns", [9], "columns[0]", "whole number from 0 to 8"),
        ("state.eef_9d.columns", [1, 1], "columns", "each column once"),
        ("state.x", {**TF, "link": "fr3_link0"}, "state.x.link", "another frame than 'fr3_link0'"),
        ("state.x", {**TF, "topic": "/tf"}, "state.x", "unknown key 'topic'"),
        ("state.x", {"from": "tf", "encode": "xyz_quaternion"}, "state.x", "missing frame, link"),
        ("state.x", {**IMU, "encode": "xyz_quaternion"}, "state.x.encode", "projected_gravity"),
        ("state.x", {**IMU, "names": ["a"]}, "state.x", "unknown key 'names'"),
        ("state.x", {"from": "constant", "values": []}, "state.x.values", "not empty"),
        ("state.x", {"from": "constant", "values": [math.inf]}, "values[0]", "finite"),
        ("state.x", {"from": "constant", "values": [0], "topic": "/a"}, "state.x", "unknown key"),
        (
            "state",
            {"x": {"from": "constant", "values": [0]}},
            "state.x",
            "no state key has a topic",
        ),
        ("action.joint_position.output", "leg", "output", "one of the outputs: arm, gripper"),
        ("action.joint_position.names", [KNUCKLE], "names", f"{KNUCKLE} not in output 'arm'"),
        (
            "action.joint_position.representation",
            "delta",
            "action.joint_position.representation",
            "deltas cannot go to joint_trajectory output 'arm'",
        ),
        ("action.again", {"output": "arm"}, "action.again", "commanded by 'joint_position' too"),
        ("action.eef_9d", "ignored", "action.eef_9d", "a map"),
        ("action.eef_9d.ignored", False, "ignored", "expected true"),
        (
            "outputs.arm.type",
            "twists",
            "type",
            "one of joint_trajectory, forward_command, unitree_low_cmd",
        ),
        ("outputs.gripper.names", [ARM[0]], "names", "fr3_joint1 belongs to output 'arm' too"),
        (
            "outputs.gripper.topic",
            VALID["outputs"]["arm"]["topic"],
            "outputs.gripper.topic",
            "belongs to output 'arm' too, expected one output a topic",
        ),
        ("limits.fr3_joint4.position", [-0.1, -3.0], "limits.fr3_joint4.position", "lower < upper"),
        ("limits.fr3_joint4.position", [math.nan, 1], "position[0]", "finite"),
        ("limits.fr3_joint4.velocity", 0, "velocity", "above 0"),
        ("limits.fr3_joint4.jerk", math.inf, "jerk", "finite"),
        ("limits.fr3_joint4.jerk", 0.1, "jerk", "expected at most 2 s"),
        ("limits.fr3_joint4.acceleration", 1.0, "jerk", "takes 2.62 s"),
        ("limits.fr3_joint4.acceleration", -6, "acceleration", "above 0"),
        ("limits.fr3_joint4.margin", -0.05, "margin", "from 0"),
        (
            "limits.fr3_joint4.margin",
            2.0,
            "margin",
            "got 2.0, expected less than half of position [-3.0421, -0.1518], 1.44515: nothing",
        ),
        ("limits.fr3_joint4.jump", "none", "jump", "a number above 0, or unchecked"),
        ("limits.fr3_joint4.held", 0.0, "held", "above 0"),
        ("limits.fr3_joint4.velocity_envelope.slope", 0, "slope", "above 0"),
        ("limits.fr3_joint4.velocity_envelope.upper", -9.0, "velocity_envelope", "lower < upper"),
        ("limits.fr3_joint8", {}, "limits", "unknown key 'fr3_joint8'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_path_and_what_was_expected(
    path, value, place, expected
):
    """Each mistake is named by the file, the key's path and the rule that it breaks."""
    message = refusal(changed(path, value))
    assert message.startswith("robot.yaml: ")
    assert f"{place}: " in message
    assert expected in message


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("embodiment_tag", "missing embodiment_tag"),
        ("limits.fr3_joint4", "limits: missing fr3_joint4"),
        ("limits.fr3_joint4.jerk", "limits.fr3_joint4: missing jerk"),
        ("state.eef_9d.from", "state.eef_9d: missing from"),
        ("state.eef_9d.encode", "state.eef_9d: missing encode"),
        ("video.wrist_image_left.fit", "video.wrist_image_left: missing fit"),
        ("outputs.gripper.state_topic", "outputs.gripper: missing state_topic"),
        ("action.gripper_position", f"no action key commands {KNUCKLE} of output 'gripper'"),
    ],
)
def test_a_missing_key_is_named(path, named):
    """Nothing that moves a robot has a silent default."""
    assert named in refusal(without(path))


def test_an_end_that_a_threshold_asks_for_lies_inside_the_joints_limits():
    """Else every chunk is clamped or refused; a margin counts, and is named."""
    said = refusal(changed(f"limits.{KNUCKLE}.margin", 0.05))
    assert "action.gripper_position: its threshold makes 0 or 0.8 of every value" in said
    assert "limits 0.0500 to 0.7500 (margin 0.05 of 0 to 0.8)" in said
    assert "got 0.8200" in refusal(changed("action.gripper_position.scale", [0.0, 0.82]))


def test_positions_outside_the_limits_are_named_with_the_margin():
    """What nobody tells of is passed over; NaN is nowhere."""
    limits = parse(VALID, "robot.yaml").limits
    assert list(limits.outside({"fr3_joint1": 0.0, KNUCKLE: 0.0, "other": 9.0})) == []
    (line,) = limits.outside({"fr3_joint1": 2.7})
    assert line.startswith("limits.fr3_joint1: it is at 2.7000, limits -2.6937 to 2.6937 (margin")
    assert len(list(limits.outside({KNUCKLE: float("nan")}))) == 1


def test_a_file_that_is_no_map_is_refused():
    """An empty file, a list and a map with keys that are no text are our error, not a crash."""
    for content in (None, [], "text", {}, {1: 2}, dict(VALID, **{" ": 1})):
        assert refusal(content).startswith("robot.yaml: ")


def test_a_number_of_more_digits_than_python_prints_is_refused_too():
    """The message does without the digits."""
    message = refusal(changed("limits.fr3_joint4.velocity", -(10**5000)))
    assert "limits.fr3_joint4.velocity: got " in message
    assert "expected a finite number" in message


def places(value, path=()):
    """The paths of all values in a nested mapping."""
    yield path
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    for key, child in children:
        yield from places(child, (*path, key))


PATHS = list(places(VALID))[1:]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, 0, 1, -1])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["pad", "arm", "unchecked", "joints", "pose", "fr3_joint1", "/joint_states"])
)
YAML = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), YAML, st.booleans()), min_size=1, max_size=3))
def test_parse_raises_nothing_but_its_own_error(mutations):
    """Any value anywhere in a valid file gives an embodiment that holds, or EmbodimentError."""
    mapping = copy.deepcopy(VALID)
    for path, value, remove in mutations:
        at = mapping
        try:
            for key in path[:-1]:
                at = at[key]
            if remove:
                del at[path[-1]]
            else:
                at[path[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier mutation took the place away
    try:
        robot = parse(mapping, "robot.yaml")
    except EmbodimentError as error:
        assert str(error).startswith("robot.yaml: ")
        return
    assert isinstance(robot, Embodiment)
    assert len(set(robot.joint_names)) == len(robot.joint_names) == len(robot.limits)
    assert (robot.limits.lower < robot.limits.upper).all()
    assert (robot.limits.velocity > 0).all()


@settings(max_examples=examples(100), deadline=None)
@given(YAML)
def test_parse_of_anything_raises_nothing_but_its_own_error(content):
    """Whatever YAML can hold that is no embodiment is refused as such."""
    with pytest.raises(EmbodimentError):
        parse(content, "robot.yaml")


def test_a_forward_command_output_needs_a_name_that_can_be_part_of_a_topic():
    """Its windows go to the streamer on a topic of that name."""
    assert parse(changed("outputs.arm.type", "forward_command"), "a").outputs[0].type == (
        "forward_command"
    )
    mapping = changed("outputs.left-arm", dict(VALID["outputs"]["gripper"]))
    mapping["outputs"]["left-arm"] |= {"names": ["c"], "type": "forward_command"}
    assert "'left-arm' becomes part of a topic" in refusal(mapping)
