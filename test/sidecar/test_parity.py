"""gr00t sidecar parity: what differs between two servers is found, named and judged."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.sidecar.differences import Tolerances, compare
from gr00t_ros.sidecar.exchange import Exchange, RawObservation, read_action
from gr00t_ros.sidecar.exchange_file import Dumped, write_dump
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.messages import Generation

ROBOT = ("--embodiment", "franka_droid")
LABELS = {"A0": "N1.5", "A1": "N1.6/N1.7-EA", "A2": "N1.6/N1.7-EA", "B2": "N1.7", "B3": "N1.7"}


class Twisted(HoldPolicy):
    """The hold policy with a change of its action; it keeps the options that it gets."""

    def __init__(self, embodiment, twist):
        super().__init__(embodiment)
        self.twist, self.options = twist, []

    def __call__(self, observation, options):
        self.options.append(options)
        action = {k: v.copy() for k, v in super().__call__(observation, options)[0].items()}
        return self.twist(action, options), {}


def one_joint(action, _options):
    """A tenth of a radian in the fourth joint of one step."""
    action["joint_position"][0, 17, 3] += 0.1
    return action


def noise(action, options):
    """Another noise for each answer, unless a seed is given."""
    seed = None if options is None else options.get("seed")
    action["joint_position"] += np.random.default_rng(seed).normal(0.0, 0.02, (1, 40, 7))
    return {key: values.astype(np.float32) for key, values in action.items()}


@pytest.fixture
def dumped(ask, hold, tmp_path):
    """Write a file with the answer of a server of ours; its path."""

    def write(*words, name="a.npz", generation="B3", **settings):
        path = tmp_path / name
        server = hold("late=0", generation=generation, **settings)
        words = ("dump", *ROBOT, "--random", "--server", server, "--observation", path, *words)
        status, _, err = ask(*map(str, words))
        assert status == 0, err
        return str(path)

    return write


@pytest.fixture
def changed(tmp_path):
    """Write a small file with arrays changed or, where None, left out; its path."""
    pixels, rows = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 9), np.float32)
    seen = RawObservation({"wrist_image_left": pixels}, {"eef_9d": rows}, ("task",), "stay")
    action = {"joint_position": np.zeros((40, 7), np.float32)}
    done = Exchange(Generation.B2, "msgpack_numpy", "nested", "gpu:5555", b"q", b"a", action)
    deltas = {"video": (-15, 0), "state": (0,)}

    def write(**changes):
        whole, path = tmp_path / "whole.npz", tmp_path / "changed.npz"
        write_dump(whole, Dumped(seen, done, "tag", "made by hand", "0.1.0", deltas))
        with np.load(whole) as archive:
            arrays = dict(archive) | changes
        np.savez(path, **{name: one for name, one in arrays.items() if one is not None})
        return str(path)

    return write


@pytest.mark.parametrize("generation", LABELS)
def test_the_same_policy_of_every_generation_is_equal(ask_json, dumped, hold, generation):
    """A file of the newest generation against each, and back."""
    words = ("parity", dumped(), "--server", hold("late=0", generation=generation))
    status, found = ask_json(*words)
    assert (status, found["verdict"]) == (0, "equal"), found
    assert found["server"]["generation"] == LABELS[generation]
    assert [(key["largest"], key["spread"]) for key in found["keys"]] == [(0.0, 0.0)] * 3
    path = dumped(name="b.npz", generation=generation)
    status, found = ask_json("parity", path, "--server", hold("late=0"))
    assert (status, found["verdict"]) == (0, "equal")
    assert found["file"]["generation"] == LABELS[generation]


def test_flat_and_nested_servers_are_equal_and_host_and_port_name_one(ask_json, dumped, hold):
    """Key styles are found out with the file's own observation."""
    host, port = hold("late=0", flat=True).split(":")
    status, found = ask_json("parity", dumped(), "--host", host, "--port", port)
    assert (status, found["server"]["key_style"], found["file"]["key_style"]) == (
        *(0, "flat"),
        "nested",
    )
    path = dumped(name="flat.npz", flat=True)
    status, found = ask_json("parity", path, "--server", hold("late=0"))
    assert (status, found["server"]["key_style"], found["file"]["key_style"]) == (
        *(0, "nested"),
        "flat",
    )


