"""RateLimit: each client has a burst, then a steady rate; old clients are forgotten."""

from gr00t_ros.serve.front import MAX_REMEMBERED, RateLimit

S = 1_000_000_000


def test_a_burst_then_so_many_a_second():
    """10 at once, then 5 in each second, however they are spread."""
    rate = RateLimit(5.0, 10)
    assert [rate.allows("a", 0) for _ in range(12)] == [True] * 10 + [False] * 2
    allowed = sum(rate.allows("a", S * i // 100) for i in range(1, 1001))
    assert 49 <= allowed <= 50


def test_clients_do_not_use_up_each_others_rate():
    """And an idle one saves no more than the burst."""
    rate = RateLimit(1.0, 2)
    assert [rate.allows("a", 0) for _ in range(3)] == [True, True, False]
    assert rate.allows("b", 0)
    assert [rate.allows("a", 3600 * S) for _ in range(3)] == [True, True, False]


def test_only_so_many_clients_are_remembered():
    """A stranger who comes under ever new names fills no memory."""
    rate = RateLimit(1.0, 1)
    for number in range(3 * MAX_REMEMBERED):
        rate.allows(number, 0)
    assert len(rate._levels) == MAX_REMEMBERED


def test_what_is_charged_is_paid_back_at_the_rate():
    """And no more than the burst can be owed."""
    rate = RateLimit(1.0, 10)
    assert rate.allows("a", 0)
    rate.charge("a", 100)
    assert not rate.allows("a", 0) and rate.allows("b", 0)
    assert rate.allows("a", 1 * S) and not rate.allows("a", 1 * S)
