"""The watch on contacts: averages, bias and thresholds; nothing hides a contact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.watch.contact import ContactWatch
from gr00t_ros.watch.finding import Reaction

MS = 1_000_000
STEP_NS = 2 * MS
AVERAGE_NS = 20 * MS
LIMITS = (20.0, 12.0)
NAMES = ("shoulder", "wrist")


def torques(learn_ns: int = 0, thresholds: tuple[float, ...] = LIMITS) -> ContactWatch:
    """A watch on two joints, with values every 2 ms."""
    kind = "effort" if learn_ns else "external_torques"
    source = ContactSource("arm", kind, "/t", NAMES, thresholds, "us", AVERAGE_NS, learn_ns)
    return ContactWatch(source, 200 * MS)


class Feed:
    """Gives a watch one message every 2 ms, by its publisher's and by our clock."""

    def __init__(self, watch: ContactWatch) -> None:
        self.watch, self.now_ns = watch, 10**12

    def __call__(self, *values: float, count: int = 1, moving: bool = False) -> None:
        """The same values `count` times."""
        for _ in range(count):
            self.now_ns += STEP_NS
            self.watch.take(self.now_ns + 5 * 10**9, values, self.now_ns, moving)

    def found(self, fault: bool = False) -> list[str]:
        """The reasons of the present findings."""
        return [one.reason for one in self.watch.findings(self.now_ns, fault)]


def test_values_below_their_thresholds_are_no_finding() -> None:
    """Whatever their sign; the status shows the value that is largest beside its threshold."""
    feed = Feed(torques())
    feed(-19.9, 11.9, count=20)
    assert feed.found() == []
    assert feed.watch.text(feed.now_ns) == "shoulder 19.90 of 20 Nm"


@pytest.mark.parametrize(("fault", "reaction"), [(False, Reaction.PAUSE), (True, Reaction.FAULT)])
def test_a_contact_stops_soon_and_names_joint_value_and_threshold(
    fault: bool, reaction: Reaction
) -> None:
    """The parameter decides between pause and fault."""
    feed = Feed(torques())
    feed(0.0, -13.0, count=20)
    (found,) = feed.watch.findings(feed.now_ns, fault)
    assert (found.watch, found.reaction, found.soon) == ("contact", reaction, True)
    assert found.reason == (
        "contact arm on /t: wrist 13.0 Nm, at most 12 allowed; free the arm, and look at what it "
        "touched"
    )


def test_a_contact_between_two_ticks_is_found_although_it_is_gone() -> None:
    """Once; the next tick finds nothing."""
    feed = Feed(torques())
    feed(50.0, 0.0, count=20)
    feed(0.0, 0.0, count=20)
    assert len(feed.found()) == 1
    assert feed.found() == []


