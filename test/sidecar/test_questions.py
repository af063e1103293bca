"""The verbs that question a server print the right facts and return the right exit status."""

import socket
from dataclasses import replace

import numpy as np
import pytest

from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.wire.access import Token

ROBOT = ("--embodiment", "franka_droid")
LABELS = {"A0": "N1.5", "A1": "N1.6/N1.7-EA", "A2": "N1.6/N1.7-EA", "B2": "N1.7", "B3": "N1.7"}


@pytest.fixture
def nobody():
    """HOST:PORT where nobody listens."""
    return f"127.0.0.1:{free_port('127.0.0.1')}"


@pytest.fixture
def observation(tmp_path, robot):
    """Write an .npz with an observation of the arm, changed as told."""

    def write(**changes):
        arrays = {
            f"video.{v.key}": np.full((2, v.height_px, v.width_px, 3), 9, np.uint8)
            for v in robot.video
        } | {f"state.{s.key}": np.full((1, s.width), 0.25, np.float32) for s in robot.state}
        arrays |= {"instruction": np.array("stay")} | changes
        path = tmp_path / "observation.npz"
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return str(path)

    return write


@pytest.mark.parametrize("generation", LABELS)
def test_ping_tells_every_generation_and_what_it_serves(ask, hold, generation):
    """Without an embodiment and without an inference."""
    status, out, _ = ask("ping", "--server", hold("garbage", generation=generation))
    assert status == 0
    for text in (LABELS[generation], "exterior_image_1_left", "[-15, 0]", "[0 .. 39, 40 steps]"):
        assert text in out


def test_ping_as_json_has_the_same_for_programs(ask_json, hold):
    """Keys and delta indices whole."""
    status, found = ask_json("ping", "--server", hold())
    assert (status, found["generation"], found["codec"]) == (0, "N1.7", "msgpack_numpy")
    assert found["modality"]["action"]["delta_indices"] == list(range(40))
    assert 0 < found["ping_ms"] < 20_000


@pytest.mark.parametrize("verb", ["ping", "check", "bench", "describe"])
def test_nobody_there_is_status_two_and_one_line(ask, nobody, verb):
    """The script that asked can tell it from a server that does not fit."""
    robot = ROBOT if verb in ("check", "bench") else ()
    status, out, err = ask(verb, *robot, "--server", nobody, "--timeout-ms", "300")
    assert (status, out) == (2, "")
    assert "nobody listens" in err and err.count("\n") == 1


def test_an_error_as_json_names_its_kind(ask_json, nobody):
    """Programs need not read sentences."""
    status, found = ask_json("ping", "--server", nobody, "--timeout-ms", "300")
    assert (status, found["kind"]) == (2, "UnreachableError")


@pytest.mark.parametrize("words", [("ping", "--server", "x"), ("infer",), ("check", "--nonsense")])
def test_wrong_usage_is_status_two(ask, words):
    """With the reason on stderr."""
    status, out, err = ask(*words)
    assert (status, out) == (2, "") and f"gr00t sidecar {words[0]}" in err


def test_a_wrong_token_is_a_problem_and_no_token_is_shown(ask, hold, monkeypatch):
    """From the environment, which other clients use too."""
    port = hold(token=Token("s3cret-right"))
    monkeypatch.setenv("GROOT_POLICY_API_TOKEN", "s3cret-wrong")
    status, out, err = ask("ping", "--server", port)
    assert status == 1 and "Unauthorized" in err and "s3cret" not in out + err
    monkeypatch.setenv("GROOT_POLICY_API_TOKEN", "s3cret-right")
    assert ask("ping", "--server", port)[0] == 0


def test_a_pickling_server_is_refused_with_the_way_out(ask, hold):
    """Generation T."""
    status, _, err = ask("ping", "--server", hold(generation="T"))
    assert status == 1 and "update its Isaac-GR00T checkout" in err


def test_host_port_and_timeout_come_from_the_environment_and_options_win(
    ask, hold, nobody, monkeypatch
):
    """So that a shell set up for another client works as it is."""
    port = hold()
    monkeypatch.setenv("GROOT_POLICY_HOST", "127.0.0.1")
    monkeypatch.setenv("GROOT_POLICY_PORT", port.rpartition(":")[2])
    monkeypatch.setenv("GROOT_POLICY_TIMEOUT_MS", "20000")
    assert ask("ping")[0] == 0
    monkeypatch.setenv("GROOT_POLICY_TIMEOUT_MS", "300")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        status, _, err = ask("ping", "--server", f"127.0.0.1:{mute.getsockname()[1]}")
    assert status == 2 and "300 ms" in err
    assert ask("ping", "--server", nobody)[0] == 2, "an option wins over the environment"


