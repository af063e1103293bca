"""launcher: the command and its environment are right, or an error says what to do."""

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from docker_stand_in import IMAGE
from server_profiles import profile_of, script

from gr00t_ros.errors import LaunchError, ProfileError, UnreachableError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.supervise.launcher import free_port, listens_beyond, prepare, server_environment
from gr00t_ros.supervise.profile import Overrides, load_profile, parse
from gr00t_ros.supervise.supervisor import Supervisor

DROID = load_embodiment("franka_droid")
SERVING = {name: load_profile(name).serving(DROID) for name in ("n17", "n17_nf4")}
NODE = {
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    "LD_LIBRARY_PATH": "/opt/ros/jazzy/lib",
    "PYTHONPATH": "/opt/ros/jazzy/lib/python3.12/site-packages",
    "AMENT_PREFIX_PATH": "/opt/ros/jazzy",
    "VIRTUAL_ENV": "/venv",
    "GR00T_API_TOKEN": "secret",
    "PATH": f"{sys.prefix}/bin:/usr/bin",
    "CUDA_VISIBLE_DEVICES": "1",
    "HF_TOKEN": "hf",
}


def test_another_python_gets_nothing_that_is_the_node_s():
    """Neither its libraries nor its modules, prefixes, token or executables; the GPU it does."""
    profile = profile_of("x.py", python="/other/bin/python", environment={"A": "b"})
    own = server_environment(profile, NODE)
    assert own == {
        "PATH": "/usr/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "HF_TOKEN": "hf",
        "PYTHONUNBUFFERED": "1",
        "A": "b",
    }


def test_our_own_server_finds_our_modules():
    """In a workspace they are on PYTHONPATH alone; the loader's variables are no use to it."""
    own = server_environment(profile_of("x.py"), NODE)
    assert own["PYTHONPATH"] == NODE["PYTHONPATH"] and own["GR00T_API_TOKEN"] == "secret"
    assert not {"_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH"} & set(own)


def test_the_profile_s_own_variables_win():
    """Also over what is stripped: who writes LD_LIBRARY_PATH into a profile means it."""
    profile = profile_of("x.py", python="/p", environment={"LD_LIBRARY_PATH": "/usr/lib/nvpl"})
    assert server_environment(profile, NODE)["LD_LIBRARY_PATH"] == "/usr/lib/nvpl"


@pytest.fixture
def groot(tmp_path):
    """A folder that looks like an Isaac-GR00T checkout with its environment."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    server = tmp_path / "gr00t" / "eval" / "run_gr00t_server.py"
    server.parent.mkdir(parents=True)
    server.write_text("")
    return tmp_path


def test_the_command_of_upstream_s_script_is_what_its_readme_says(groot):
    """All placeholders are filled; the interpreter is the checkout's, its link not followed."""
    spec = prepare(Overrides(working_directory=str(groot)).apply(SERVING["n17"]), 5556)
    assert spec.command == (
        *(f"{groot}/.venv/bin/python", "gr00t/eval/run_gr00t_server.py"),
        *("--model-path", "nvidia/GR00T-N1.7-3B", "--embodiment-tag", DROID.tag),
        *("--device", "cuda:0", "--host", "127.0.0.1", "--port", "5556"),
    )
    assert (spec.directory, spec.container) == (str(groot), None)


