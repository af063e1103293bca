"""The block contact of an embodiment file: read strictly, each error with its place."""

import pytest

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.contact.sources import ContactSource, read_contacts
from gr00t_ros.robot.field import Field

TORQUES = {
    "type": "external_torques",
    "topic": "/torques",
    "names": ["a", "b"],
    "thresholds": [20, 12.5],
    "source": "the manual",
}


def read(**sources: object) -> tuple[ContactSource, ...]:
    """The sources of a block."""
    return read_contacts(Field(sources, "it", "contact").entries())


def test_each_type_is_read_with_its_defaults() -> None:
    """Only efforts learn a bias; a flag has no values to average."""
    torques, wrist, flag, effort = read(
        torques=TORQUES,
        wrist={"type": "wrench", "topic": "/w", "threshold": 30, "source": "us", "average_s": 0.1},
        robot={"type": "flag", "topic": "/hit"},
        effort={"type": "effort", "topic": "/joint_states", "names": ["a"]},
    )
    assert torques == ContactSource(
        *("torques", "external_torques", "/torques", ("a", "b"), (20.0, 12.5), "the manual"),
        average_ns=10_000_000,
    )
    assert (wrist.names, wrist.thresholds, wrist.average_ns) == (("x", "y", "z"), (30.0,), 10**8)
    assert (wrist.unit, torques.unit) == ("N", "Nm")
    assert flag.reacts and not flag.average_ns
    assert not effort.reacts and effort.learn_ns == 3 * 10**9


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "touch"}, r"contact.t.type: got 'touch', expected one of external_torques, "),
        ({"thresholds": [20]}, "t.thresholds: got 1 thresholds, expected one for each of 2"),
        ({"thresholds": [20, 0]}, r"thresholds\[1\]: got 0, expected a number above 0"),
        ({"thresholds": [20, float("nan")]}, "expected a finite number"),
        ({"source": None}, "source: got None, expected a text"),
        ({"average_s": 1.0}, "average_s: got 1.0, expected a finite number from 0.001 to 0.2"),
        ({"learn_s": 1.0}, "unknown key 'learn_s'"),
        ({"topic": "not a topic"}, "expected a ROS topic name"),
    ],
)
def test_a_wrong_source_is_refused_with_its_place(change: dict[str, object], error: str) -> None:
    """What was got, and what was expected."""
    with pytest.raises(EmbodimentError, match=error):
        read(t={**TORQUES, **change})


@pytest.mark.parametrize("missing", ["thresholds", "source"])
def test_thresholds_and_their_source_come_together(missing: str) -> None:
    """A number that nobody can trace is refused."""
    place = {key: value for key, value in TORQUES.items() if key != missing}
    with pytest.raises(EmbodimentError, match="expected both or none"):
        read(t=place)


def test_a_source_without_a_type_and_the_same_topic_twice_are_refused() -> None:
    """Two watches on one message would react twice."""
    with pytest.raises(EmbodimentError, match="contact.t: missing type, expected one of"):
        read(t={"topic": "/t"})
    with pytest.raises(EmbodimentError, match="contact.two: got external_torques of /torques, "):
        read(one=TORQUES, two=TORQUES)