@pytest.mark.parametrize("generation", LABELS)
def test_check_of_a_server_that_fits(ask_json, hold, generation):
    """Every row matches, the chunk has the embodiment's shape, and it says how long that took."""
    status, found = ask_json("check", *ROBOT, "--server", hold(generation=generation))
    assert (status, found["verdict"]) == (0, "fits")
    silent = {"representation"} if generation == "A0" else set()  # N1.5 does not tell
    assert {row["verdict"] for row in found["rows"]} == {"matches"} | silent
    assert found["actions"]["joint_position"] == [40, 7]
    assert found["key_style"] == ("flat" if generation == "A0" else "nested")


def test_check_finds_flat_keys_and_tells_the_slow_first_inference_from_the_next(ask_json, hold):
    """The inference that finds the key style is the one that warms the server up."""
    status, found = ask_json("check", *ROBOT, "--server", hold("late=2000:1", flat=True))
    assert (status, found["key_style"]) == (0, "flat")
    assert found["warmup_ms"] >= 2000 and found["warmup_ms"] > found["inference_ms"]


def test_check_of_a_server_that_does_not_fit_shows_every_row_and_infers_nothing(ask, hold):
    """What is missing, and wrong in history and horizon, beside what matches."""
    words = ("check", "--server", hold("garbage"), "--embodiment", "franka_droid_n16")
    status, out, _ = ask(*words)
    assert status == 1
    lines = [line.split() for line in out.splitlines()]
    assert ["state", "eef_9d", "MISSING", "!", "none", "expected"] in lines
    assert any(line[:4] == ["video", "wrist_image_left", "HISTORY", "!"] for line in lines)
    assert any("HORIZON" in line for line in lines) and any("matches" in line for line in lines)
    assert "5 of 10 rows do not fit" in out and "warmup" not in out


@pytest.mark.parametrize(
    ("fault", "text"), [("shape", "got shape"), ("nan", "nan in row 39"), ("error=oom", "oom")]
)
def test_check_shows_the_rows_also_where_the_inference_fails(ask, hold, fault, text):
    """The config may fit and the answer not."""
    status, out, _ = ask("check", *ROBOT, "--server", hold(fault))
    assert status == 1 and "matches" in out and "inference failed" in out and text in out


def test_check_of_a_server_that_cannot_be_reset_is_a_problem(ask, serve, robot):
    """Else the robot's first episode would show it."""

    class Stubborn(HoldPolicy):
        def reset(self, options):
            raise RuntimeError("no such history")

    address = serve(Stubborn(robot)).address.removeprefix("tcp://")
    status, out, _ = ask("check", *ROBOT, "--server", address)
    assert status == 1 and "matches" in out and "no such history" in out


def test_strict_counts_what_a_server_would_tolerate(ask, hold, robot, monkeypatch):
    """A camera that nobody looks at costs bandwidth; by option or by the others' name."""
    policy = HoldPolicy(robot)
    video = policy.modality["video"]
    policy.modality = dict(policy.modality, video=replace(video, keys=video.keys[:1]))
    port = hold(policy=policy)
    status, out, _ = ask("check", *ROBOT, "--server", port)
    assert status == 0 and "extra" in out and out.endswith("fits\n")
    assert ask("check", *ROBOT, "--server", port, "--strict")[0] == 1
    monkeypatch.setenv("GROOT_POLICY_STRICT", "true")
    assert ask("check", *ROBOT, "--server", port)[0] == 1
    assert ask("check", *ROBOT, "--server", port, "--no-strict")[0] == 0


def test_the_tag_of_the_environment_picks_the_embodiment(ask_json, hold, monkeypatch, robot):
    """The one shipped file that has it and is nobody's variant; of several none is taken."""
    monkeypatch.setenv("GROOT_EMBODIMENT_TAG", robot.tag)
    assert ask_json("check", "--server", hold())[1]["embodiment"].endswith("/franka_droid.yaml")
    monkeypatch.setenv("GROOT_EMBODIMENT_TAG", "new_embodiment")
    status, found = ask_json("check", "--server", hold())
    assert (status, found["kind"]) == (2, "UnreadableError")
    assert "so100.yaml" in found["problem"] and "desk6.yaml" in found["problem"]
    monkeypatch.setenv("GROOT_EMBODIMENT_TAG", "no_such_robot")
    status, found = ask_json("check", "--server", hold())
    assert (status, found["kind"]) == (2, "UnreadableError")