def test_a_planted_difference_is_named_with_its_joint_step_and_size(
    ask, ask_json, dumped, hold, robot
):
    """In one joint at one step; a tolerance of that key makes it pass, of another does not."""
    server = hold("late=0", policy=Twisted(robot, one_joint))
    words = ("parity", dumped(), "--server", server, *ROBOT)
    status, found = ask_json(*words)
    assert (status, found["verdict"]) == (1, "different")
    row = next(key for key in found["keys"] if key["key"] == "joint_position")
    assert (row["step"], row["name"], row["unit"]) == (17, "fr3_joint4", "rad")
    assert row["largest"] == pytest.approx(0.1, rel=1e-5) and row["outside"] == 1
    assert row["mean"] == pytest.approx(0.1 / 280, rel=1e-5) and row["spread"] == 0.0
    assert [key["verdict"] for key in found["keys"]].count("equal") == 2
    status, out, _ = ask(*words)
    assert status == 1 and "step 17, fr3_joint4" in out and "1 of 280" in out
    assert out.endswith("different: joint_position\n")
    assert ask(*words, "--atol", "joint_position=0.11")[0] == 0
    assert ask(*words, "--atol", "gripper_position=0.11")[0] == 1
    assert ask(*words, "--atol", "0.11")[0] == 0
    assert ask(*words[:-2])[1].count("column 3") == 1, "without a robot there is no name"


def test_shapes_and_dtypes_must_be_the_same(ask_json, dumped, hold, robot):
    """A tolerance does not help."""
    short = Twisted(robot, lambda action, _: {key: rows[:, :32] for key, rows in action.items()})
    wide = Twisted(robot, lambda action, _: {k: rows.astype("f8") for k, rows in action.items()})
    less = Twisted(robot, lambda action, _: {"joint_position": action["joint_position"]})
    path = dumped()
    for policy, text in (
        (short, "shape (32, 7), expected (40, 7)"),
        (wide, "dtype float64, expected float32"),
    ):
        server = hold("late=0", policy=policy, strict=False)
        status, found = ask_json("parity", path, "--server", server, "--atol", "1e9")
        assert (status, found["verdict"]) == (1, "different")
        assert text in {key["problem"] for key in found["keys"]}
    server = hold("late=0", policy=less, strict=False)
    status, found = ask_json("parity", path, "--server", server)
    rows = {key["key"]: key["problem"] for key in found["keys"]}
    assert status == 1 and rows["gripper_position"] == "not in the answer"
    assert rows["joint_position"] == ""


def test_a_stochastic_server_is_judged_beside_its_own_spread(ask, ask_json, dumped, hold, robot):
    """Without a seed its answers differ, which is said; a bias beyond that is a difference."""
    path = dumped(policy=Twisted(robot, noise))
    server = hold("late=0", policy=Twisted(robot, noise))
    status, found = ask_json("parity", path, "--server", server, "--repeat", "8")
    row = next(key for key in found["keys"] if key["key"] == "joint_position")
    assert (status, found["verdict"]) == (0, "within spread")
    assert row["spread"] > 0.02 and row["outside"] > 100 and found["repeat"] == 8
    assert "it is stochastic" in ask("parity", path, "--server", server)[1]

    def biased(action, options):
        action = noise(action, options)
        action["joint_position"][0, 5, 2] += 2.0
        return action

    server = hold("late=0", policy=Twisted(robot, biased))
    status, found = ask_json("parity", path, "--server", server, "--repeat", "8", *ROBOT)
    row = next(key for key in found["keys"] if key["key"] == "joint_position")
    assert (status, row["verdict"], row["step"], row["name"]) == (1, "different", 5, "fr3_joint3")


