"""The pool's rules: what is admitted, sent once more or refused; one reply to each request."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.errors import RemoteError, SettingsError
from gr00t_ros.pool.admission import Expectation, longest_wait_ns
from gr00t_ros.pool.core import BATCHES, RANGES, Answered, PoolCore, PoolLimits
from gr00t_ros.watch.server import Outlook, outlook_of
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import decode, encode

MS = 1_000_000
BATCH_MS = 100
CHUNK = encode([{"joints": [0.0]}, {}], "npy")


def frame(endpoint="get_action", **fields):
    """A request."""
    return encode({"endpoint": endpoint, **fields}, "npy")


def answer(error=False, batch_ms=BATCH_MS, replica="a"):
    """A replica's answer."""
    return Answered(CHUNK, error, replica, batch_ms * MS, batch_ms * MS)


def text_of(reply):
    """The error text of a reply, empty for another one."""
    found = decode(reply.frame)
    return found.get("error", "") if isinstance(found, dict) else ""


@pytest.fixture
def make():
    """A core with two replicas that has seen one batch of 100 ms."""

    def core(token=None, replicas=2, **limits):
        made = PoolCore(PoolLimits(**{"rate_hz": 1e6, "burst": 1_000_000, **limits}), token)
        made.replicas, made.modality = replicas, encode({"video": 1}, "npy")
        for _ in range(20):
            made.expected.saw_batch(BATCH_MS * MS)
        return made

    return core


def ask(core, client, request=None, now_ns=0):
    """Send one request; its reply, or the number of its job."""
    return core.request(client, (str(client).encode(), b""), (request or frame(),), now_ns)


def test_a_request_goes_to_a_replica_without_its_token_and_its_answer_back(make):
    """To the one who asked; the bytes of the answer are the replica's."""
    core = make(Token("right"))
    number = ask(core, "arm", frame(data={"observation": 1}, api_token="right"))
    assert bytes(core.job(number).frame) == frame(data={"observation": 1})
    reply = core.answered(number, answer(), 120 * MS)
    assert (reply.route, reply.frame) == ((b"arm", b""), CHUNK)
    assert core.state()["answers"] == {"a": 1}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (frame(api_token="wrong"), "Unauthorized"),
        (frame(), "Unauthorized"),
        (b"\xc1", "request: "),
        (frame("kill", api_token="right"), "Unknown endpoint"),
        (frame("ping", api_token="right") + bytes(2000), "request of"),
    ],
)
def test_what_is_not_valid_reaches_no_replica(make, request_, text):
    """The token is checked before anything is decoded."""
    core = make(Token("right"), max_request_bytes=1024)
    assert text_of(ask(core, "arm", request_)).startswith(text)
    assert core.counts.refused == 1 and core.state()["in_flight"] == 0


def test_ping_modality_and_reset_are_answered_by_the_front(make):
    """A ping shows the pool; a reset would be that of other robots too."""
    core = make()
    pong = decode(ask(core, "arm", frame("ping")).frame)
    assert pong["status"] == "ok" and pong["pool"]["replicas"] == 2
    assert decode(ask(core, "arm", frame("get_modality_config")).frame) == {"video": 1}
    assert "skipped" in decode(ask(core, "arm", frame("reset")).frame)


def test_a_request_that_would_be_late_is_refused_at_once_and_passes(make):
    """Three batches of 100 ms fit in 320 ms: 2 replicas x 4 rows x 2 batches, and the first."""
    core = make(rows=4, deadline_ms=320)
    taken = [ask(core, robot) for robot in range(40)]
    jobs = [one for one in taken if isinstance(one, int)]
    assert len(jobs) == 2 * 4 * 2 + 1
    (text,) = {text_of(one) for one in taken if not isinstance(one, int)}
    assert text == "busy: an answer is expected in 415 ms, at most 320 ms allowed"
    assert outlook_of(RemoteError("", text)) is Outlook.PASSES


def test_a_pool_that_is_full_or_has_no_replica_still_says_so(make):
    """A ping costs nothing, and shows what is wrong; so a robot's check finds the server."""
    core = make(rows=4, deadline_ms=320)
    taken = [ask(core, robot) for robot in range(40)]
    busy = sum(not isinstance(one, int) for one in taken)
    for core.replicas in (2, 0):
        assert decode(ask(core, "arm", frame("ping")).frame)["pool"]["busy"] == busy
        assert decode(ask(core, "arm", frame("get_modality_config")).frame) == {"video": 1}


def test_after_one_slow_batch_requests_are_taken_again(make):
    """The first call may compile: without a request nothing would show that this is over."""
    core = make(deadline_ms=320)
    core.answered(ask(core, 0), answer(batch_ms=60_000), MS)
    first = ask(core, 1)
    assert isinstance(first, int) and not isinstance(ask(core, 2), int)


def test_no_replica_is_busy(make):
    """At once, and it passes."""
    text = text_of(ask(make(replicas=0), "arm"))
    assert text == "busy: no replica of the policy is ready"


