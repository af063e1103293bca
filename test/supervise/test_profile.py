"""A sidecar profile is read strictly, and the shipped ones match upstream's scripts."""

from dataclasses import replace
from pathlib import Path

import pytest

from gr00t_ros.errors import ProfileError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.supervise.profile import Overrides, load_profile, parse

SHIPPED = sorted(p.stem for p in (Path(__file__).parents[2] / "config" / "sidecar").glob("*.yaml"))
SMALL = {"command": ["{python}", "serve.py", "--port", "{port}"], "model_version": "N1.7"}


def test_what_is_not_said_has_safe_defaults():
    """Loopback, a free port, a time limit."""
    profile = parse(SMALL, "small", "small.yaml")
    assert (profile.host, profile.port) == ("127.0.0.1", 0)
    assert 0 < profile.ready_timeout_s < 3600 and profile.stop_timeout_s > 0
    assert profile.environment == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"comand": ["x"]}, "unknown key 'comand'.*did you mean 'command'"),
        ({"name": "x"}, "unknown key 'name'"),
        ({"command": None}, "command: got None, expected a list"),
        ({"command": "python serve.py"}, "expected a list"),
        ({"command": ["x", "{prot}"]}, r"unknown \{prot\}, known: python"),
        ({"command": ["x", "{port"]}, "'{port'"),
        ({"command": ["x", "{port:d}"]}, r"'{port:d}': got a format .*expected {port} alone"),
        ({"command": ["x", "{host!x}"]}, "got a format or conversion behind host"),
        ({"command": ["x", "{port:>10000000000}"]}, "got a format or conversion behind port"),
        ({"command": ["x", "{port.real}"]}, r"unknown {port\.real}"),
        ({"command": ["x", "{model_path}"]}, "the command needs model_path"),
        ({"command": ["x", True]}, r"command\[1\]: got True"),
        ({"port": 70000}, "port: got 70000"),
        ({"port": "5555"}, "port: got '5555'"),
        ({"ready_timeout_s": 0}, "ready_timeout_s: got 0"),
        ({"environment": {"A": None}}, "environment.A: got None"),
        ({"image": "gr00t-dev"}, "image and {container}"),
        ({"command": ["docker", "run", "{container}"]}, "image and {container}"),
        ({"host": ""}, "host: got ''"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(change, reason):
    """The message has file, key, what was got and what was expected."""
    with pytest.raises(ProfileError, match=f"small.yaml: .*{reason}"):
        parse({**SMALL, **change}, "small", "small.yaml")


@pytest.mark.parametrize("missing", ["command", "model_version"])
def test_a_profile_without_command_or_version_is_refused(missing):
    """Without a version nobody could tell the license."""
    with pytest.raises(ProfileError, match=f"missing {missing}"):
        parse({k: v for k, v in SMALL.items() if k != missing}, "small", "small.yaml")


def test_numbers_in_a_command_are_their_text():
    """YAML makes numbers of what the server reads as text."""
    content = {**SMALL, "command": ["x", 8, 0.5], "environment": {"N": 1}}
    profile = parse(content, "small", "small.yaml")
    assert (profile.command, profile.environment) == (("x", "8", "0.5"), {"N": "1"})


def test_overrides_win_and_only_where_they_are_given():
    """What an operator does not say stays as the profile has it."""
    profile = load_profile("n17").serving(load_embodiment("franka_droid"))
    changed = Overrides(model_path="/ckpt", port=5555).apply(profile)
    assert (changed.model_path, changed.port, changed.device) == ("/ckpt", 5555, "cuda:0")
    with pytest.raises(ProfileError, match="the command needs device"):
        Overrides(device="").apply(profile)
    with pytest.raises(ProfileError, match="port: got 70000, expected 0 to 65535"):
        Overrides(port=70000).apply(profile)


UPSTREAM = [name for name in SHIPPED if name not in ("hold", "scripted", "n15", "n15_tensorrt")]


@pytest.mark.parametrize("name", UPSTREAM)
def test_a_server_of_upstreams_serves_the_tag_of_the_embodiment_unless_told_otherwise(name):
    """N1.7 takes a tag's value, N1.6 the enum's names alone; NEW_EMBODIMENT is no checkpoint's."""
    profile = load_profile(name)
    assert profile.embodiment_tag == "" and "{embodiment_tag}" in profile.command
    robot = load_embodiment("unitree_g1_n16" if name.startswith("n16") else "unitree_g1")
    tag = "UNITREE_G1" if name.startswith("n16") else robot.tag
    assert Overrides().apply(profile.serving(robot)).embodiment_tag == tag
    assert Overrides(embodiment_tag="X").apply(profile.serving(robot)).embodiment_tag == "X"
    assert replace(profile, embodiment_tag="Y").serving(robot).embodiment_tag == "Y"
    with pytest.raises(ProfileError, match="needs embodiment_tag, .*name an embodiment"):
        Overrides().apply(profile)


def test_an_n16_server_is_not_started_with_a_tag_that_it_cannot_have():
    """It would load the weights five times to say so."""
    with pytest.raises(ProfileError, match=r"N1.6 server .*franka_droid.yaml has no server_tags"):
        load_profile("n16").serving(load_embodiment("franka_droid"))
    given = replace(load_profile("n16"), embodiment_tag="OXE_DROID")
    assert given.serving(load_embodiment("franka_droid")).embodiment_tag == "OXE_DROID"


def test_every_tag_of_a_file_for_n16_is_a_name_of_its_enum():
    """embodiments.md of this project, from Isaac-GR00T N1.6's tags file."""
    known = {"OXE_DROID", "UNITREE_G1", "GR1", "LIBERO_PANDA", "OXE_WIDOWX", "OXE_GOOGLE"}
    found = {}
    for path in (Path(__file__).parents[2] / "config" / "embodiments").glob("*.yaml"):
        robot = load_embodiment(str(path))
        if "N1.6" in robot.server_tags:
            found[path.stem] = robot.server_tags["N1.6"]
            own = found[path.stem] in known
            assert own is (robot.tag != "new_embodiment")
    assert {name for name in found if name.endswith("_n16")} == {
        *("franka_droid_n16", "panda_droid_n16", "unitree_g1_n16")
    }
    assert known == set(found.values()) - {"NEW_EMBODIMENT"}


@pytest.mark.parametrize("name", ["hold", "scripted"])
def test_a_server_of_ours_serves_the_nodes_own_file(name):
    """Also one that no profile knows."""
    robot = load_embodiment("desk6")
    profile = Overrides().apply(load_profile(name).serving(robot))
    assert "{embodiment}" in profile.command and profile.embodiment == robot.source


def test_the_tensorrt_server_gets_the_flags_that_it_has():
    """N1.5's inference_service.py."""
    words = load_profile("n15_tensorrt").command
    at = words.index("--use-tensorrt")
    assert words[at + 1] == "--trt-engine-path" and "--inference-mode" not in words
    assert load_profile("n17_docker").image == "gr00t"


def test_an_unknown_name_lists_the_known_ones():
    """And a path that is not there is said to be one."""
    with pytest.raises(ProfileError, match=r"'n99': no such file.*known: .*n15.*n16.*n17"):
        load_profile("n99")
    with pytest.raises(ProfileError, match=r"file 'x/n99.yaml': no such file"):
        load_profile("x/n99.yaml")


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_profile_can_be_read_and_says_how_to_install_it(name):
    """Loopback and a free port wherever the server has the options."""
    profile = load_profile(name)
    assert profile.host == "127.0.0.1" and profile.port == 0
    assert "{port}" in profile.command
    assert ("{host}" in profile.command) is not name.startswith("n15"), "N1.5 has no such option"
    assert profile.install or profile.python == ""


@pytest.mark.parametrize(
    ("name", "version", "script", "options"),
    [
        ("n15", "N1.5", "scripts/inference_service.py", {"--server", "--data-config"}),
        ("n15_tensorrt", "N1.5", "scripts/inference_service.py", {"--use-tensorrt"}),
        ("n16", "N1.6", "gr00t/eval/run_gr00t_server.py", {"--model-path", "--device"}),
        ("n16_sim_wrapper", "N1.6", "gr00t/eval/run_gr00t_server.py", {"--use-sim-policy-wrapper"}),
        ("n17", "N1.7", "gr00t/eval/run_gr00t_server.py", {"--model-path", "--device"}),
        ("n17_sim_wrapper", "N1.7", "gr00t/eval/run_gr00t_server.py", {"--use-sim-policy-wrapper"}),
        ("n17_nf4", "N1.7", "gr00t/eval/run_gr00t_server.py", {"{nf4}", "--model-path"}),
        ("n17_replay", "none", "gr00t/eval/run_gr00t_server.py", {"--dataset-path"}),
        ("n17_docker", "N1.7", "gr00t/eval/run_gr00t_server.py", {"docker", "--rm", "--name"}),
    ],
)
def test_upstream_s_scripts_get_the_options_they_have(name, version, script, options):
    """As read in Isaac-GR00T's sources; the replay server must get no model path."""
    profile = load_profile(name)
    assert profile.model_version == version
    assert options | {script} <= set(profile.command)
    assert ("--model-path" in profile.command) is (name != "n17_replay")
