"""A query leaves with the picture that completes an observation, and never later than it may."""

from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.observe.moment import (
    MOST_WAIT_NS,
    SHARE,
    UNLIMITED_NS,
    CameraTiming,
    PicturePeriod,
    QueryTimes,
    leave_by_ns,
    wait_until_ns,
)

MS = 1_000_000
T = 1_000 * MS
PERIOD = 33 * MS


def left(phases_ms, periods_ms, times, armed_ns=T, stops=False):
    """When a query leaves that is armed then, and how old its pictures are; cameras keep step."""
    grid = list(zip(phases_ms, periods_ms, strict=True))

    def cameras(now_ns):
        seen_ns = min(now_ns, armed_ns) if stops else now_ns
        return [
            CameraTiming(seen_ns - (seen_ns - phase * MS) % (period * MS), period * MS)
            for phase, period in grid
        ]

    by_ns = leave_by_ns(cameras(armed_ns), armed_ns, times)
    now_ns = armed_ns
    while True:
        until_ns = wait_until_ns(cameras(now_ns), now_ns, times.earliest_ns, by_ns)
        if until_ns <= now_ns:
            return now_ns, by_ns, [now_ns - one.arrived_ns for one in cameras(now_ns)]
        arrivals_ns = [one.arrived_ns + one.period_ns for one in cameras(now_ns)]
        now_ns = min([until_ns] + ([] if stops else [a for a in arrivals_ns if a > now_ns]))


def test_the_next_picture_is_waited_for_unless_the_last_one_is_young() -> None:
    """One camera whose pictures come at T + 20 ms and every 33 ms."""
    assert left([20 + 1000], [33], QueryTimes())[0] == T + 20 * MS
    young = T + 20 * MS + PERIOD // SHARE
    assert left([20 + 1000], [33], QueryTimes(), armed_ns=young)[0] == young
    assert left([20 + 1000], [33], QueryTimes(), armed_ns=young + 1)[0] == T + 53 * MS


def test_of_cameras_in_step_the_last_picture_is_waited_for() -> None:
    """Frames within a few milliseconds of each other belong together."""
    assert left([1010, 1013, 1012], [33, 33, 33], QueryTimes())[0] == T + 13 * MS


def test_of_cameras_apart_neither_is_waited_for_twice() -> None:
    """Half a period apart, any arrival is as good as the next."""
    left_ns, _, ages = left([1010, 1026], [33, 33], QueryTimes())
    assert left_ns == T + 10 * MS and max(ages) == 17 * MS


def test_of_several_rates_the_slowest_decides() -> None:
    """60 and 15 Hz: the picture that comes rarely is the one that becomes old."""
    assert left([1005, 1040], [16, 66], QueryTimes())[0] == T + 40 * MS


def test_a_query_waits_until_it_is_due_and_leaves_by_its_latest_time() -> None:
    """It is told a little before; where its time runs out it goes with what is there."""
    assert left([1020], [33], QueryTimes(T + 21 * MS))[0] == T + 21 * MS
    assert left([1020], [33], QueryTimes(T + 30 * MS))[0] == T + 53 * MS
    assert left([1020], [33], QueryTimes(T, T + 10 * MS))[0] <= T + 10 * MS
    assert left([1020], [33], QueryTimes(T, T - 10 * MS))[0] == T


def test_a_camera_that_stops_costs_one_period_and_a_margin() -> None:
    """The watches say that it is late; a slow camera is waited for no longer than another."""
    assert left([1020], [33], QueryTimes(), stops=True)[0] == T + 33 * MS + 33 * MS // 4
    assert left([1020], [1000], QueryTimes(), stops=True)[0] <= T + MOST_WAIT_NS


PERIODS = st.lists(st.integers(2, 1200), min_size=0, max_size=3)


@settings(max_examples=examples(100), deadline=None)
@given(
    periods_ms=PERIODS,
    seed=st.randoms(use_true_random=False),
    due_ms=st.integers(-500, 30),
    room_ms=st.one_of(st.none(), st.integers(-100, 200)),
    stops=st.booleans(),
)
def test_it_never_leaves_before_it_is_due_nor_after_its_bound(
    periods_ms, seed, due_ms, room_ms, stops
) -> None:
    """Whatever the cameras do; and while they go on, it leaves with an arrival or a young set."""
    earliest_ns = T + due_ms * MS
    latest_ns = UNLIMITED_NS if room_ms is None else earliest_ns + room_ms * MS
    phases_ms = [1000 + seed.randrange(period) for period in periods_ms]
    left_ns, by_ns, ages_ns = left(
        phases_ms, periods_ms, QueryTimes(earliest_ns, latest_ns), stops=stops
    )
    slowest_ns = max(periods_ms, default=0) * MS
    begin_ns = max(T, earliest_ns)
    assert left_ns <= by_ns <= max(T, latest_ns)
    assert by_ns <= begin_ns + min(slowest_ns + slowest_ns // 4, MOST_WAIT_NS)
    assert left_ns >= min(earliest_ns, by_ns)
    if not stops and T <= earliest_ns < left_ns < by_ns:
        assert min(ages_ns) == 0, "it left at an arrival"


@settings(max_examples=examples(100), deadline=None)
@given(
    cameras=st.lists(
        st.builds(CameraTiming, st.integers(-(2**62), 2**62), st.integers(1, 2**40)), max_size=3
    ),
    now_ns=st.integers(0, 2**62),
    earliest_ns=st.integers(-(2**62), 2**62),
    by_ns=st.integers(-(2**62), 2**62),
)
def test_clocks_that_jump_or_stand_still_never_extend_the_wait(
    cameras, now_ns, earliest_ns, by_ns
) -> None:
    """Arrivals in the future, due times in the past, any order of all: it ends by the bound."""
    assert wait_until_ns(cameras, now_ns, earliest_ns, by_ns) <= max(by_ns, now_ns)


def test_the_period_is_measured_over_pictures_that_nobody_took() -> None:
    """By the publisher's numbers; a restart, an odd stamp or no number changes nothing."""
    pace = PicturePeriod(PERIOD)
    assert pace.period_ns == PERIOD
    for number in (10, 12, 13, 16):
        pace.see(number, T + number * 66 * MS)
    assert pace.period_ns == 66 * MS
    for number, stamp_ns in ((3, T), (4, T - 1), (None, T + 5), (9, T + 7)):
        pace.see(number, stamp_ns)
    assert pace.period_ns == 66 * MS
    for number in range(20, 30):
        pace.see(number, number)  # a stamp that counts nanoseconds
    assert pace.period_ns == PERIOD
