"""Modality comparison: every difference between server and file has a line, and a weight."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.observe.modality import ModalityEntry, compare
from gr00t_ros.robot.embodiment import parse

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
ROBOT = parse(yaml.safe_load(FILE.read_text()), "franka_droid.yaml")
POSITIONS = {"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None}
POSE = {"rep": "RELATIVE", "type": "EEF", "format": "XYZ_ROT6D", "state_key": None}
GRIPPER = dict(POSITIONS, rep="ABSOLUTE")
HAS = "embodiment franka_droid (franka_droid.yaml) has: "
KEYS = ("eef_9d", "gripper_position", "joint_position")
MATCHING = {
    "video": ModalityEntry((-15, 0), ("exterior_image_1_left", "wrist_image_left")),
    "state": ModalityEntry((0,), KEYS),
    "action": ModalityEntry(tuple(range(40)), KEYS, (POSE, GRIPPER, POSITIONS)),
    "language": ModalityEntry((0,), ("annotation.language.language_instruction",)),
}


def config(modality=None, **changes):
    """The config of a matching server with one modality changed."""
    if modality is None:
        return MATCHING
    return dict(MATCHING, **{modality: replace(MATCHING[modality], **changes)})


def only(found):
    """The single difference."""
    assert len(found) == 1, [str(d) for d in found]
    return found[0]


def test_a_server_of_the_file_s_checkpoint_differs_in_nothing():
    """The N1.7 DROID checkpoint's config and franka_droid.yaml agree."""
    assert compare(ROBOT, MATCHING) == ()


def test_further_modalities_of_a_server_are_not_our_business():
    """N1.6 may announce rl_info, which nobody sends."""
    assert compare(ROBOT, dict(MATCHING, rl_info=ModalityEntry((0,), ("reward",)))) == ()


def test_a_camera_that_the_server_wants_and_we_lack_is_fatal_and_named():
    """The line has the modality, the key, the file, and what the file has."""
    found = only(compare(ROBOT, config("video", keys=(*MATCHING["video"].keys, "top_image"))))
    assert (found.modality, found.key, found.kind, found.fatal) == (
        "video",
        "top_image",
        "missing",
        True,
    )
    assert str(found) == (
        f"video: server expects key 'top_image', {HAS}exterior_image_1_left, wrist_image_left"
    )


def test_a_renamed_camera_is_one_missing_and_one_extra():
    """Both names stand in the list, so that the operator sees the rename."""
    found = compare(ROBOT, config("video", keys=("exterior_image_1_left", "wrist")))
    assert [(d.key, d.kind, d.fatal) for d in found] == [
        ("wrist", "missing", True),
        ("wrist_image_left", "extra", False),
    ]
    assert "server has no key 'wrist_image_left' but exterior_image_1_left, wrist" in str(found[1])


@pytest.mark.parametrize("modality", ["video", "state"])
def test_a_key_too_many_in_what_we_send_is_told_but_not_fatal(modality):
    """Servers tolerate extra keys."""
    found = only(compare(ROBOT, config(modality, keys=MATCHING[modality].keys[:-1])))
    assert (found.kind, found.fatal) == ("extra", False)


def test_a_state_key_that_we_do_not_send_is_fatal():
    """The server would refuse each observation."""
    found = only(compare(ROBOT, config("state", keys=(*KEYS, "projected_gravity"))))
    assert (found.key, found.kind, found.fatal) == ("projected_gravity", "missing", True)


def test_another_order_of_keys_is_told_but_not_fatal():
    """Keys travel by name."""
    found = only(compare(ROBOT, config("state", keys=tuple(reversed(KEYS)))))
    assert (found.kind, found.fatal) == ("order", False)
    assert "server orders the keys joint_position, gripper_position, eef_9d" in str(found)


def test_another_history_is_fatal_for_each_camera():
    """A server that wants one frame refuses two: T is checked."""
    found = compare(ROBOT, config("video", delta_indices=(0,)))
    assert [(d.key, d.kind, d.fatal, d.got, d.expected) for d in found] == [
        ("exterior_image_1_left", "history", True, "[-15, 0]", "[0]"),
        ("wrist_image_left", "history", True, "[-15, 0]", "[0]"),
    ]
    assert "video: server expects delta indices [0] of 'wrist_image_left'" in str(found[1])


def test_another_state_history_is_fatal():
    """State streams have delta indices too."""
    found = compare(ROBOT, config("state", delta_indices=(-1, 0)))
    assert {d.kind for d in found} == {"history"}
    assert [d.key for d in found] == list(KEYS)