def test_a_seed_goes_into_the_options_and_makes_noise_equal(ask_json, dumped, hold, robot):
    """The file's own seed is sent again, or the one of the command line."""
    path = dumped("--seed", "7", policy=Twisted(robot, noise))
    policy = Twisted(robot, noise)
    server = hold("late=0", policy=policy)
    status, found = ask_json("parity", path, "--server", server)
    assert (status, found["verdict"], found["options"]) == (0, "equal", {"seed": 7})
    assert policy.options[-1] == {"seed": 7} and policy.options[-2] == {"seed": 7}
    status, found = ask_json("parity", path, "--server", server, "--seed", "8")
    assert (status, found["verdict"], policy.options[-1]) == (1, "different", {"seed": 8})
    assert {key["spread"] for key in found["keys"]} == {0.0}
    status, found = ask_json("parity", path, "--server", hold("late=0", generation="A0"))
    assert any("N1.5 takes no options" in note for note in found["notes"])


def test_numbers_that_are_not_finite_are_a_difference(ask, dumped, hold):
    """Whatever the tolerance."""
    status, out, _ = ask("parity", dumped(), "--server", hold("nan"), "--atol", "1e9")
    assert status == 1 and "nan in step 39, column 6 in the answer" in out


def test_a_server_with_other_keys_or_history_is_refused_with_what_to_do(ask, dumped, hold, robot):
    """Before anything is inferred."""
    path = dumped()
    policy = HoldPolicy(robot)
    video = policy.modality["video"]
    for entry, text in (
        (replace(video, keys=("top",)), "video: the server asks for top, the file has exterior"),
        (replace(video, delta_indices=(-8, 0)), "delta indices [-8, 0], the file has [-15, 0]"),
    ):
        policy.modality = dict(policy.modality, video=entry)
        status, out, err = ask("parity", path, "--server", hold("late=0", policy=policy))
        assert (status, out) == (2, "") and err.count("\n") == 1
        assert text in err and "made for other modality keys" in err and "sidecar dump" in err
        assert robot.tag in err


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format_version": np.array(2)}, "format_version 2, expected 1: read it with"),
        ({"format_version": np.array("one")}, "expected one value"),
        ({"language_keys": None}, "no array language_keys"),
        ({"language_keys": np.array(["a"] * 99)}, "expected some texts"),
        ({"options": np.array("[1]")}, "options: got list, expected a map"),
        ({"options": np.array("{")}, "options: no JSON"),
        ({"generation": np.array("C9")}, "generation 'C9', expected one of T, A0"),
        ({"request": np.zeros(3)}, "request: got float64 (3,), expected uint8 (N,)"),
        ({"video.wrist_image_left": np.zeros((2, 4, 4, 3))}, "expected uint8 (T, H, W, 3)"),
        ({"state.eef_9d": np.zeros(9, "f4")}, "got float32 (9,), expected float32 (T, D)"),
        ({"action.joint_position": np.zeros((40, 7), "i4")}, "got int32 (40, 7)"),
        ({"delta_indices.video": np.zeros(2)}, "expected whole numbers (T,)"),
        ({"instruction": np.array("x" * 5000)}, "instruction: 5000 characters"),
        ({"reply": None}, "no server's answer to compare with; ask one: gr00t sidecar dump"),
    ],
)
def test_a_file_that_does_not_hold_is_one_line_and_status_two(ask, changed, changes, text):
    """With what to do where that is known; no server is asked."""
    status, out, err = ask("parity", changed(**changes), "--server", "127.0.0.1:1")
    assert (status, out, err.count("\n")) == (2, "", 1) and text in err


def test_a_file_without_the_raw_part_says_what_to_write_instead(ask, tmp_path, changed):
    """An old artefact of actions alone, one of infer, and a dump that lost its observation."""
    path = str(tmp_path / "old.npz")
    np.savez(path, joint_position=np.zeros((40, 7), np.float32), instruction=np.array("go"))
    status, _, err = ask("parity", path, "--server", "127.0.0.1:1")
    assert status == 2 and "no raw observation" in err and "has joint_position, instruction" in err
    assert "gr00t sidecar dump --observation FILE.npz" in err
    np.savez(path, **{"state.arm": np.zeros((1, 6), np.float32), "instruction": np.array("go")})
    status, _, err = ask("parity", path, "--server", "127.0.0.1:1")
    assert status == 2 and f"gr00t sidecar dump --from {path}" in err
    with np.load(changed()) as archive:
        left = {k: v for k, v in dict(archive).items() if not k.startswith(("video.", "state."))}
    np.savez(path, **left)
    status, _, err = ask("parity", path, "--server", "127.0.0.1:1")
    assert status == 2 and "no raw observation" in err and "cannot be sent to another" in err


