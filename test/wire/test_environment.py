"""The environment variables of other GR00T clients are read, and invalid values are refused."""

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.access import Environment, read_environment

ALL = {
    "GROOT_POLICY_HOST": "thor.local",
    "GROOT_POLICY_PORT": "5556",
    "GROOT_POLICY_TIMEOUT_MS": "2000",
    "GROOT_POLICY_API_TOKEN": "s3cret",
    "GROOT_POLICY_STRICT": "True",
    "GROOT_EMBODIMENT_TAG": "unitree_g1",
}


def test_every_name_is_understood():
    """Those of the issue, each in its own type."""
    found = read_environment(ALL)
    assert (found.host, found.port, found.timeout_ms) == ("thor.local", 5556, 2000)
    assert (found.strict, found.embodiment_tag) == (True, "unitree_g1")
    assert found.token is not None and found.token.reveal() == "s3cret"


@pytest.mark.parametrize("environment", [{}, dict.fromkeys(ALL, "")])
def test_what_is_unset_or_empty_says_nothing(environment):
    """An empty variable is how a shell unsets one for a single command."""
    assert read_environment(environment) == Environment()


def test_our_own_name_of_the_token_wins():
    """Both may be set where two clients share an environment."""
    found = read_environment(ALL | {"GR00T_API_TOKEN": "ours"})
    assert found.token is not None and found.token.reveal() == "ours"


def test_the_token_is_not_in_the_repr():
    """Nor in a log line that shows the settings."""
    assert "s3cret" not in repr(read_environment(ALL))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GROOT_POLICY_PORT", "0"),
        ("GROOT_POLICY_PORT", "65536"),
        ("GROOT_POLICY_PORT", "5555.0"),
        ("GROOT_POLICY_PORT", "-1"),
        ("GROOT_POLICY_PORT", "\u0663"),
        ("GROOT_POLICY_TIMEOUT_MS", "15s"),
        ("GROOT_POLICY_TIMEOUT_MS", "9" * 5000),
        ("GROOT_POLICY_STRICT", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(name, text):
    """A typo must not silently become the default."""
    with pytest.raises(SettingsError, match=name):
        read_environment({name: text})


def test_a_token_that_is_none_is_refused_without_being_quoted():
    """A blank in it is a mistake in quoting, and still a secret."""
    with pytest.raises(SettingsError) as caught:
        read_environment({"GROOT_POLICY_API_TOKEN": "hush now"})
    assert "hush" not in str(caught.value)
