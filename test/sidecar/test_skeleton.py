"""The starting embodiment file has the server's facts, and is refused until it is complete."""

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.guard import check
from gr00t_ros.observe.modality import ModalityEntry, compare
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.field import FILL_IN, Field
from gr00t_ros.robot.files import find_embodiment, load_embodiment
from gr00t_ros.robot.known import JointRange, Known, KnownController
from gr00t_ros.robot.limits import read_limits
from gr00t_ros.serve.policies import modality_of
from gr00t_ros.sidecar.embodiment_skeleton import skeleton

KEYS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=4
)
ENTRIES = st.builds(
    ModalityEntry, st.lists(st.integers(-20, 40), max_size=5).map(tuple), KEYS.map(tuple)
)
SAID = st.fixed_dictionaries(
    {"rep": st.sampled_from(["ABSOLUTE", "DELTA", "x\n# y: ["]), "type": st.text(max_size=8)}
)


def filled(started, shipped):
    """`started` with what it leaves open taken from the shipped file."""
    if isinstance(started, dict):
        return {key: filled(value, shipped.get(key)) for key, value in started.items()}
    return shipped if started == FILL_IN else started


@pytest.mark.parametrize("name", ["franka_droid", "franka_droid_n16"])
def test_a_filled_in_file_fits_the_server_it_was_started_from(name):
    """The shipped robots, from the config that a server made for them announces."""
    robot = load_embodiment(name)
    config = modality_of(robot)
    started = yaml.safe_load(skeleton(config, "here", robot.tag))
    shipped = yaml.safe_load(find_embodiment(name).read_text())
    for key, value in shipped["state"].items():
        if value["from"] in ("pose", "kinematics"):  # the skeleton offers joints; poses are others
            started["state"][key] = value
    done = parse(filled(started, shipped), "done.yaml")
    assert compare(done, config) == ()
    assert (done.tag, done.action_horizon) == (robot.tag, robot.action_horizon)
    assert [action.output for action in done.action] == [action.output for action in robot.action]


def test_an_unfinished_file_is_refused_with_every_place_that_is_open():
    """Before anything else that may be wrong with it."""
    text = skeleton(modality_of(load_embodiment("franka_droid")), "here")
    with pytest.raises(
        EmbodimentError, match=r"^new\.yaml: \d+ still to be filled in:\n- robot\n"
    ) as e:
        parse(yaml.safe_load(text), "new.yaml")
    for place in (
        "embodiment_tag",
        "video.wrist_image_left.topic",
        "action.eef_9d.names",
        "limits",
    ):
        assert place in str(e.value)


def test_one_forgotten_topic_is_named(tmp_path):
    """A FILL_IN is a valid topic and a valid name, so nothing else would catch it."""
    mapping = yaml.safe_load(find_embodiment("franka_droid").read_text())
    mapping["video"]["wrist_image_left"]["topic"] = FILL_IN
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(mapping))
    with pytest.raises(EmbodimentError, match=r"in:\n- video\.wrist_image_left\.topic$"):
        load_embodiment(str(path))


def test_deltas_and_poses_of_the_end_effector_are_ignored_and_deltas_say_so():
    """They cannot be joint positions, whatever the operator would like."""
    configs = tuple({"rep": r, "type": t} for r, t in [("DELTA", "NON_EEF"), ("RELATIVE", "EEF")])
    config = {"action": ModalityEntry((0, 1), ("a", "b"), configs)}
    action = yaml.safe_load(skeleton(config, "here"))["action"]
    assert action == {
        "a": {"ignored": True, "names": FILL_IN, "representation": "delta"},
        "b": {"ignored": True, "names": FILL_IN},
    }


@given(ENTRIES, ENTRIES, ENTRIES, KEYS, st.data(), st.text(max_size=20))
def test_no_key_of_a_server_breaks_the_file(video, state, action, languages, data, source):
    """It is YAML, with the server's keys and steps in it, and it is refused."""
    configs = tuple(data.draw(SAID) for _ in action.keys)
    config = {
        "video": video,
        "state": state,
        "action": ModalityEntry(action.delta_indices, action.keys, configs or None),
        "language": ModalityEntry((0,), tuple(languages)),
    }
    file = yaml.safe_load(skeleton(config, source))
    assert file["language_key"] == (
        languages if len(languages) > 1 else languages[0] if languages else FILL_IN
    )
    for name, entry in (("video", video), ("state", state), ("action", action)):
        assert (list(file[name]) if file[name] != FILL_IN else []) == list(entry.keys)
    for key in video.keys:
        assert file["video"][key]["delta_indices"] == list(video.delta_indices)
    with pytest.raises(EmbodimentError, match="still to be filled in"):
        parse(file, "new.yaml")