def test_a_lost_replica_costs_one_retry_and_no_more(make):
    """The second loss is an error that passes."""
    core = make()
    first = ask(core, "arm")
    second = core.lost(first, "ActorDiedError", 10 * MS)
    assert isinstance(second, int) and core.job(second).tries == 2
    reply = core.lost(second, "ActorDiedError", 20 * MS)
    assert outlook_of(RemoteError("", text_of(reply))) is Outlook.PASSES
    assert (core.counts.lost, core.counts.retried, core.counts.failed) == (2, 1, 1)


def test_a_retry_that_would_be_late_is_not_made(make):
    """The robot hears at once that no answer comes."""
    core = make(deadline_ms=320)
    reply = core.lost(ask(core, "arm"), "ActorDiedError", 250 * MS)
    assert text_of(reply).startswith("busy: a replica of the policy was lost")


def test_at_the_deadline_the_robot_hears_busy_and_the_late_answer_is_dropped(make):
    """A chunk of an old observation is of no use."""
    core = make(deadline_ms=320)
    number = ask(core, "arm")
    assert core.next_expiry_ns() == 320 * MS
    (reply,) = core.expired(320 * MS)
    assert text_of(reply) == "busy: not answered in 320 ms"
    assert core.answered(number, answer(), 400 * MS) is None
    assert core.lost(number, "ActorDiedError", 400 * MS) is None


def test_replicas_that_hang_do_not_fill_the_memory_with_requests_that_were_given_up(make):
    """Each robot asks again after each deadline; one replica that hangs does not stop the other."""
    core = make(rows=4, deadline_ms=320, replicas=1)
    now_ns, numbers = 0, []
    for _ in range(100):
        found = [ask(core, robot, now_ns=now_ns) for robot in range(10)]
        numbers += [one for one in found if isinstance(one, int)]
        now_ns += 320 * MS
        core.expired(now_ns)
    assert BATCHES * 4 < len(numbers) <= 2 * BATCHES * 4 + 10
    text = text_of(ask(core, "arm", now_ns=now_ns))
    assert "given up" in text and outlook_of(RemoteError("", text)) is Outlook.PASSES
    assert core.state()["given_up"] == len(numbers)
    for number in numbers:
        core.lost(number, "ActorDiedError", now_ns)
    assert isinstance(ask(core, "arm", now_ns=now_ns), int) and core.state()["given_up"] == 0


def test_a_ping_stays_readable_however_many_replicas_there_were(make):
    """Replicas that are replaced again and again have a new name each."""
    core = make()
    for number in range(5_000):
        core.answered(ask(core, "arm"), answer(replica=f"host:{number}"), MS)
    core.answered(ask(core, "arm"), answer(replica="host:4000"), MS)
    answers = decode(ask(core, "arm", frame("ping")).frame)["pool"]["answers"]
    assert len(answers) <= 1024 and answers["host:4000"] == 2


def test_one_client_cannot_fill_the_pool(make):
    """As the proxy: two requests of one client at a time."""
    core = make()
    taken = [ask(core, "greedy") for _ in range(5)]
    assert [isinstance(one, int) for one in taken] == [True, True, False, False, False]
    assert isinstance(ask(core, "arm"), int)


@pytest.mark.parametrize("name", RANGES)
def test_a_limit_outside_its_range_names_itself(name):
    """Both ends."""
    low, high = RANGES[name]
    for value in (low - 1, high + 1, float("nan")):
        with pytest.raises(SettingsError, match=name):
            PoolLimits(**{name: value})


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 200)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_each_request_gets_exactly_one_reply(events):
    """Whatever the order of requests, answers, losses and deadlines is."""
    core = PoolCore(PoolLimits(deadline_ms=300, rate_hz=1e6, burst=1_000_000))
    core.replicas = 1
    replies, jobs, now_ns, asked = [], [], 0, 0
    for kind, which, step_ms in events:
        now_ns += step_ms * MS
        replies += core.expired(now_ns)
        found = None
        if kind in (0, 3):
            asked += 1
            found = ask(core, which, now_ns=now_ns)
        elif jobs:
            number = jobs.pop(which % len(jobs))
            found = (
                core.answered(number, answer(), now_ns)
                if kind == 1
                else core.lost(number, "ActorDiedError", now_ns)
            )
        if isinstance(found, int):
            jobs.append(found)
        elif found is not None:
            replies.append(found)
    replies += core.expired(now_ns + 1000 * MS)
    assert len(replies) == asked and core.state()["in_flight"] == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.integers(1, 40), st.integers(1, 64), st.integers(1, 500))
def test_more_before_it_is_never_sooner_and_more_replicas_never_later(ahead, more, rows, batch_ms):
    """The law behind the admission and behind scaling."""
    expected = Expectation(rows, 5 * MS)
    expected.saw_batch(batch_ms * MS)
    now = expected.after_ns(ahead, 2)
    assert expected.after_ns(ahead + more, 2) >= now >= expected.after_ns(ahead, 2 + more)
    wait_ns = longest_wait_ns(rows, 5 * MS, expected.batch_ns)
    assert expected.after_ns(0, 1) == wait_ns + expected.batch_ns