def test_what_is_written_in_a_file_cannot_steer_a_terminal(ask, changed, serve, robot):
    """Texts, keys and options of a file are shown as plain characters, and sent as they are."""
    evil = "\x1b[2J\x1b]0;title\x07\nverdict: equal"
    seen = []

    class Any(HoldPolicy):
        def __call__(self, observation, options):
            seen.append(options)
            return {f"joint{evil}": np.zeros((1, 40, 7), np.float32)}, {}

    policy = Any(robot)
    entry = ModalityEntry((0,), ("eef_9d",))
    video = ModalityEntry((-15, 0), ("wrist_image_left",))
    language = ModalityEntry((0,), ("task",))
    policy.modality = dict(policy.modality, state=entry, video=video, language=language)
    server = serve(policy, strict=False).address.removeprefix("tcp://")
    options = np.array(json.dumps({"seed": [evil], "n": 1e999}))
    changes = {"source": np.array(evil), "server": np.array(evil), "options": options}
    changes |= {f"action.a{evil}": np.ones((40, 7), np.float32)}
    path = changed(**changes, instruction=np.array(f"go {evil} \ud800"[:-2]))
    status, out, err = ask("parity", path, "--server", server)
    assert status == 1 and "\x1b" not in out + err and "\nverdict: equal" not in out
    assert seen[-1] == {"seed": [evil], "n": float("inf")}


@pytest.mark.parametrize(
    "words",
    [
        ("--atol", "x"),
        ("--atol", "-1"),
        ("--rtol", "nan"),
        ("--atol", "elbow=1"),
        ("--atol", "joint_position="),
        ("--repeat", "0"),
        ("--repeat", "1000"),
        ("--seed", "-1"),
        ("--host", "127.0.0.1"),
        ("--port", "0"),
        ("--embodiment", "nobody"),
    ],
)
def test_wrong_usage_is_status_two(ask, changed, words):
    """Numbers that are none, keys that are not there, two ways to name a server."""
    status, out, err = ask("parity", changed(), "--server", "127.0.0.1:1", *words)
    assert (status, out) == (2, "") and "gr00t sidecar parity" in err


def test_nobody_there_and_a_server_that_answers_an_error(ask, dumped, hold, tmp_path):
    """2 and 1, as everywhere; a token that is asked for and not given too."""
    path = dumped()
    status, _, err = ask("parity", path, "--server", "127.0.0.1:1")
    assert status == 2 and "nobody listens" in err
    status, _, err = ask("parity", path, "--server", hold("error=oom"))
    assert status == 1 and "oom" in err
    status, _, err = ask("parity", path, "--server", hold("late=0", token=Token("s3cret")))
    assert status == 1 and "Unauthorized" in err
    token = tmp_path / "token"
    token.write_text("s3cret")
    token.chmod(0o600)
    server = hold("late=0", token=Token("s3cret"))
    assert ask("parity", path, "--server", server, "--token-file", str(token))[0] == 0


@pytest.mark.parametrize("verb", ["parity", "dump"])
@pytest.mark.parametrize("text", ["busy: later", "CUDA error: launch failure"])
def test_nothing_is_asked_of_a_policy_that_was_not_reset(
    ask, dumped, serve, robot, tmp_path, verb, text
):
    """Its answer would be one of the episode before; a server without a reset is asked."""

    class Stubborn(HoldPolicy):
        def reset(self, options):
            raise RuntimeError(text)

    words = {
        "parity": ("parity", dumped()),
        "dump": ("dump", *ROBOT, "--random", "--observation", str(tmp_path / "new.npz")),
    }[verb]
    address = serve(Stubborn(robot)).address.removeprefix("tcp://")
    status, out, err = ask(*words, "--server", address)
    assert (status, out) == (1, "") and text in err
    text = "Unknown endpoint: reset"
    assert ask(*words, "--server", address)[0] == 0


