"""What of a status is an event for the log, what goes to /diagnostics, which limits are near."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import KeyValue  # noqa: E402

from gr00t_ros.msg import PolicyStatus  # noqa: E402
from gr00t_ros.node import status as reported  # noqa: E402
from gr00t_ros.node.replay_thread import Snapshot  # noqa: E402
from gr00t_ros.node.status import event_of, limits_left  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.session.mode import Mode  # noqa: E402
from gr00t_ros.session.schedule import SessionCounts  # noqa: E402

AGE = "state.x: newest sample on /joint_states is {} s old, at most 0.10 s allowed"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (AGE.format("0.11"), AGE.format("12.50"), True),
        ("history reaches back 0.058 s of 1 s", "history reaches back 0.9 s of 1 s", True),
        ("held at -0.1, measured 0.2", "held at 1.0, measured -0.002", True),
        ("3 answers refused in a row", "4 answers refused in a row", True),
        ("fr3_joint1: held", "fr3_joint2: held", False),
        ("/camera/1/image", "/camera/2/image", False),
        ("policy server 10.0.0.7:5555: x", "policy server 10.0.0.8:5555: x", False),
        ("policy server 10.0.0.7:5555: x", "policy server 10.0.0.7:5556: x", False),
        ("a camera is late", "a camera is black", False),
        ("stamp of x is late by 1 s", "stamp of y is late by 1 s", False),
    ],
)
def test_a_reason_of_which_only_numbers_change_is_the_same_event(one, other, same):
    """Names with digits in them, topics and addresses are no numbers."""
    assert (event_of("paused", one) == event_of("paused", other)) is same


def test_another_mode_is_another_event():
    """Also with the same reason."""
    assert event_of("stopping", "x") != event_of("paused", "x")


def test_diagnostics_show_what_the_status_says_of_commit_rtc_and_clearance():
    """Each with its key and text."""
    keys = (reported.COMMIT, reported.RTC, reported.CLEARANCE, f"{reported.CONTACT}wrist")
    details = [KeyValue(key=key, value=f"of {key}") for key in keys]
    status = PolicyStatus(mode="ready", details=details)
    values = [pair for entry in reported.diagnostics(status).status for pair in entry.values]
    found = {pair.key: pair.value for pair in values}
    assert {key: found.get(key) for key in keys} == {key: f"of {key}" for key in keys}


def test_the_joints_closest_to_their_limits_are_named_without_the_gripper():
    """By their share of the range; a gripper at its end is no news, and outside is below 0."""
    limits = load_embodiment("franka_droid").limits
    measured = (limits.lower + limits.upper) / 2.0
    measured[3] = limits.lower[3] + limits.margin[3] - 0.01
    measured[1] = limits.upper[1] - limits.margin[1] - 0.02
    measured[7:] = limits.lower[7:]
    found = [(pair.key, pair.value) for pair in limits_left(limits, measured)]
    assert [key for key, _ in found[:2]] == [
        "to limit fr3_joint4 [rad or m]",
        "to limit fr3_joint2 [rad or m]",
    ]
    assert found[0][1].startswith("-0.0100, at ") and found[1][1].startswith("0.0200, at ")
    assert len(found) == 3 and "fr3_joint" in found[2][0]
    assert limits_left(limits, None) == []


class Silent(reported.Reporter):
    """A reporter whose status has nothing but mode and reason; keeps what it logs."""

    def __init__(self):
        self.said = []
        logger = SimpleNamespace(warning=self.said.append, info=lambda text: None)
        topic = SimpleNamespace(publish=lambda message: None)
        super().__init__(
            SimpleNamespace(get_logger=lambda: logger, create_publisher=lambda *_: topic)
        )

    def _of_session(self, parts, values, snapshot):
        return PolicyStatus(mode=snapshot.mode.value, reason=snapshot.reason)

    def _fill(self, message, parts, snapshot):
        pass

    def see(self, refused, refusal, reason=""):
        """The next look, at an event or half a second later."""
        self._due_s = 0.0
        counts = SessionCounts(refused=refused, refusal=refusal)
        snapshot = Snapshot(Mode.REPLAYING, reason, 1, counts, False)
        server = SimpleNamespace(entries=lambda: [])
        self.report(SimpleNamespace(replay=SimpleNamespace(snapshot=snapshot), server=server), None)


def test_the_newest_refused_answer_is_in_the_log_while_the_arm_goes_on():
    """No status shows it then; what the reason of the mode says is not said twice."""
    reporter = Silent()
    for refused, refusal in ((0, ""), (1, "a jump"), (1, "a jump"), (3, "too fast")):
        reporter.see(refused, refusal)
    assert reporter.said == [
        "refused 1 answers of the policy server, the last: a jump",
        "refused 3 answers of the policy server, the last: too fast",
    ]
    reporter.see(4, "NaN", "no chunk left to play: NaN")
    assert len(reporter.said) == 2
    reporter.see(0, "")  # configured anew
    reporter.see(1, "a jump")
    assert reporter.said[2:] == ["refused 1 answers of the policy server, the last: a jump"]
