"""gr00t sidecar dump: the file has the observation, and the bytes that went over the wire."""

import argparse
import threading
from importlib.util import find_spec

import numpy as np
import pytest
import zmq
from made_episodes import MadeReference, made_episode, with_changes

pytest.importorskip("av", reason="datasets need PyAV and pyarrow")

from dataset_files import EMBODIMENT as THREE_JOINTS  # noqa: E402
from dataset_files import content, embodiment, write_groot  # noqa: E402

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.evaluate.observed.dump import of_parts  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.serve.endpoints import DIALECTS, Endpoints, Terms  # noqa: E402
from gr00t_ros.serve.policies import HoldPolicy  # noqa: E402
from gr00t_ros.sidecar.exchange import RawObservation, read_request  # noqa: E402
from gr00t_ros.sidecar.exchange_file import read_dump  # noqa: E402
from gr00t_ros.wire.access import Token  # noqa: E402
from gr00t_ros.wire.codec import decode  # noqa: E402
from gr00t_ros.wire.messages import Generation  # noqa: E402

ROBOT = ("--embodiment", "franka_droid")
NO_SERVER = ("--server", "127.0.0.1:1")


@pytest.fixture
def path(tmp_path):
    """Where the file goes."""
    return tmp_path / "a.npz"


class Recording:
    """A plain REP socket with a policy behind it: keeps each request and reply as it was."""

    def __init__(self, policy, generation, token=None):
        self.context, self.seen = zmq.Context(), []
        self.socket = self.context.socket(zmq.REP)
        self.socket.set(zmq.RCVTIMEO, 100)
        self.place = f"127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        terms = Terms(token=None if token is None else Token(token))
        self.endpoints = Endpoints(policy, DIALECTS[Generation(generation)], terms)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            try:
                frame = self.socket.recv()
            except zmq.Again:
                continue
            reply = self.endpoints.answer(frame).frame
            self.seen.append((frame, reply))
            self.socket.send(reply)

    def close(self):
        self.over.set()
        self.thread.join(20.0)
        self.socket.close(linger=0)
        self.context.term()


@pytest.fixture
def recording(robot):
    """Start a Recording of the hold policy; closed after the test."""
    made = []

    def start(generation, token=None):
        made.append(Recording(HoldPolicy(robot), generation, token))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize("generation", ["A0", "A1", "A2", "B2", "B3"])
def test_the_file_has_the_bytes_that_went_over_the_wire(ask_json, recording, path, generation):
    """Byte for byte, as a plain socket received and sent them; and what they mean."""
    peer = recording(generation)
    words = ("dump", *ROBOT, "--random", "--seed", "5", "--server", peer.place)
    status, found = ask_json(*words, "--observation", str(path))
    assert status == 0 and found["seed"] == 5
    request, reply = peer.seen[-1]
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["request"].tobytes() == request
        assert arrays["reply"].tobytes() == reply
        whole = dict(arrays)
    assert whole["format_version"] == 1 and whole["seed"] == 5
    assert whole["generation"] == {"A2": "A1", "B3": "B2"}.get(generation, generation)
    assert str(whole["server"]) == f"tcp://{peer.place}"
    data = decode(request)["data"]
    flat = generation == "A0"
    if not flat:
        assert data["options"] == {"seed": 5}
        data = data["observation"]
    for modality, kind in (("video", np.uint8), ("state", np.float32)):
        arrays = {k: v for k, v in whole.items() if k.startswith(f"{modality}.")}
        assert len(arrays) > 1
        for name, values in arrays.items():
            key = name.partition(".")[2]
            sent = data[name] if flat else data[modality][key]
            assert values.dtype == kind
            np.testing.assert_array_equal(values[np.newaxis], sent)
    action = decode(reply) if flat else decode(reply)[0]
    joints = action["action.joint_position" if flat else "joint_position"]
    np.testing.assert_array_equal(whole["action.joint_position"], joints.reshape(40, 7))
    assert whole["action.joint_position"].dtype == np.float32
    dumped = read_dump(path)
    again = read_request(dumped.exchange.request, dumped.exchange.generation)
    assert list(again.video) == list(dumped.observation.video)
    assert again.language_keys == dumped.observation.language_keys
    assert again.instruction == dumped.observation.instruction == "made up"
    assert again.options == ({} if flat else {"seed": 5})


def test_the_token_is_not_in_the_file_and_nothing_else_is_missing(
    ask_json, recording, path, tmp_path
):
    """A file is passed on; that a token was there is said."""
    peer = recording("B3", token="s3cret-token")
    secret = tmp_path / "token"
    secret.write_text("s3cret-token")
    secret.chmod(0o600)
    words = ("dump", *ROBOT, "--random", "--server", peer.place, "--token-file", str(secret))
    status, found = ask_json(*words, "--observation", str(path))
    assert status == 0 and "removed" in found["api_token"]
    request, _ = peer.seen[-1]
    with np.load(path) as arrays:
        assert arrays["token_removed"]
        assert not any(b"s3cret" in np.asarray(one).tobytes() for one in arrays.values())
        mine, sent = decode(arrays["request"].tobytes()), decode(request)
    assert sent.pop("api_token") == "s3cret-token" and mine.keys() == sent.keys()
    for key, values in sent["data"]["observation"]["state"].items():
        np.testing.assert_array_equal(mine["data"]["observation"]["state"][key], values)