def test_bench_counts_and_orders_its_percentiles(ask_json, hold):
    """Delays of the server are in the inference and not in the ping."""
    status, found = ask_json("bench", *ROBOT, "--server", hold("late=60"), "--count", "5")
    assert (status, found["ping"]["count"], found["inference"]["count"]) == (0, 5, 5)
    assert 60 <= found["inference"]["p50_ms"] <= found["inference"]["p99_ms"]
    assert found["ping"]["p50_ms"] <= found["ping"]["p99_ms"] <= found["ping"]["max_ms"]


def test_infer_sends_the_file_s_observation_and_shows_the_action(ask_json, hold, observation):
    """The hold policy gives the state back, so the values went there and came back."""
    words = ("infer", *ROBOT, "--server", hold(), "--observation", observation())
    status, found = ask_json(*words)
    assert (status, found["problem"]) == (0, "")
    joints = found["actions"]["joint_position"]
    assert joints["shape"] == [40, 7] and joints["first_step"] == [0.25] * 7
    assert (joints["lowest"], joints["highest"]) == ([0.25] * 7, [0.25] * 7)


def test_infer_prints_ranges_as_a_table(ask, hold, observation):
    """For people; an instruction of the command line is taken."""
    words = ("--observation", observation(), "--instruction", "go")
    status, out, _ = ask("infer", *ROBOT, "--server", hold(), *words)
    assert status == 0 and "[40, 7]" in out and "0.25 0.25" in out


def test_infer_shows_what_is_wrong_with_an_action(ask_json, hold, observation):
    """The check's two inferences go well, the third has the NaN: JSON stays JSON."""
    status, found = ask_json(
        "infer", *ROBOT, "--server", hold("nan:3+"), "--observation", observation()
    )
    assert status == 1 and "nan in row 39" in found["problem"]
    assert found["actions"]["joint_position"]["lowest"][-1] == "nan"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state.joint_position": None}, "missing state.joint_position"),
        ({"video.top": np.zeros(1)}, "unknown video.top"),
        ({"state.eef_9d": np.zeros((1, 9))}, "got float64 (1, 9), expected float32 (1, 9)"),
        ({"state.eef_9d": np.zeros((1, 8), "f4")}, "(1, 8)"),
        ({"instruction": np.array([{}], object)}, "no .npz of plain arrays"),
    ],
)
def test_infer_refuses_a_file_that_is_no_observation(ask, hold, observation, changes, text):
    """By name, before it is sent; nothing is unpickled."""
    status, _, err = ask(
        "infer", *ROBOT, "--server", hold(), "--observation", observation(**changes)
    )
    assert status in (1, 2) and text in err


@pytest.mark.parametrize("content", [None, b"", b"not a zip"])
def test_infer_of_no_file_is_status_two(ask, hold, tmp_path, content):
    """Wrong usage."""
    path = tmp_path / "file.npz"
    if content is not None:
        path.write_bytes(content)
    assert ask("infer", *ROBOT, "--server", hold(), "--observation", str(path))[0] == 2


def test_describe_writes_a_new_file_and_never_over_one(ask, hold, tmp_path):
    """Somebody may have filled it in."""
    path = tmp_path / "mine.yaml"
    words = ("describe", "--server", hold(), "--output", str(path), "--tag", "my_robot")
    assert ask(*words)[0] == 0
    assert 'embodiment_tag: "my_robot"' in path.read_text()
    path.write_text("filled in")
    assert ask(*words)[0] == 2 and path.read_text() == "filled in"
    status, _, err = ask("check", "--server", "127.0.0.1:1", "--embodiment", str(path))
    assert status == 1 and "mine.yaml" in err


def test_describe_prints_to_stdout_where_no_file_is_named(ask, hold):
    """For a pipe."""
    status, out, _ = ask("describe", "--server", hold())
    assert (
        status == 0
        and out.startswith("# Begun by `gr00t sidecar describe` from")
        and "FILL_IN" in out
    )
