"""The modality table: every key has a row, and what does not match is what compare found."""

from dataclasses import replace
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.observe.modality import MATCHES, MODALITIES, ModalityEntry, compare, fit
from gr00t_ros.robot.embodiment import parse

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
ROBOT = parse(yaml.safe_load(FILE.read_text()), "franka_droid.yaml")
KEYS = ("eef_9d", "gripper_position", "joint_position")
JOINTS = {"rep": "ABSOLUTE", "type": "NON_EEF"}
SERVER = {
    "video": ModalityEntry((-15, 0), ("exterior_image_1_left", "wrist_image_left")),
    "state": ModalityEntry((0,), KEYS),
    "action": ModalityEntry(tuple(range(40)), KEYS, (dict(JOINTS, type="EEF"), JOINTS, JOINTS)),
    "language": ModalityEntry((0,), ("annotation.language.language_instruction",)),
}
NAMES = st.sampled_from([*KEYS, *SERVER["video"].keys, *SERVER["language"].keys, "new"])
ENTRIES = st.builds(
    ModalityEntry,
    st.sampled_from([(0,), (-15, 0), tuple(range(40)), ()]),
    st.lists(NAMES, unique=True, max_size=5).map(tuple),
    st.just(None) | st.just((JOINTS, dict(JOINTS, rep="DELTA"))),
)


def test_a_server_that_fits_has_only_matching_rows_one_a_key_and_one_for_the_horizon():
    """What was looked at is shown, not only what is wrong."""
    rows = fit(ROBOT, SERVER)
    assert [(row.modality, row.key) for row in rows] == [
        *(("video", key) for key in SERVER["video"].keys),
        *(("state", key) for key in KEYS),
        *(("action", key) for key in KEYS),
        ("action", ""),
        ("language", SERVER["language"].keys[0]),
    ]
    assert {row.verdict for row in rows} == {MATCHES} and not any(row.fatal for row in rows)
    assert rows[0].ours == rows[0].server == "delta indices [-15, 0]"
    assert [row.ours for row in rows[5:9]] == [
        "ignored",
        "to output gripper",
        "to output arm",
        "horizon 40",
    ]


def test_each_kind_of_difference_stands_in_its_key_s_row():
    """Missing, extra, wrong history, wrong horizon and wrong values, at one glance."""
    server = dict(
        SERVER,
        video=ModalityEntry((-1, 0), ("exterior_image_1_left", "top")),
        action=replace(
            SERVER["action"],
            delta_indices=tuple(range(16)),
            action_configs=(JOINTS, JOINTS, dict(JOINTS, rep="DELTA")),
        ),
    )
    rows = {(row.modality, row.key): row for row in fit(ROBOT, server) if row.verdict != MATCHES}
    seen = {place: (row.verdict, row.ours, row.server) for place, row in rows.items()}
    assert seen == {
        ("video", "exterior_image_1_left"): ("history", "[-15, 0]", "[-1, 0]"),
        ("video", "top"): ("missing", "none", "expected"),
        ("video", "wrist_image_left"): ("extra", "in the file", "none"),
        ("action", "joint_position"): (
            "representation",
            "absolute joint positions (rad)",
            "DELTA NON_EEF",
        ),
        ("action", ""): ("horizon", "horizon 40 (0 .. 39)", "horizon 16 (0 .. 15)"),
    }


@given(st.dictionaries(st.sampled_from(MODALITIES), ENTRIES))
def test_the_rows_that_do_not_match_are_what_compare_found(config):
    """No difference is lost, none is made up, and every key of either side has a row."""
    rows = fit(ROBOT, config)
    differing = [row for row in rows if row.verdict != MATCHES]
    found = compare(ROBOT, config)
    assert sorted(row.text for row in differing) == sorted(str(one) for one in found)
    assert sum(row.fatal for row in differing) == sum(one.fatal for one in found)
    for modality, entry in config.items():
        assert {row.key for row in rows if row.modality == modality} >= set(entry.keys)