@settings(max_examples=examples(100), deadline=None)
@given(
    st.floats(-20.0, 20.0),
    st.floats(-12.0, 12.0),
    st.floats(-0.9, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_a_constant_bias_never_triggers_once_it_is_learned(
    shoulder: float, wrist: float, share: float, seed: int
) -> None:
    """Nor does it with noise below the thresholds on top."""
    feed = Feed(torques(learn_ns=200 * MS))
    feed(shoulder, wrist, count=150, moving=True)
    assert feed.found() == []
    random = np.random.default_rng(seed)
    for _ in range(100):
        noise = share * random.uniform(0.0, 1.0)
        feed(shoulder + noise * LIMITS[0], wrist + noise * LIMITS[1], moving=True)
        assert feed.found() == []


@settings(max_examples=examples(100), deadline=None)
@given(
    st.sampled_from([0, 1]),
    st.sampled_from([-1.0, 1.0]),
    st.floats(1e-3, 1e3),
    st.floats(-0.99, 0.99),
)
def test_a_step_above_its_threshold_triggers_within_the_average(
    joint: int, sign: float, above: float, before: float
) -> None:
    """Whatever was measured before it, inside the thresholds."""
    feed = Feed(torques())
    feed(before * LIMITS[0], before * LIMITS[1], count=50)
    assert feed.found() == []
    step = [0.0, 0.0]
    step[joint] = sign * (LIMITS[joint] + above)
    feed(*step, count=AVERAGE_NS // STEP_NS + 1)
    (reason,) = feed.found()
    assert NAMES[joint] in reason


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([0, 1]),
)
def test_nan_never_hides_a_contact(usable: list[bool], bad: float, joint: int) -> None:
    """In whatever messages it comes: a finding stays in every tick, and no average is spoiled."""
    feed = Feed(torques())
    feed(30.0, 30.0, count=20)
    assert feed.found()
    values = [30.0, 30.0]
    values[joint] = bad
    for good in usable:
        feed(*([30.0, 30.0] if good else values))
        assert any("at most" in reason for reason in feed.found())


def test_values_that_are_not_finite_are_a_finding_of_their_own() -> None:
    """It names joint and value, and ends once they were good for as long as a silence may last."""
    feed = Feed(torques())
    feed(1.0, 1.0)
    feed(1.0, np.nan)
    assert feed.found() == ["contact arm on /t: got wrist nan, expected finite numbers"]
    feed(1.0, 1.0, count=100)
    assert feed.found()
    feed(1.0, 1.0)
    assert feed.found() == []


def test_too_few_values_are_a_finding() -> None:
    """What was got, and what was expected."""
    feed = Feed(torques())
    feed(1.0)
    assert feed.found()[0] == ("contact arm on /t: got 1 values, expected 2: shoulder, wrist")


def test_silence_is_a_finding() -> None:
    """Before the first message, and beyond the limit after the last; a sleep does not count."""
    feed = Feed(torques())
    assert "nothing usable received" in feed.found()[0]
    feed(0.0, 0.0)
    feed.now_ns += 200 * MS
    assert feed.found() == []
    feed.now_ns += MS
    assert "last usable message 0.20 s ago, at most 0.20 s allowed" in feed.found()[0]
    assert feed.watch.findings(feed.now_ns, False, lambda age_ns: age_ns // 2) == ()


def test_a_source_without_thresholds_is_only_shown() -> None:
    """It finds nothing, not even its own silence."""
    feed = Feed(torques(thresholds=()))
    assert feed.found() == []
    feed(500.0, 0.0, count=20)
    assert feed.found() == []
    assert feed.watch.text(feed.now_ns) == (
        "shoulder 500.00 Nm; no thresholds in the file, only shown"
    )


def test_a_bias_is_learned_from_motion_alone_and_its_progress_is_shown() -> None:
    """Until then nothing is found, and the status says so."""
    feed = Feed(torques(learn_ns=100 * MS))
    feed(8.0, 0.0, count=500)
    feed(8.0, 0.0, count=26, moving=True)
    text = feed.watch.text(feed.now_ns)
    assert "learns its bias: 0.1 of 0.1 s of free motion, finds no contact until then" in text
    feed(8.0, 0.0, count=100, moving=True)
    assert "bias" not in feed.watch.text(feed.now_ns)
    np.testing.assert_allclose(feed.watch.residual, [0.0, 0.0], atol=1e-9)
    feed(30.0, 0.0, count=20)
    assert "shoulder 22.0 Nm, at most 20 allowed" in feed.found()[0]


def test_a_bias_that_would_be_a_contact_by_itself_is_a_finding() -> None:
    """Learned in a contact, or with masses or signs that do not fit."""
    feed = Feed(torques(learn_ns=100 * MS))
    feed(0.0, 40.0, count=100, moving=True)
    assert "learned bias of wrist is 40.0 Nm, expected at most its threshold 12" in feed.found()[0]


def test_a_publisher_whose_clock_went_back_begins_a_new_average() -> None:
    """Otherwise no value would ever leave it."""
    feed = Feed(torques())
    feed(0.0, 0.0, count=20)
    feed.now_ns += STEP_NS
    feed.watch.take(7, (25.0, 0.0), feed.now_ns, False)
    assert feed.found()


def test_a_force_is_compared_by_its_length() -> None:
    """3, 4 and 12 N are 13 N."""
    source = ContactSource("wrist", "wrench", "/w", ("x", "y", "z"), (12.9,), "us", AVERAGE_NS)
    watch = ContactWatch(source, 200 * MS)
    watch.take(1, (3.0, -4.0, 12.0), 1, False)
    (found,) = watch.findings(1, False)
    assert "force 13.0 N, at most 12.9 allowed" in found.reason


def test_a_flag_needs_no_threshold() -> None:
    """True is a contact, false is none, and its silence is a finding."""
    watch = ContactWatch(ContactSource("robot", "flag", "/hit"), 200 * MS)
    assert watch.findings(0, True)
    watch.take(1, (0.0,), 1, False)
    assert watch.findings(1, True) == ()
    assert watch.text(1) == "no contact"
    watch.take(2, (1.0,), 2, False)
    (found,) = watch.findings(2, True)
    assert "the robot reports a contact" in found.reason
    assert watch.text(2) == "contact"


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.sampled_from([(0,), (1,), (0, 1), (1, 0)]), min_size=20, max_size=60),
    st.sampled_from([0, 1]),
    st.floats(1e-3, 1e3),
)
def test_values_in_several_messages_are_found_as_those_of_one(
    parts: list[tuple[int, ...]], joint: int, above: float
) -> None:
    """Each has an average of its own, by the clock of its own publisher."""
    feed = Feed(torques())
    feed(1.0, 1.0)
    values = [1.0, 1.0]
    values[joint] = LIMITS[joint] + above
    for columns in [*parts, *[(joint,)] * 11]:
        feed.now_ns += STEP_NS
        at_ns = feed.now_ns + (7 * 10**9 if columns == (0,) else 0)
        feed.watch.take(at_ns, [values[one] for one in columns], feed.now_ns, False, columns)
    (reason,) = feed.found()
    assert NAMES[joint] in reason


def test_only_the_values_that_do_not_come_are_silent() -> None:
    """Named, whether they came once or never."""
    feed = Feed(torques())
    feed.watch.take(1, [1.0], feed.now_ns, False, [0])
    assert "nothing usable received of wrist, others come" in feed.found()[0]
    feed.watch.take(1, [1.0], feed.now_ns, False, [1])
    assert feed.found() == []
    feed.now_ns += 201 * MS
    feed.watch.take(2, [1.0], feed.now_ns, False, [0])
    (reason,) = feed.found()
    assert "last usable message of wrist 0.20 s ago, at most 0.20 s allowed" in reason


def test_two_publishers_are_a_finding_that_hides_no_contact() -> None:
    """With the reaction of a contact; only shown of a source that finds none."""
    feed = Feed(torques())
    feed(50.0, 0.0, count=20)
    found = feed.watch.findings(feed.now_ns, True, mixed="two publishers at once (a, b)")
    assert [one.reaction for one in found] == [Reaction.FAULT] * 2
    assert "at most 20 allowed" in found[0].reason
    assert found[1].reason == "contact arm on /t: two publishers at once (a, b)"
    shown = torques(thresholds=())
    assert shown.findings(0, True, mixed="two publishers at once (a, b)") == ()
    assert "two publishers at once (a, b)" in shown.text(0, "two publishers at once (a, b)")