def test_the_golden_bytes_of_both_codecs_are_equal_to_their_own_answer(
    ask, serve, golden_policy, golden_observation, golden_bytes, tmp_path
):
    """A file made from upstream's own bytes, against our servers with upstream's answer."""
    seen = golden_observation
    raw = RawObservation(
        {key: one[0] for key, one in seen["video"].items()},
        {key: one[0] for key, one in seen["state"].items()},
        tuple(seen["language"]),
        "pick up",
    )
    for codec, generation in (("npy", "A1"), ("msgpack_numpy", "B2")):
        reply = golden_bytes(f"{codec}.get_action.reply.bin")
        request = golden_bytes(f"{codec}.get_action.request.bin")
        action = read_action(reply, Generation(generation), "nested")
        of = Exchange(Generation(generation), codec, "nested", "upstream", request, reply, action)
        path = tmp_path / f"{codec}.npz"
        write_dump(path, Dumped(raw, of, source="golden"))
        for other in ("A0", "A1", "B3"):
            server = serve(golden_policy, other).address.removeprefix("tcp://")
            status, out, err = ask("parity", str(path), "--server", server)
            assert status == 0 and out.endswith("equal\n"), out + err
    golden_policy.action = {"joints": golden_policy.action["joints"] + np.float32(0.01)}
    server = serve(golden_policy, "B3").address.removeprefix("tcp://")
    assert ask("parity", str(path), "--server", server)[0] == 1


def test_a_file_of_one_process_against_another(ask_json, start_sidecar, tmp_path):
    """Real servers as processes: hold answers as it did, wave of another generation does not."""
    path = str(tmp_path / "a.npz")
    servers = [
        start_sidecar(*words, "--embodiment", "franka_droid", "--port", "0")
        for words in (("hold",), ("wave", "--codec", "A0"))
    ]
    hold, wave = (("--server", one.address.removeprefix("tcp://")) for one in servers)
    assert ask_json("dump", *ROBOT, "--random", *hold, "--observation", path)[0] == 0
    status, found = ask_json("parity", path, *hold)
    assert (status, found["verdict"]) == (0, "equal")
    status, found = ask_json("parity", path, *wave, *ROBOT)
    assert (status, found["verdict"]) == (1, "different")


# --- the comparison itself -------------------------------------------------------------------


def rows(*values):
    """One key of one column."""
    return {"arm": np.array(values, np.float32)[:, np.newaxis]}


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([rows(1.0, 2.0)], "equal"),
        ([rows(1.0015, 2.0)], "equal"),  # 1e-3 and 1e-3 of 1.0
        ([rows(1.0025, 2.0)], "different"),
        ([rows(1.0, 2.0025)], "equal"),  # 1e-3 of 2.0
        ([rows(1.1, 2.0), rows(1.3, 2.0)], "within spread"),
        ([rows(1.1, 2.0), rows(1.15, 2.0)], "different"),
        ([rows(1.1, 2.0), rows(1.0, 2.0)], "equal"),  # the nearest answer counts
    ],
)
def test_the_verdict_of_a_key(answers, verdict):
    """Tolerance first, then the server's own spread."""
    (found,) = compare(rows(1.0, 2.0), answers, Tolerances())
    assert found.verdict == verdict
    json.dumps(found.shape)


def test_every_answer_is_checked_and_empty_ones_are_equal():
    """A server that answers another shape the second time is different; no rows are no crash."""
    (found,) = compare(rows(1.0), [rows(1.0), rows(1.0, 1.0)], Tolerances())
    assert found.verdict == "different" and "shape (2, 1)" in found.problem
    (found,) = compare(
        {"arm": np.zeros((0, 3), "f4")}, [{"arm": np.zeros((0, 3), "f4")}] * 2, Tolerances()
    )
    assert found.verdict == "equal"