@pytest.mark.parametrize("deltas", [tuple(range(16)), tuple(range(1, 41)), tuple(range(0, 80, 2))])
def test_another_horizon_is_fatal_and_so_are_steps_that_are_not_one_apart_from_zero(deltas):
    """Forty steps that start at 1 or skip every other one would be played at the wrong time."""
    action = dict(delta_indices=deltas)
    found = only(compare(ROBOT, config("action", **action)))
    assert (found.kind, found.fatal, found.got) == ("horizon", True, "40 (0 .. 39)")
    assert found.expected == f"{len(deltas)} ({deltas[0]} .. {deltas[-1]})"


def test_an_action_key_neither_mapped_nor_ignored_is_fatal():
    """It might move something."""
    entry = config("action", keys=(*KEYS, "base_motion"), action_configs=(POSE, *[POSITIONS] * 3))
    found = only(compare(ROBOT, entry))
    assert (found.key, found.kind, found.fatal) == ("base_motion", "missing", True)
    assert "action: server returns key 'base_motion'" in str(found)


def test_a_mapped_action_key_that_never_comes_is_fatal_and_an_ignored_one_is_not():
    """An output without commands is a mistake; a missing copy of the pose is not."""
    for key, fatal in (("joint_position", True), ("eef_9d", False)):
        kept = [i for i, name in enumerate(KEYS) if name != key]
        configs = MATCHING["action"].action_configs
        entry = config(
            "action",
            keys=tuple(KEYS[i] for i in kept),
            action_configs=tuple(configs[i] for i in kept),
        )
        found = only(compare(ROBOT, entry))
        assert (found.key, found.kind, found.fatal) == (key, "extra", fatal)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"rep": "DELTA"}, "DELTA NON_EEF"),
        ({"type": "EEF"}, "RELATIVE EEF"),
        ({"rep": "TURBO"}, "TURBO NON_EEF"),
    ],
)
def test_values_that_cannot_be_joint_positions_are_fatal_for_an_output(said, words):
    """DELTA is not undone by the server, and a pose is no joint position."""
    configs = (POSE, GRIPPER, dict(POSITIONS, **said))
    found = only(compare(ROBOT, config("action", action_configs=configs)))
    assert (found.key, found.kind, found.fatal) == ("joint_position", "representation", True)
    assert f"server gives {words} for 'joint_position'" in str(found)


def test_the_representation_of_an_ignored_key_does_not_matter():
    """Nobody plays it."""
    configs = (dict(POSE, rep="DELTA"), GRIPPER, POSITIONS)
    assert compare(ROBOT, config("action", action_configs=configs)) == ()


def test_a_server_that_says_nothing_of_representation_is_told_but_not_fatal():
    """N1.5 has no action configs; the operator sees that the file is believed."""
    found = compare(ROBOT, config("action", action_configs=None))
    assert [(d.key, d.kind, d.fatal) for d in found] == [
        ("gripper_position", "representation", False),
        ("joint_position", "representation", False),
    ]


def test_a_server_with_several_language_keys_fits_a_file_that_lists_them():
    """And is refused by one that does not: a strict server wants each (wire.md 8)."""
    keys = (ROBOT.language_key, "annotation.language.language_instruction_2")
    several = config("language", keys=keys)
    (found,) = (d for d in compare(ROBOT, several) if d.modality == "language")
    assert found.fatal and "language_key may list several" in found.text
    robot = replace(ROBOT, language_keys=keys)
    assert not [d for d in compare(robot, several) if d.modality == "language"]


def test_another_language_key_is_fatal():
    """The instruction would not be found."""
    found = compare(ROBOT, config("language", keys=("annotation.human.task_description",)))
    assert [(d.modality, d.kind, d.fatal) for d in found] == [
        ("language", "missing", True),
        ("language", "extra", False),
    ]


def test_a_config_without_a_modality_is_not_taken_for_a_match():
    """An empty answer is fatal by horizon and by every mapped key."""
    found = compare(ROBOT, {})
    assert {d.kind for d in found if d.fatal} == {"extra", "horizon"}
    assert {d.modality for d in found} == {"video", "state", "action", "language"}


NAMES = st.lists(st.sampled_from([*KEYS, "a", "b"]), unique=True, max_size=5).map(tuple)
DELTAS = st.lists(st.integers(-20, 60), max_size=5).map(tuple)


@given(st.dictionaries(st.sampled_from(list(MATCHING)), st.builds(ModalityEntry, DELTAS, NAMES)))
def test_no_fatal_difference_means_that_each_expected_key_is_sent_with_its_history(entries):
    """Whatever a server announces, passing the comparison means that it can be served."""
    announced = {**MATCHING, **entries}
    if any(d.fatal for d in compare(ROBOT, announced)):
        return
    ours = {s.key: s.delta_indices for s in ROBOT.streams}
    for modality in ("video", "state"):
        for key in announced[modality].keys:
            assert ours[key] == announced[modality].delta_indices
    assert set(announced["action"].keys) <= set(KEYS)
    assert announced["action"].delta_indices == tuple(range(40))
