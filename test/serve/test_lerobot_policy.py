"""LeRobot's GR00T N1.7 classes, with tiny random weights, work as a policy server's process."""

import json
from contextlib import closing, contextmanager

import numpy as np
import pytest
from lerobot_server import MISSING, lerobot_python, lerobot_server

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.lerobot_policy import LerobotPolicy, read_checkpoint
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.link import PolicyLink

PROCESSOR = {
    "processor_kwargs": {
        "modality_configs": {
            "arm": {
                "video": {"delta_indices": [-15, 0], "modality_keys": ["wrist"]},
                "state": {"delta_indices": [0], "modality_keys": ["joints"]},
                "language": {"delta_indices": [0], "modality_keys": ["task"]},
                "action": {
                    "delta_indices": [0, 1],
                    "modality_keys": ["joints", "hand"],
                    "action_configs": [
                        {"rep": "relative", "type": "non_eef", "format": "default"},
                        {"rep": "absolute", "type": "eef", "format": "xyz+rot6d"},
                    ],
                },
            }
        }
    }
}


@pytest.fixture
def folder(tmp_path):
    """The files of a checkpoint that tell its modality config, without weights."""

    def write(processor=PROCESSOR, statistics=None):
        (tmp_path / "processor_config.json").write_text(json.dumps(processor))
        (tmp_path / "statistics.json").write_text(json.dumps(statistics or {"arm": {}}))
        return tmp_path

    return write


def test_the_modality_config_of_a_checkpoint_is_told_as_upstream_tells_it(folder):
    """Enum names in capitals, upstream's own spelling of formats."""
    modality, _ = read_checkpoint(folder(), "arm")
    assert modality["video"].delta_indices == (-15, 0)
    assert modality["action"].keys == ("joints", "hand")
    assert modality["action"].action_configs == (
        {"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None},
        {"rep": "ABSOLUTE", "type": "EEF", "format": "XYZ_ROT6D", "state_key": None},
    )


def test_what_is_no_checkpoint_of_that_tag_is_refused(folder, tmp_path):
    """With the file or the tags that it has."""
    with pytest.raises(SettingsError, match="processor_config.json: No such file"):
        read_checkpoint(tmp_path / "nowhere", "arm")
    with pytest.raises(SettingsError, match="'leg', expected one of arm"):
        read_checkpoint(folder(), "leg")
    with pytest.raises(SettingsError, match="has no arm"):
        read_checkpoint(folder(statistics={"leg": {}}), "arm")
    with pytest.raises(SettingsError, match=r"no width of action\.joints"):
        LerobotPolicy(folder(), "arm")


NEEDS_LEROBOT = pytest.mark.skipif(lerobot_python() is None, reason=MISSING)


@contextmanager
def linked(embodiment, folder):
    """The node's side of the wire to a tiny model of this embodiment."""
    with lerobot_server(embodiment, folder) as port:
        client = PolicyServerClient("127.0.0.1", port, 120_000)
        with closing(PolicyLink(client, load_embodiment(embodiment), None)) as link:
            yield link


@NEEDS_LEROBOT
@pytest.mark.timeout(600)
def test_lerobots_policy_serves_the_node_s_whole_exchange(tmp_path):
    """Recognised, checked key by key, inferred, reset; joints relative to what was sent."""
    with linked("franka_droid", tmp_path) as link:
        checked = link.check()
        assert {row.verdict for row in link.rows if row.modality != "action"} == {"matches"}
        assert checked.shapes == {"joint_position": (40, 7), "gripper_position": (40, 1)} | {
            "eef_9d": (40, 9)
        }
        raised, still = (
            [link.query(_joints_at(at_rad), 1)[1]["joint_position"] for _ in range(8)]
            for at_rad in (0.5, 0.0)
        )
    assert np.all(np.isfinite(raised)) and np.all(np.isfinite(still))
    # Random weights and noise, decoded within +-1 of the joints that were sent, on average alike.
    lift_rad = np.mean(raised, axis=(0, 1)) - np.mean(still, axis=(0, 1))
    assert np.all(np.abs(lift_rad - 0.5) < 0.3), lift_rad


@NEEDS_LEROBOT
@pytest.mark.timeout(600)
def test_liberos_gripper_is_answered_as_upstreams_server_does(tmp_path):
    """0 to 1, 1 is open: LeRobot by itself would answer the simulator's own -1 and 1 instead."""
    with linked("libero_panda", tmp_path) as link:
        checked = link.check()
        assert {row.verdict for row in link.rows} == {"matches"}
        assert set(checked.shapes.values()) == {(16, 1)}
        answers = [link.query(lambda template: None, 1)[1] for _ in range(8)]
    gripper = np.concatenate([answer["gripper"] for answer in answers])
    assert np.all((gripper >= 0.0) & (gripper <= 1.0)), gripper
    assert np.ptp(gripper) > 0.0 and not np.isin(gripper, (0.0, 1.0)).all()


def _joints_at(at_rad):
    def fill(template):
        template.state["joint_position"][:] = at_rad

    return fill