def test_a_file_for_infer_and_a_dump_are_sent_again(ask, ask_json, hold, path, tmp_path):
    """Same observation, another server; an instruction and a seed of the command line win."""
    server = ("--server", hold("late=0"))
    assert ask("dump", *ROBOT, "--random", *server, "--observation", str(path))[0] == 0
    with np.load(path) as arrays:
        plain = {k: v for k, v in arrays.items() if k.startswith(("video.", "state."))}
    infer = tmp_path / "infer.npz"
    np.savez(infer, **plain, instruction=np.array("wait"))
    for origin, text in ((path, "made up"), (infer, "wait")):
        again = tmp_path / f"again_{origin.name}"
        words = ("dump", *ROBOT, "--from", str(origin), "--observation", str(again))
        assert ask(*words, "--server", hold("late=0", generation="A0"))[0] == 0
        seen = read_dump(again).observation
        assert seen.instruction == text
        for key, values in seen.video.items():
            np.testing.assert_array_equal(values, plain[f"video.{key}"])
        assert ask_json("parity", str(again), *server)[1]["verdict"] == "equal"
    other = tmp_path / "other.npz"
    words = ("dump", *ROBOT, "--from", str(path), "--observation", str(other), *server)
    assert ask(*words, "--instruction", "go", "--seed", "9")[0] == 0
    seen = read_dump(other).observation
    assert (seen.instruction, seen.options) == ("go", {"seed": 9})
    for one in (path, infer):
        assert ask("infer", *ROBOT, *server, "--observation", str(one))[0] == 0


def test_a_row_of_a_dataset_is_what_the_policy_would_have_seen(ask, serve, path, tmp_path):
    """State to the last bit, pictures as they are decoded, instruction and stamp of the row."""
    folder = write_groot(tmp_path / "set", episodes := content(episodes=2, rows=30))
    mine = tmp_path / "three.yaml"
    mine.write_text(THREE_JOINTS)
    server = serve(HoldPolicy(embodiment())).address.removeprefix("tcp://")
    words = ("dump", "--dataset-path", str(folder), "--embodiment", str(mine), "--episode", "1")
    words += ("--server", server, "--observation", str(path))
    status, _, err = ask(*words, "--at", "9.0")
    assert status == 2 and f"nothing at 9 s, expected 0 to {(len(episodes[1]) - 1) / 10:g} s" in err
    status, _, err = ask(*words)
    assert status == 2 and "expected --at S" in err and not path.exists()
    assert ask(*words, "--at", "1.2")[0] == 0
    dumped = read_dump(path)
    np.testing.assert_array_equal(dumped.observation.state["arm"][0], episodes[1].state[12, :2])
    assert dumped.observation.video["front"].shape == (1, 48, 64, 3)
    assert dumped.observation.instruction in ("lift the cube", "put it down")
    assert (dumped.observation.stamp_ns, dumped.source) == (1_200_000_000, "set/1, row 12 (1.2 s)")
    status, _, err = ask(*words[:-1], str(tmp_path / "b.npz"), "--at", "1", "--episode", "7")
    assert status == 2 and "got 7, expected of 0, 1" in err


def test_a_row_has_the_history_that_the_file_asks_for(robot):
    """Fifteen rows back for the cameras; earlier rows are refused."""
    episode, options = made_episode(robot, 40), argparse.Namespace(instruction=None, seed=4)
    source, seen = of_parts([episode], robot, 20 / episode.rate_hz, options)
    for key, values in seen.video.items():
        np.testing.assert_array_equal(values[0], episode.video[key][5])
        np.testing.assert_array_equal(values[1], episode.video[key][20])
    joints = episode.state["joint_position"][20]
    np.testing.assert_array_equal(seen.state["joint_position"][0], joints)
    assert (seen.stamp_ns, seen.options) == (int(episode.stamps_ns[20]), {"seed": 4})
    assert "row 20" in source
    with pytest.raises(SettingsError, match="takes 15 rows"):
        of_parts([episode], robot, 14 / episode.rate_hz, options)


