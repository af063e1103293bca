"""The scripted policy behind the strict wire: what a LIBERO_PANDA checkpoint takes and answers."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from libero_pictures import floor_with

from gr00t_ros.errors import EmbodimentError, ObservationError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.policies import state_widths
from gr00t_ros.sim.libero.policy import ScriptedPolicy
from gr00t_ros.wire.codec import MAX_BYTES, decode, encode

PANDA = load_embodiment("libero_panda")
TEXT = "pick up the butter and place it in the basket"
THINGS = {"butter": (0.1, -0.15), "basket": (0.01, 0.26)}


@pytest.fixture(scope="module")
def picture():
    """Butter and basket on the floor."""
    return floor_with(THINGS)


def observe(picture, text=TEXT, **state):
    """An observation of LIBERO_PANDA; the hand at the start, pointing down, the fingers open."""
    values = {"x": -0.15, "y": 0.0, "z": 0.25, "roll": np.pi, "pitch": 0.0, "yaw": 0.0, **state}
    values.setdefault("gripper", [0.04, -0.04])
    arrays = {
        key: np.array(value, dtype=np.float32).reshape(1, 1, -1) for key, value in values.items()
    }
    pictures = {key: picture[None, None] for key in ("image", "wrist_image")}
    return {"video": pictures, "state": arrays, "language": {PANDA.language_key: [[text]]}}


def test_a_strict_server_gives_sixteen_steps_of_seven_numbers(serve, connect, picture):
    """Through the real wire; the hand goes towards the butter, with open fingers."""
    server = serve(ScriptedPolicy(PANDA), state_widths=state_widths(PANDA))
    peer = connect(server.address)

    def ask(observation):
        request = {"endpoint": "get_action", "data": {"observation": observation}}
        return decode(peer.ask(encode(request, "npy")), MAX_BYTES, ("msgpack_numpy",))

    action, info = ask(observe(picture))
    assert info["phase"] == "approach"
    assert set(action) == {"x", "y", "z", "roll", "pitch", "yaw", "gripper"}
    assert all(value.shape == (1, 16, 1) for value in action.values())
    assert all(value.dtype == np.float32 for value in action.values())
    assert action["x"].sum() > 1.0
    assert action["y"].sum() < -1.0
    assert np.all(action["gripper"] == 1.0)
    wrong = observe(picture)
    wrong["state"]["x"] = wrong["state"]["x"].astype(np.float64)
    assert "float32" in ask(wrong)["error"]
    wrong = observe(picture)
    wrong["state"]["gripper"] = wrong["state"]["gripper"][..., :1]
    assert "width 2" in ask(wrong)["error"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "pick up the butter"}, "not understood"),
        ({"z": 3.0}, "outside LIBERO's world"),
        ({"gripper": [0.1, -0.1]}, "second one counts downwards"),
    ],
)
def test_it_stays_where_it_would_move_on_a_guess(picture, change, reason):
    """Unknown sentence, another frame, other fingers: no motion, and the reason in the info."""
    action, info = ScriptedPolicy(PANDA)(observe(picture, **change), None)
    assert info["phase"] == "still"
    assert reason in info["reason"]
    assert all(not action[key].any() for key in action if key != "gripper")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_an_error(picture, value):
    """The client gets an error reply, never a chunk."""
    with pytest.raises(ObservationError, match="not finite"):
        ScriptedPolicy(PANDA)(observe(picture, x=value), None)


def test_another_size_of_picture_is_an_error(picture):
    """The camera's geometry is known for 256 x 256 only."""
    with pytest.raises(ObservationError, match="256"):
        ScriptedPolicy(PANDA)(observe(picture[:128]), None)


def test_a_reset_forgets_the_episode(picture):
    """After it the policy answers an empty floor with no motion; before it, it remembers."""
    policy = ScriptedPolicy(PANDA)
    policy(observe(picture), None)
    empty = floor_with({})
    assert policy(observe(empty), None)[1]["phase"] == "approach"
    policy.reset(None)
    assert policy(observe(empty), None)[1]["phase"] == "still"


def test_another_robot_is_refused():
    """It drives LIBERO_PANDA's keys only."""
    with pytest.raises(EmbodimentError, match="scripted policy"):
        ScriptedPolicy(load_embodiment("unitree_g1"))


def test_the_command_serves_until_it_is_interrupted(connect):
    """It prints READY with its address, answers a reset, and ends with status 0."""
    command = [sys.executable, "-m", "gr00t_ros.sim.libero.policy", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            word, address = process.stdout.readline().split()
            assert word == "READY"
            for options, expected in ((None, {}), ({"robot_id": "left"}, {"robot_id": "left"})):
                request = {"endpoint": "reset", "data": {"options": options}}
                reply = decode(connect(address).ask(encode(request, "npy")), MAX_BYTES, ())
                assert reply == expected
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20.0) == 0