@pytest.mark.parametrize(
    ("joint", "controller", "key", "ends"),
    [
        ("robotiq_85_left_knuckle_joint", "gripper", "gripper", (0.0, 0.8)),
        ("fer_finger_joint1", "hand_arm", "all", (0.0, 0.04)),
        ("left_hand_index_0_joint", "left_hand", "left_hand", (-1.57, 0.0)),
        ("joint8", "tool", "gripper_position", (0.0, 0.085)),
    ],
)
def test_a_gripper_of_any_kind_gets_limits_in_which_it_reaches_its_ends(
    joint, controller, key, ends
):
    """Revolute, prismatic, a hand's: no margin, no jump, no held; and each says why."""
    known = Known(
        action_names={key: (joint,)},
        controllers=(KnownController(controller, "/c", "/s", (joint,)),),
        ranges={joint: JointRange(*ends, 0.5)},
    )
    text = skeleton({}, "here", known=known)
    limits = yaml.safe_load(text)["limits"][joint]
    assert (limits["margin"], limits["jump"], limits["held"]) == (0.0, "unchecked", "unchecked")
    assert "it must reach its ends and hold there" in text


@pytest.mark.parametrize(
    ("joint", "ends", "begin"),
    [
        ("robotiq_85_left_knuckle_joint", (0.0, 0.8), ("20.0", "400.0")),
        ("finger_joint", (0.0, 0.04), ("1.0", "20.0")),
    ],
    ids=["2F-85 in rad", "fingers in m"],
)
def test_a_begun_gripper_goes_from_one_end_to_the_other_in_one_step(joint, ends, begin):
    """With the acceleration and jerk that the file proposes: nothing is clamped or refused."""
    known = Known(
        action_names={"gripper": (joint,)},
        controllers=(KnownController("gripper", "/c", "/s", (joint,)),),
        ranges={joint: JointRange(*ends, 0.1)},
    )
    text = skeleton({}, "here", known=known)
    proposed = " ".join(line.removeprefix("#") for line in text.splitlines() if line[:1] == "#")
    assert f"with {begin[0]} and {begin[1]}" in " ".join(proposed.split())
    rows = yaml.safe_load(text)["limits"]
    rows[joint] |= dict(zip(("acceleration", "jerk"), map(float, begin), strict=True))
    limits = read_limits({joint: Field(rows[joint], "it", f"limits.{joint}")}, (joint,))
    for held, goal in (ends, reversed(ends)):
        chunk = ActionChunk(1, 0, 0, 50_000_000, np.full((8, 1), goal), {})
        verdict = check(chunk, limits, 0, np.array([held]))
        assert verdict.accepted and not verdict.clamped


def test_a_file_from_a_dataset_mentions_no_server_and_points_to_template_and_keys():
    """What was not asked cannot have said anything; the same with a server."""
    config = modality_of(load_embodiment("so101"))
    config["action"] = replace(config["action"], action_configs=None, delta_indices=())
    known = Known(action_names={"gripper": ("gripper",)}, state_names={"gripper": ("gripper",)})
    alone = skeleton(config, "a dataset", known=known, served=False)
    served = skeleton(config, "a server", known=known)
    said = [line for line in alone.splitlines() if "server" in line]
    assert said and all("no server was asked" in line for line in said)
    assert "no server was asked" not in served and "not described by the server" in served
    assert "in the modality config of your fine-tuning" in alone
    for text in (alone, served):
        assert "config/embodiment_template.yaml" in text and "docs/embodiment_file.md" in text
        assert "If the training data has 0 .. 1 here, add scale" in text


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-2.7, 2.7), [0.05, 0.15, 0.05]),  # an arm's joint
        ((0.0, 0.4), [0.02, 0.06, 0.02]),  # a lift, m
        ((0.0, 0.08), [FILL_IN] * 3),  # shorter than any arm's: nothing is guessed
        ((-math.inf, math.inf), [0.05, 0.15, 0.05]),  # a description without a range
    ],
)
def test_margins_fit_the_range_of_a_joint_that_is_no_gripper(ends, expected):
    """Five centimetres are nothing to an arm's angle and all of a short axis."""
    known = Known(
        action_names={"arm_and_gripper": ("j1",)},
        controllers=(KnownController("arm", "/c", "/s", ("j1",)),),
        ranges={"j1": JointRange(*ends, math.inf)},
    )
    limits = yaml.safe_load(skeleton({}, "here", known=known))["limits"]["j1"]
    assert [limits[name] for name in ("margin", "jump", "held")] == expected
    assert limits["velocity"] == FILL_IN
    assert (limits["position"] == FILL_IN) == math.isinf(ends[1])