def test_the_nf4_wrapper_stands_before_the_script_and_hides_no_module(groot):
    """Python puts its folder first on the module path: nothing else may lie there."""
    spec = prepare(Overrides(working_directory=str(groot)).apply(SERVING["n17_nf4"]), 5556)
    wrapper = Path(spec.command[1])
    assert spec.command[2] == "gr00t/eval/run_gr00t_server.py"
    assert {path.name for path in wrapper.parent.glob("*.py")} == {"nf4.py", "__init__.py"}


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("gr00t/eval/run_gr00t_server.py", "its script .*/run_gr00t_server.py is not there"),
        (".venv/bin/python", "its python .*/.venv/bin/python is not there"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_installs_it(groot, missing, reason):
    """Not a traceback of the server's, not a path that nobody knows."""
    (groot / missing).unlink()
    profile = Overrides(working_directory=str(groot)).apply(SERVING["n17"])
    with pytest.raises(LaunchError, match=rf"n17: {reason}; install it with: git clone .*uv sync"):
        prepare(profile, 5556)


def test_a_missing_folder_or_checkpoint_is_named(groot):
    """A checkpoint is no part of the installation."""
    with pytest.raises(LaunchError, match="working_directory /no/such is not there; install"):
        prepare(Overrides(working_directory="/no/such").apply(SERVING["n17"]), 5556)
    given = Overrides(working_directory=str(groot), model_path="/no/such/checkpoint")
    with pytest.raises(LaunchError, match="model_path /no/such/checkpoint is not there$"):
        prepare(given.apply(SERVING["n17"]), 5556)


def test_a_checkpoint_beside_the_script_is_there_and_no_other(groot, monkeypatch):
    """A relative path begins where the server runs; other words may be names of the hub."""
    monkeypatch.chdir("/")
    (groot / "checkpoints").mkdir()
    given = Overrides(working_directory=str(groot))
    for path in ("./checkpoints", "gr00t/../checkpoints", "nvidia/GR00T-N1.7-3B"):
        prepare(replace(given, model_path=path).apply(SERVING["n17"]), 5556)
    for path in ("./tmp", "../checkpoints"):
        with pytest.raises(LaunchError, match=f"model_path {groot / path} is not there$"):
            prepare(replace(given, model_path=path).apply(SERVING["n17"]), 5556)


@pytest.mark.parametrize("port", [0, 5556])
@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "x" * 300])
def test_a_host_that_cannot_be_looked_up_is_named_with_the_profile(host, port):
    """Whether a port is chosen for it or given."""
    profile = profile_of("x.py", host=host, port=port)
    with pytest.raises(LaunchError, match=rf"^sidecar profile test: host '{host[:60]}"):
        Supervisor(profile)
        prepare(profile, port)


def of_image(image):
    """A profile of a container."""
    command = ["docker", "run", "--rm", "--name", "{container}", "{image}", "serve"]
    content = {"command": command, "model_version": "none", "image": image, "install": "make it"}
    return parse(content, "boxed", "boxed.yaml")


def test_a_container_has_a_name_of_its_own_each_time(docker):
    """By which it is ended; two nodes never share one."""
    first, second = (prepare(of_image(IMAGE), 5556) for _ in range(2))
    assert first.container in first.command and first.container != second.container
    assert first.docker == "docker"


def test_a_missing_image_is_named_and_a_silent_docker_is_no_missing_image(docker):
    """The image can be built; a daemon may still be starting, so it is tried again."""
    with pytest.raises(LaunchError, match="its image other is not there; install it with: make it"):
        prepare(of_image("other"), 5556)
    docker.terminate()
    docker.wait(10)
    with pytest.raises(UnreachableError, match="image inspect .*Cannot connect to the Docker"):
        prepare(of_image(IMAGE), 5556)


def test_a_port_in_use_is_said_before_anything_starts():
    """Else the check would take another server for ours."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port} is taken"):
            prepare(script("pass"), port)


def test_a_free_port_is_none_that_others_are_given_by_chance():
    """Between choice and start nobody who asks the kernel for a port can get it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest = int(file.read().split()[0])
    assert 1024 < free_port("127.0.0.1") < lowest


@pytest.mark.parametrize(
    ("host", "beyond"), [("127.0.0.1", False), ("0.0.0.0", True), ("::", True), ("::1", False)]
)
def test_where_a_server_really_listens_is_seen(host, beyond):
    """N1.5's server ignores the host that it is given."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        assert listens_beyond(listener.getsockname()[1]) is beyond


@pytest.mark.parametrize("folder", ["~nobody_of_this_name/groot", "x" * 5000])
def test_a_path_that_no_file_can_have_is_a_file_that_is_missing(groot, folder):
    """Neither ends a configure with a traceback: it is named as the others are."""
    path = f"{folder}/a"
    where = r"(~nobody_of_this_name|x+)"
    profile = Overrides(working_directory=str(groot)).apply(SERVING["n17"])
    Supervisor(replace(profile, working_directory=path))  # it looks there for a license
    with pytest.raises(LaunchError, match=f"working_directory {where}/.* is not there; install"):
        prepare(replace(profile, working_directory=path), 5556)
    with pytest.raises(LaunchError, match=f"its python .*{where}/.* is not there"):
        prepare(replace(profile, python=path), 5556)
    if folder.startswith("~"):
        with pytest.raises(LaunchError, match=f"model_path .*{where}/.* is not there"):
            prepare(replace(profile, model_path=path), 5556)


def test_a_variable_that_no_environment_can_have_is_refused_with_its_place():
    """Else the watcher died of it, and the reason was that somebody had killed it."""
    content = {"command": ["true"], "model_version": "none", "environment": {"A=B": "c"}}
    with pytest.raises(ProfileError, match=r"environment\.A=B: a variable's name has no ="):
        parse(content, "it", "it.yaml")