def test_nothing_is_taken_out_of_a_gap_or_across_one(robot):
    """Two parts of one recording: each has its own history; the error names both spans."""
    first, options = made_episode(robot, 30), argparse.Namespace(instruction="go", seed=None)
    later = made_episode(robot, 40, seed=1)
    start_ns = first.stamps_ns[0] + 60 * robot.step_ns
    later = with_changes(later, stamps_ns=start_ns + np.arange(40) * robot.step_ns)
    _, seen = of_parts([first, later], robot, 80 / robot.rate_hz, options)
    joints = later.state["joint_position"][20]
    np.testing.assert_array_equal(seen.state["joint_position"][0], joints)
    assert seen.instruction == "go"
    for row in (40, 70, 100):  # in the gap, too early in the second part, behind its end
        with pytest.raises(SettingsError, match=r"expected 1 to 1.9\d* s or 5 to 6.6 s"):
            of_parts([first, later], robot, row / robot.rate_hz, options)
    with pytest.raises(SettingsError, match="expected a longer part"):
        of_parts([made_episode(robot, 10)], robot, 0.1, options)


class MadeRecording:
    """One episode as the reader of bags refers to it, in one part."""

    def __init__(self, robot):
        self.episode = MadeReference(3).load(robot)

    def load_parts(self):
        return argparse.Namespace(episodes=(self.episode,))


def test_a_bag_is_read_by_the_reader_of_recordings(ask, serve, path, monkeypatch):
    """The first episode if none is named; another must be there."""
    recordings = pytest.importorskip(
        "gr00t_ros.convert.recordings", reason="ROS 2 is not installed"
    )
    robot = load_embodiment("desk6")
    made = MadeRecording(robot)
    monkeypatch.setattr(recordings, "read_episodes", lambda bag, robot, instruction: [made])
    server = serve(HoldPolicy(robot)).address
    words = ("dump", "--bag", "my_bag", "--embodiment", "desk6", "--at", "1")
    words += ("--server", server.removeprefix("tcp://"), "--observation", str(path))
    assert ask(*words)[0] == 0
    state = made.episode.state["arm"][20]
    np.testing.assert_array_equal(read_dump(path).observation.state["arm"][0], state)
    status, _, err = ask(*words[:-1], f"{path}.npz", "--episode", "1")
    assert status == 2 and "my_bag: episode 1, expected one of 1, counted from 0" in err


def test_nothing_is_written_where_there_is_no_answer_and_nothing_overwritten(ask, hold, path):
    """Whole or not at all."""
    words = ("dump", *ROBOT, "--random", "--observation", str(path))
    assert ask(*words, *NO_SERVER)[0] == 2 and not path.exists()
    assert ask(*words, "--server", hold("error=oom"))[0] == 1 and not path.exists()
    path.write_text("mine")
    status, _, err = ask(*words, *NO_SERVER)
    assert status == 2 and "is there already" in err and path.read_text() == "mine"
    status, _, err = ask(*words[:-1], str(path.parent / "no" / "a.npz"), "--server", hold("late=0"))
    assert status == 2 and "No such file or directory" in err
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_answer_that_is_no_chunk_is_written_and_a_problem(ask, hold, path):
    """It is the answer that somebody wants to look at; the check passes before."""
    words = ("dump", *ROBOT, "--random", "--observation", str(path), "--server", hold("nan:3+"))
    status, out, _ = ask(*words)
    assert status == 1 and "nan in row 39" in out
    assert np.isnan(read_dump(path).exchange.action["joint_position"]).any()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "one of the arguments --node --bag --dataset-path --from --random is required"),
        (("--random", "--bag", "x"), "not allowed with argument"),
        (("--random",), "embodiment: got none"),
        pytest.param(
            ("--bag", "/no/such", "--at", "1"),
            "/no/such: no such file or folder",
            marks=pytest.mark.skipif(find_spec("rclpy") is None, reason="bags need ROS 2"),
        ),
        (("--node", "--server", "gpu:5555"), "--server: does not go with --node"),
        (("--node", "--seed", "1"), "--seed: does not go with --node"),
        (("--from", "/no/such.npz", *ROBOT), "no .npz of plain arrays"),
        (("--random", *ROBOT, "--at", "-1"), "expected 0 or more s"),
        (("--random", *ROBOT, "--server", "a:1", "--host", "b"), "expected one of both"),
    ],
)
def test_wrong_usage_is_status_two(ask, path, words, text):
    """With what is missing or in the way."""
    status, out, err = ask("dump", "--observation", str(path), *words)
    assert (status, out) == (2, "") and text in err


def test_a_file_of_another_robot_is_refused_by_key_and_shape(ask, tmp_path, path):
    """Before the server is asked."""
    other = tmp_path / "other.npz"
    np.savez(other, **{"state.arm": np.zeros((1, 6), "f4")}, instruction=np.array("go"))
    words = ("dump", *ROBOT, "--from", str(other), "--observation", str(path), *NO_SERVER)
    status, _, err = ask(*words)
    assert status == 2 and "video.exterior_image_1_left: got nothing, expected uint8 (2, 180" in err


def test_an_instruction_that_is_too_long_is_refused(robot):
    """As the node's own template does."""
    from gr00t_ros.errors import WireError

    seen = RawObservation({}, {}, ("task",), "x" * 5000)
    with pytest.raises(WireError, match="5000 bytes"):
        seen.request(None)
