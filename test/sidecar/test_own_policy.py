"""The policy that docs/sidecar.md shows is served as it stands there."""

import re
import signal
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from robot_of_file import observation_of

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.endpoints import check_action
from gr00t_ros.serve.policies import POLICIES, make_policy
from gr00t_ros.wire.client import PolicyServerClient

DOCUMENT = (Path(__file__).parents[2] / "docs" / "sidecar.md").read_text()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The document's example as a file that Python finds; its lines of code."""
    ((name, text),) = re.findall(r"`(my_policy\.py)`\n```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return [line for line in text.splitlines() if line.strip()]


def test_the_example_is_short_and_its_answers_are_chunks(written):
    """A newcomer reads it in a minute; the node takes what it returns."""
    assert len(written) <= 15
    robot = load_embodiment("desk6")
    policy = make_policy("my_policy:Lean", robot)
    action, _ = policy(observation_of(robot), None)
    check_action(action, policy.modality)
    chunk = from_reply(robot, {key: rows[0] for key, rows in action.items()}, 0, 0, 0)
    turned = np.ptp(chunk.joints, axis=0)
    assert turned[0] == pytest.approx(0.02 * (robot.action_horizon - 1) / robot.rate_hz, abs=1e-6)
    assert not turned[1:].any() and policy.reset(None) == {}


def test_the_examples_command_serves_it(written, start_sidecar, monkeypatch, tmp_path):
    """`gr00t sidecar my_policy:Lean --embodiment desk6`."""
    assert "gr00t sidecar my_policy:Lean --embodiment desk6 --port 5555" in DOCUMENT
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sidecar = start_sidecar("my_policy:Lean", "--embodiment", "desk6", "--port", "0")
    assert sidecar.ready.startswith("READY ")
    assert sidecar.end(signal.SIGINT)[0] == 0


def test_the_policies_that_serve_any_robot_are_named():
    """In the document's list, and where the scripted policy refuses a robot."""
    for name in POLICIES:
        assert f"\ngr00t sidecar {name}" in DOCUMENT
    with pytest.raises(EmbodimentError, match="policies hold and wave serve any robot"):
        make_policy("scripted", load_embodiment("so101"))


def ask_for_reset(sidecar, name):
    """The reply to a reset of a robot of that name."""
    with closing(PolicyServerClient("127.0.0.1", sidecar.port, 10_000)) as client:
        return client.reset({"robot_id": name})


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("scripted",), {"robot_id": "left arm"}),
        (("faulty", "--policy", "wave", "--fault", "nan:3"), {"robot_id": "left arm"}),
        (("my_policy:Lean",), {}),
    ],
)
def test_only_our_own_policies_are_made_once_a_robot(
    words, reply, written, start_sidecar, monkeypatch, tmp_path
):
    """Another's may have weights; its options and replies are its own."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sidecar = start_sidecar(*words, "--embodiment", "desk6", "--port", "0")
    assert ask_for_reset(sidecar, "left arm") == reply
