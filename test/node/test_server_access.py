"""Parameters override the environment for the server's access, and no secret is logged."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.node.server import defaults_of, read_access  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS, PARAMETERS  # noqa: E402
from gr00t_ros.wire.curve import (
    new_pair,  # noqa: E402
    write_pair,  # noqa: E402
)

SECRET = "s3cret-t0ken"
ENVIRONMENT = {
    "GROOT_POLICY_HOST": "thor.local",
    "GROOT_POLICY_PORT": "5556",
    "GROOT_POLICY_TIMEOUT_MS": "900",
    "GROOT_POLICY_API_TOKEN": SECRET,
    "GROOT_POLICY_STRICT": "1",
    "GROOT_EMBODIMENT_TAG": "oxe_droid",
}


def started(**given):
    """The values of a node in that environment which was given these parameters."""
    return replace(DEFAULTS, **(defaults_of(ENVIRONMENT) | given))


def test_every_name_becomes_the_default_of_a_parameter():
    """Those of the table stay where the environment says nothing."""
    assert defaults_of(ENVIRONMENT) == {
        "host": "thor.local",
        "port": 5556,
        "timeout_ms": 900,
        "strict": True,
        "embodiment": "tag:oxe_droid",
    }
    assert defaults_of({}) == {} and set(defaults_of(ENVIRONMENT)) <= set(PARAMETERS)


def test_the_log_says_where_each_setting_came_from_and_never_the_token():
    """Environment, parameter over environment, parameter, default."""
    origins = read_access(started(port=7777), ENVIRONMENT).origins
    assert "host thor.local (GROOT_POLICY_HOST)" in origins
    assert "port 7777 (parameter, wins over GROOT_POLICY_PORT)" in origins
    assert "strict true (GROOT_POLICY_STRICT)" in origins
    assert "embodiment tag:oxe_droid (GROOT_EMBODIMENT_TAG)" in origins
    assert "api token from GROOT_POLICY_API_TOKEN, CURVE off" in origins
    origins = read_access(replace(DEFAULTS, port=7777), {}).origins
    assert "host 127.0.0.1 (default), port 7777 (parameter)" in origins
    assert "strict false (default)" in origins and "api token none" in origins


def test_a_token_file_wins_over_ours_and_ours_over_the_others(tmp_path):
    """And nothing of what is written down has any of them."""
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    file.chmod(0o600)
    variables = ENVIRONMENT | {"GR00T_API_TOKEN": "of-ours"}
    for values, token, origin in (
        (replace(DEFAULTS, api_token_file=str(file)), "of-the-file", f"from file {file}"),
        (DEFAULTS, "of-ours", "from GR00T_API_TOKEN"),
    ):
        access = read_access(values, variables)
        assert access.token is not None and access.token.reveal() == token
        assert origin in access.origins
        assert not any(s in repr(access) for s in ("of-the-file", "of-ours", SECRET))


def test_a_token_is_read_again_from_its_file(tmp_path):
    """Whoever renews it does not configure the node anew; a variable cannot change."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("first")
    access = read_access(replace(DEFAULTS, api_token_file=str(file)), ENVIRONMENT)
    file.write_text("second")
    assert access.read_token().reveal() == "second"
    assert read_access(DEFAULTS, ENVIRONMENT).read_token().reveal() == SECRET
    assert read_access(DEFAULTS, {}).read_token() is None
    file.unlink()
    with pytest.raises(SettingsError, match=f"api token file {file}"):
        access.read_token()


def test_keys_come_in_pairs(tmp_path):
    """The secret one is read, and neither shown nor asked for without the server's."""
    for name in ("server", "arm1"):
        write_pair(tmp_path, name, *new_pair())
    server, robot = str(tmp_path / "server.public"), str(tmp_path / "arm1.secret")
    access = read_access(replace(DEFAULTS, curve_server_key=server, curve_client_key=robot), {})
    assert access.curve is not None and access.curve.server_public in Path(server).read_text()
    assert f"CURVE with {robot}" in access.origins
    assert access.curve.secret.reveal() not in repr(access)
    for half in ({"curve_server_key": server}, {"curve_client_key": robot}):
        with pytest.raises(SettingsError, match="expected both or neither"):
            read_access(replace(DEFAULTS, **half), {})


def test_a_variable_that_cannot_be_meant_is_refused_by_name():
    """Before the node exists."""
    with pytest.raises(SettingsError, match="GROOT_POLICY_PORT"):
        defaults_of({"GROOT_POLICY_PORT": "5555 "})


def test_secrets_that_others_can_read_are_refused_with_what_to_do(tmp_path):
    """The token and the robot's key; the server's public one may be read by all."""
    for name in ("server", "arm1"):
        write_pair(tmp_path, name, *new_pair())
    token, server = tmp_path / "token", tmp_path / "server.public"
    robot = tmp_path / "arm1.secret"
    token.write_text("of-the-file\n")
    with_token = replace(DEFAULTS, api_token_file=str(token))
    with_keys = replace(DEFAULTS, curve_server_key=str(server), curve_client_key=str(robot))
    for values, file in ((with_token, token), (with_keys, robot)):
        file.chmod(0o644)
        with pytest.raises(SettingsError, match=f"mode 644.*chmod 600 {file}") as error:
            read_access(values, {})
        assert file.read_text().strip() not in str(error.value)
        file.chmod(0o600)
        read_access(values, {})
    assert server.stat().st_mode & 0o044


@pytest.mark.parametrize("robot_id", ["é", "a" * 65])
def test_a_robot_id_that_no_server_takes_is_refused(robot_id):
    """In configure, before the server could refuse it."""
    with pytest.raises(SettingsError, match="robot_id: got"):
        read_access(replace(DEFAULTS, robot_id=robot_id), {})
