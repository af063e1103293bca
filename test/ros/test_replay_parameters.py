"""What the parameters of the replay offer, configure takes, or their text says why not."""

import re
from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.ros.parameter_values import replay
from gr00t_ros.ros.parameters import DEFAULTS, PARAMETERS

NUMBERS = sorted(
    name
    for name, row in PARAMETERS.items()
    if row.low is not None
    and hasattr(DEFAULTS, name)
    # a parameter belongs to the replay if its settings change with it
    and replay(replace(DEFAULTS, **{name: row.high}))
    != replay(replace(DEFAULTS, **{name: row.low}))
)


def offered(name: str) -> list[float]:
    """Every whole number that the descriptor offers, or the ends of its range."""
    descriptor = PARAMETERS[name].descriptor()
    for one in descriptor.integer_range:
        return list(range(one.from_value, one.to_value + 1, one.step))
    (one,) = descriptor.floating_point_range
    return [one.from_value, one.to_value]


def refusal(values: dict[str, float]) -> str:
    """Why configure refuses the defaults with these values; empty if it does not."""
    try:
        replay(replace(DEFAULTS, **values)).check()
    except SettingsError as error:
        return str(error)
    return ""


def test_the_numbers_of_the_replay_are_found() -> None:
    """At least those that motion.md speaks of."""
    assert {"knot_ms", "refresh_ms", "commit_ms", "horizon_ms", "fade_ms", "velocity_scale"} == set(
        NUMBERS
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_each_value_that_is_offered_is_taken_or_the_text_says_the_rule(name: str) -> None:
    """A refusal names parameters and ms, and the descriptor has the same rule."""
    text = PARAMETERS[name].descriptor().description
    for value in offered(name):
        said = refusal({name: value})
        if said:
            refused, rule = re.fullmatch(
                r"(\w+): got \d+, expected at least \d+ = (.*)", said
            ).groups()
            assert refused in PARAMETERS and name in (refused, *re.findall(r"\w+_ms", rule))
            assert f"{refused} at least" in text, (value, said)
            assert not re.search(r"_ns\b|\d{6}", said)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_end_of_a_range_is_taken_with_some_value_of_the_others(name: str) -> None:
    """No end is offered that nothing allows."""
    for value in (offered(name)[0], offered(name)[-1]):
        roomy = {"refresh_ms": PARAMETERS["refresh_ms"].low, "commit_ms": 152, "horizon_ms": 1000}
        tight = {"knot_ms": 10, "refresh_ms": 10, "commit_ms": 72}
        assert "" in [refusal({**roomy, name: value}), refusal({**tight, name: value})], value


def test_the_defaults_are_those_of_the_settings() -> None:
    """Units are converted in one place, both ways."""
    assert replay(DEFAULTS) == ReplaySettings()
