"""The proxy's rules with batches: each request gets its own row, whoever else is in the batch."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import SettingsError
from gr00t_ros.proxy.core import Limits, ProxyCore
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import decode, encode

MS = 1_000_000
BEHIND = Token("s3cret-behind")


def request(number, width=1, array_codec="npy"):
    """A request that is told apart by its state; a server echoes it in the action."""
    state = np.full((1, 1, width), number, np.float32)
    data = {"observation": {"state": {"arm": state}, "language": {"task": [[f"task {number}"]]}}}
    return encode({"endpoint": "get_action", "data": data}, array_codec)


def numbers(frame):
    """The numbers of a forwarded request."""
    observation = decode(frame)["data"]["observation"]
    found = [round(float(row[0, 0])) for row in observation["state"]["arm"]]
    assert observation["language"]["task"] == [[f"task {number}"] for number in found]
    return found


def answer(frame, bad=(), most=99, text="bad"):
    """What a server answers that refuses these numbers, and batches above `most`."""
    if "data" not in decode(frame):
        return encode({"status": "ok"}, "npy")
    found = numbers(frame)
    if len(found) > most or set(found) & set(bad):
        return encode({"error": f"{text} {found}"}, "npy")
    state = decode(frame)["data"]["observation"]["state"]["arm"]
    return encode([{"arm": np.repeat(state, 2, axis=1)}, {}], "npy")


def got(reply):
    """The number in a reply, or the text of its error."""
    found = decode(reply.frame)
    return found["error"] if isinstance(found, dict) else round(float(found[0]["arm"][0, 0, 0]))


class Robots:
    """A core, its clients' requests, and what each of them got."""

    def __init__(self, upstream_token=None, **limits):
        self.core = ProxyCore(
            Limits(rate_hz=1e6, burst=1_000_000, **{"batch": 8} | limits), None, upstream_token
        )
        self.got, self.asked, self.now_ns = {}, 0, 0

    def ask(self, *clients, width=1, frame=None):
        """Send one request of each client; return their numbers."""
        sent = []
        for client in clients:
            sent.append(self.asked)
            route = (client.encode(), str(self.asked).encode())
            self.asked += 1
            made = request(sent[-1], width) if frame is None else frame
            self.take(self.core.request(client, route, (made,), self.now_ns))
        return sent

    def take(self, replies):
        """Note the replies; each request gets one at most."""
        for reply in replies:
            number = int(reply.route[1])
            assert number not in self.got, "a second reply"
            self.got[number] = got(reply) if b"status" not in bytes(reply.frame) else reply.frame

    def next(self):
        """The numbers that are forwarded now; None if nothing is."""
        frame = self.core.next_frame(self.now_ns)
        if frame is None:
            return None
        self.frame = frame
        return numbers(frame)

    def land(self, ms=50, **server):
        """Answer what was forwarded, after so many ms."""
        reply = answer(self.frame, **server)
        self.now_ns += ms * MS
        self.take(self.core.answered(reply, self.now_ns))


def test_all_that_wait_go_together_and_each_gets_its_own():
    """The first goes at once; those that come meanwhile are one batch, in the order of turns."""
    robots = Robots()
    robots.ask("a")
    assert robots.next() == [0]
    robots.ask(*"bcd")
    assert robots.next() is None
    robots.land()
    robots.ask("a")  # comes back at once
    assert robots.next() == [1, 2, 3, 4]
    robots.land()
    assert robots.got == {number: number for number in range(5)}
    assert (robots.core.counts.batches, robots.core.counts.batched) == (1, 4)


def test_two_half_batches_do_not_alternate():
    """The second half waits for the first, which comes back within the pause, one by one."""
    robots = Robots()
    robots.ask(*"abcd")
    assert robots.next() == [0, 1, 2, 3]
    robots.ask(*"efgh")
    robots.land()
    for client in "abcd":
        assert robots.next() is None and robots.core.next_event_ns() == robots.now_ns + 5 * MS
        robots.now_ns += 4 * MS
        robots.ask(client)
    assert len(robots.next()) == 8


def test_nobody_waits_for_a_robot_that_does_not_come_back_twice():
    """Once for the pause; then it is not expected until it is quick again."""
    robots = Robots()
    robots.ask("a", "b")
    assert len(robots.next()) == 2
    robots.land()
    robots.ask("a")
    assert robots.next() is None
    robots.now_ns += 5 * MS
    assert len(robots.next()) == 1
    robots.now_ns += 1 * MS
    robots.ask("b")  # late: with the next batch, which waits for a alone
    robots.land()
    robots.ask("a")
    assert len(robots.next()) == 2
    robots.land()
    robots.ask("a")
    assert len(robots.next()) == 1, "b is slow"
    robots.land()
    robots.ask("b")  # quick: at once after a reply
    assert robots.next() is None
    robots.ask("a")
    assert len(robots.next()) == 2


def test_one_robot_alone_never_waits():
    """Batches cost it nothing."""
    robots = Robots()
    for _ in range(3):
        robots.ask("a")
        assert len(robots.next()) == 1
        robots.land()
        robots.now_ns += 30 * MS


def test_a_bad_row_fails_alone_and_is_sent_alone_until_it_is_good():
    """Its error goes to its robot only, and the others' next batch does not fail for it."""
    robots = Robots()
    robots.ask(*"abcd")
    robots.next()
    robots.land(bad=[2])
    assert robots.got == {}
    for number in range(4):
        assert robots.next() == [number]
        robots.land(bad=[2])
    assert robots.got == {0: 0, 1: 1, 2: "bad [2]", 3: 3}
    robots.ask(*"abcd")
    assert robots.next() == [4, 5, 7]
    robots.land()
    assert robots.next() == [6]
    robots.land()
    robots.ask(*"abcd")
    assert len(robots.next()) == 4


def test_a_server_that_refuses_batches_gets_smaller_ones_and_the_proxy_says_so_once():
    """Down to single requests; after a while batches are tried again. A ping shows it."""
    robots = Robots(max_wait_ms=10_000)
    sizes, news = [], []
    for _ in range(6):
        robots.ask(*"abcdefgh")
        while (sent := robots.next()) is not None:
            sizes.append(len(sent))
            robots.land(most=1)
            news += robots.core.take_news()
        robots.now_ns += 5 * MS
    assert all(robots.got[number] == number for number in range(48))
    assert [size for size in sizes if size > 1] == [8, 4, 2]
    assert [text.split(" refuses ")[1][:12] for text in news] == [
        "batches of 8",
        "batches of 4",
        "batches of 2",
    ]
    ping = robots.ask("a", frame=encode({"endpoint": "ping"}, "npy"))[0]
    robots.frame = robots.core.next_frame(robots.now_ns)
    robots.land()
    assert "single requests, the server refuses" in decode(robots.got[ping])["proxy"]
    robots.now_ns += 600_000 * MS
    robots.ask(*"abcdefgh")
    assert len(robots.next()) == 8


def test_an_error_of_a_batch_is_shown_to_nobody_but_the_log():
    """It may quote all observations; a token in it is not even logged."""
    robots = Robots(BEHIND)
    robots.ask(*"ab")
    robots.next()
    robots.land(most=1, text=f"SECRET OF ALL {BEHIND.reveal()}")
    while robots.next() is not None:
        robots.land()
    assert robots.got == {0: 0, 1: 1}
    (news,) = robots.core.take_news()
    assert "s3cret" not in news + repr(robots.core)


def test_rows_of_a_failed_batch_that_come_too_late_are_busy():
    """A stale observation is not forwarded, not even again."""
    robots = Robots(max_wait_ms=100)
    robots.ask(*"ab")
    robots.next()
    robots.land(ms=99, bad=[0])
    assert robots.next() == [0]
    robots.now_ns += 1 * MS
    robots.take(robots.core.expired(robots.now_ns))
    assert robots.got == {1: "busy: waited 100 ms for its turn"}
    robots.land(bad=[0])
    assert robots.got[0] == "bad [0]"


def test_a_server_that_dies_of_a_batch_gets_single_requests_and_then_smaller_ones():
    """The rows' robots are told; each is sent alone once, and the second time the size is less."""
    robots = Robots()
    for _ in range(2):
        robots.ask(*"abcd")
        assert len(robots.next()) == 4
        robots.take(robots.core.failed("it went away", robots.now_ns))
        robots.ask(*"abcd")
        for _ in range(4):
            assert len(robots.next()) == 1
            robots.land()
    assert list(robots.got.values()).count("it went away") == 8
    assert "no reply to batches of 4" in robots.core.take_news()[0]
    robots.ask(*"abcd")
    assert len(robots.next()) == 2


def test_rows_without_an_outcome_do_not_prove_that_a_server_refuses_batches():
    """The bad one may be among them: its robot is sent alone, and the others stay together."""
    robots = Robots(max_wait_ms=100)
    robots.ask(*"abcd")
    robots.next()
    robots.land(ms=20, bad=[3])
    for number in range(3):
        assert robots.next() == [number]
        robots.land(ms=20)
    robots.now_ns += 30 * MS
    robots.take(robots.core.expired(robots.now_ns))
    assert robots.got == {0: 0, 1: 1, 2: 2, 3: "busy: waited 100 ms for its turn"}
    assert robots.core.take_news() == ()
    robots.ask(*"abcd")
    assert robots.next() == [4, 5, 6]
    robots.land(bad=[7])
    assert robots.next() == [7]
    robots.land(bad=[7])
    robots.ask(*"abcd")
    assert robots.next() == [8, 9, 10]


def played(names, server_ms, calls, **server):
    """Let robots ask as soon as they are answered, 100 ms after a failure; (sizes, news).

    sizes: of what was forwarded. bad: the names of those whose rows the server refuses.
    """
    robots = Robots()
    bad = server.pop("bad", "")
    owners, due, lands_ns = {}, [(0, name) for name in names], None
    sizes, news = [], []
    while len(sizes) < calls:
        times = [robots.core.next_event_ns(), lands_ns, min(due, default=(None,))[0]]
        robots.now_ns = max(robots.now_ns, min(at for at in times if at is not None))
        for at_ns, name in sorted(due):
            if at_ns <= robots.now_ns:
                owners[robots.asked] = name
                robots.ask(name)
                due.remove((at_ns, name))
        if lands_ns is not None and lands_ns <= robots.now_ns:
            refused = [number for number, name in owners.items() if name in bad]
            robots.land(0, bad=refused, **server)
            lands_ns = None
        if (sent := robots.next()) is not None:
            sizes.append(len(sent))
            lands_ns = robots.now_ns + server_ms * MS
        robots.take(robots.core.expired(robots.now_ns))
        for number in robots.got.keys() & owners.keys():
            late_ns = 0 if robots.got[number] == number else 100 * MS
            due.append((robots.now_ns + late_ns, owners.pop(number)))
        news += robots.core.take_news()
    return sizes, news


@settings(max_examples=examples(30), deadline=None)
@example(4, 300)
@example(8, 600)
@given(st.integers(2, 8), st.integers(5, 700))
def test_a_server_that_refuses_batches_is_found_out_however_slow_it_is(count, server_ms):
    """The second one lowers the size at the latest, even if rows waited too long for an outcome."""
    sizes, news = played("abcdefgh"[:count], server_ms, calls=150, most=1)
    refused = [size for size in sizes if size > 1]
    assert len(refused) <= 2 * 3 and len(refused) < 2 * (len(news) + 1)
    assert all(" refuses " in text for text in news)


@settings(max_examples=examples(30), deadline=None)
@example(4, 300, 3)
@given(st.integers(3, 8), st.integers(5, 700), st.integers(0, 7))
def test_a_bad_row_is_never_taken_for_a_server_that_refuses_batches(count, server_ms, bad):
    """However slow the server is, and wherever the bad robot stands in the order of turns."""
    names = "abcdefgh"[:count]
    sizes, news = played(names, server_ms, calls=100, bad=names[bad % count])
    assert news == [] and max(sizes) > 1


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(2, 8), st.integers(5, 700))
def test_a_server_that_refuses_everything_proves_nothing_of_batches(count, server_ms):
    """Nothing passes alone either."""
    names = "abcdefgh"[:count]
    assert played(names, server_ms, calls=100, bad=names)[1] == []


def test_robots_of_another_form_do_not_prolong_the_wait():
    """Each form waits for its own; a robot that has gone costs the others one pause."""
    robots = Robots()
    robots.ask(*"cdef", width=2)
    robots.next()
    robots.ask("a", "b")
    robots.land()
    assert robots.next() == [4, 5]
    robots.land()
    robots.ask("a")
    assert robots.next() is None
    robots.now_ns += 4 * MS
    robots.ask("c", width=2)
    assert robots.next() is None
    robots.now_ns += 1 * MS
    assert robots.next() == [6]


def test_clients_that_come_and_go_leave_nothing_behind():
    """Whatever stands in their requests, which the proxy keeps until they are answered."""
    robots = Robots()
    for number in range(2_000):
        data = decode(request(robots.asked))["data"] | {"options": {"seed": number, "x": "x" * 999}}
        robots.ask(str(number), frame=encode({"endpoint": "get_action", "data": data}, "npy"))
        robots.next()
        robots.land()
    expected = robots.core._gathering._expected
    assert len(expected) <= 1024 and len(repr(expected)) < 200_000


def test_a_long_error_of_a_batch_does_not_bring_a_secret_to_the_log():
    """A strict server quotes whole observations, so its text may have any length."""
    robots = Robots(BEHIND)
    robots.ask(*"ab")
    robots.next()
    robots.land(most=1, text=BEHIND.reveal() + 70_000 * "x")
    while robots.next() is not None:
        robots.land()
    (news,) = robots.core.take_news()
    assert "s3cret" not in news


@pytest.mark.parametrize("value", [np.float32(1.5), np.ones(2)])
def test_a_ping_that_holds_numbers_of_numpy_comes_through(value):
    """Whatever a server says of itself, the proxy goes on."""
    core = ProxyCore(Limits(batch=8))
    core.request("a", (b"a", b""), (encode({"endpoint": "ping"}, "npy"),), 0)
    assert core.next_frame(0) is not None
    (reply,) = core.answered(encode({"status": "ok", "load": value}, "msgpack_numpy"), 0)
    assert decode(reply.frame)["status"] == "ok"


def test_a_batch_cannot_wait_longer_than_its_rows_may():
    """They would be busy before it leaves."""
    with pytest.raises(SettingsError, match="wait_ms: got 500, expected less than max_wait_ms"):
        Limits(batch=2, wait_ms=500, max_wait_ms=500)
    Limits(batch=1, max_wait_ms=1)


def test_a_client_has_one_row_in_a_batch():
    """Its newest; the older one waits."""
    robots = Robots()
    robots.ask("x")
    robots.next()
    robots.ask("a", "a", "b")
    robots.land()
    robots.now_ns += 5 * MS
    assert robots.next() == [2, 3]


def test_other_forms_do_not_go_together_and_other_endpoints_do_not_wait():
    """Turns decide who is next."""
    robots = Robots()
    robots.ask("a", width=1)
    robots.ask("b", width=2)
    robots.ask("c", width=1)
    assert robots.next() == [0, 2]
    ping = robots.ask("d", frame=encode({"endpoint": "ping"}, "npy"))[0]
    robots.land()
    assert robots.next() == [1]
    robots.land()
    robots.frame = robots.core.next_frame(robots.now_ns)
    robots.land()
    assert decode(robots.got[ping]) == {"status": "ok", "proxy": "batches of at most 8"}


@pytest.mark.parametrize("batch", [1, 8])
def test_a_reset_of_one_robot_does_not_reset_the_others(batch):
    """With batches it never comes to the server, and the reply says why."""
    core = ProxyCore(Limits(batch=batch))
    frame = encode({"endpoint": "reset", "data": {"options": None}}, "npy")
    replies = core.request("a", (b"a", b""), (frame,), 0)
    assert (core.next_frame(0) is None) is bool(replies) is (batch == 8)
    if replies:
        assert decode(replies[0].frame) == {"skipped": "several robots share this server"}


def test_rtc_is_refused_with_batches_only():
    """Without them one robot may have the server for itself."""
    data = decode(request(0))["data"] | {"options": {"rtc": {"enabled": True}}}
    frame = encode({"endpoint": "get_action", "data": data}, "npy")
    for batch, refused in ((1, False), (8, True)):
        replies = ProxyCore(Limits(batch=batch)).request("a", (b"a", b""), (frame,), 0)
        assert bool(replies) is refused
        assert all("another robot's" in got(reply) for reply in replies)


def test_a_batch_is_never_larger_than_our_servers_read(monkeypatch):
    """Its rows are counted in bytes too."""
    monkeypatch.setattr("gr00t_ros.proxy.core.MAX_BATCH_BYTES", 2 * len(request(0)) + 9)
    robots = Robots()
    robots.ask(*"abcd")
    assert robots.next() == [0, 1]
    robots.land()
    robots.now_ns += 5 * MS
    assert robots.next() == [2, 3]


def test_while_one_form_gathers_another_goes():
    """An idle server does not wait for robots whose requests cannot be in the other's batch."""
    robots = Robots()
    robots.ask("a", "b")
    robots.next()
    robots.land()
    robots.ask("a")
    assert robots.next() is None, "a waits for b"
    robots.ask("c", width=2)
    assert robots.next() == [3]
    robots.ask("b")
    robots.land(ms=1)
    assert robots.next() == [2, 4]


def test_robots_that_were_not_waited_for_to_the_end_are_expected_still():
    """The wait ended for the one who could wait no longer: it proves nothing about the others."""
    robots = Robots(wait_ms=40, max_wait_ms=100)
    robots.ask(*"abcd")
    robots.next()
    robots.land(ms=0)
    for client in "abc":
        robots.now_ns += 25 * MS
        robots.ask(client)
        assert robots.next() is None
    robots.now_ns += 10 * MS
    assert robots.next() == [4, 5, 6], "one wait before a would be busy"
    robots.land(ms=0)
    robots.ask(*"abc")
    assert robots.next() is None
    robots.ask("d")
    assert len(robots.next()) == 4


ASKING = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0, 1, 1, 1, 2]), st.integers(0, 30)),
    min_size=4,
    max_size=40,
)
IN_TURN = [(client, 1, 90) for client in 6 * "abcdefgh"]


@settings(max_examples=examples(300), deadline=None)
@example(IN_TURN, 100, 500, 30, 0, 8)
@example(IN_TURN, 100, 500, 30, 150, 8)
@given(
    ASKING,
    st.integers(1, 30),
    st.integers(31, 120),
    st.integers(0, 60),
    st.sampled_from([0, 0, 7, 50]),
    st.integers(2, 8),
)
def test_no_request_is_busy_while_the_server_is_idle(
    asking, wait_ms, max_wait_ms, server_ms, late_ms, batch
):
    """However late the proxy's loop is; one wait is left of what a request may wait.

    asking: client, form (0: a ping) and ms after the one before.
    """
    robots = Robots(batch=batch, wait_ms=wait_ms, max_wait_ms=max_wait_ms)
    core, lands_ns, due, at_ns = robots.core, None, [], 0
    for client, width, gap_ms in asking:
        at_ns += gap_ms * MS
        due.append((at_ns, client, width))
    idle_ns = {}  # of each request that waits: how long it has waited for an idle server

    def forward():
        nonlocal lands_ns, idle_ns
        idle_ns = {number: ns for number, ns in idle_ns.items() if number not in robots.got}
        frame = core.next_frame(robots.now_ns)
        if frame is not None:
            robots.frame, lands_ns = frame, robots.now_ns + server_ms * MS
        elif lands_ns is None:
            assert max(idle_ns.values(), default=0) < (max_wait_ms - wait_ms) * MS

    while True:
        times = [core.next_event_ns(), lands_ns, due[0][0] if due else None]
        event_ns = min((at for at in times if at is not None), default=None)
        if event_ns is None:
            break
        before_ns, robots.now_ns = robots.now_ns, max(robots.now_ns, event_ns + late_ms * MS)
        if lands_ns is None:
            idle_ns = {number: ns + robots.now_ns - before_ns for number, ns in idle_ns.items()}
        while due and due[0][0] <= robots.now_ns:
            _, client, width = due.pop(0)
            ping = None if width else encode({"endpoint": "ping"}, "npy")
            idle_ns |= dict.fromkeys(robots.ask(client, width=width, frame=ping), 0)
        forward()
        replies = core.expired(robots.now_ns)
        assert not replies or lands_ns is not None, "busy while the server is idle"
        robots.take(replies)
        if lands_ns is not None and lands_ns <= robots.now_ns:
            robots.land(0)
            lands_ns = None
        forward()
    assert set(robots.got) == set(range(len(asking)))


STEPS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(1, 2), st.integers(0, 60), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=examples(60), deadline=None)
@given(STEPS, st.sets(st.integers(0, 29), max_size=3), st.integers(1, 5), st.integers(1, 5))
def test_every_request_gets_one_reply_and_it_is_its_own(steps, bad, most, batch):
    """Whoever asks when, whatever the server refuses or leaves unanswered; in order for each."""
    robots = Robots(batch=batch, max_wait_ms=200, deadline_ms=100)
    busy_until_ns = None
    owners = {}

    def settle(until_ns):
        """Let time pass as the proxy's loop does."""
        nonlocal busy_until_ns
        while True:
            times = [robots.core.next_event_ns(), busy_until_ns]
            event_ns = min((at for at in times if at is not None), default=None)
            if event_ns is None or event_ns > until_ns:
                robots.now_ns = max(robots.now_ns, until_ns if until_ns < 1e18 else 0)
                return
            robots.now_ns = max(robots.now_ns, event_ns)
            robots.take(robots.core.expired(robots.now_ns))
            if busy_until_ns is not None and robots.now_ns >= busy_until_ns:
                robots.land(0, bad=bad, most=most)
                busy_until_ns = None
            elif robots.core.is_late(robots.now_ns):
                robots.take(robots.core.failed("late", robots.now_ns))
            forward()

    def forward(answers=True):
        nonlocal busy_until_ns
        sent = robots.next()
        if sent is not None:
            assert len(sent) <= batch and len({owners[number] for number in sent}) == len(sent)
            busy_until_ns = robots.now_ns + 30 * MS if answers else None

    for client, width, wait_ms, answers in steps:
        settle(robots.now_ns + wait_ms * MS)
        owners[robots.asked] = client
        robots.ask(client, width=width)
        forward(answers)
    settle(10**18)
    assert set(robots.got) == set(range(len(steps)))
    for number, reply in robots.got.items():
        text = str(reply)
        assert reply == number or text == f"bad [{number}]" or text.startswith(("busy", "late"))
        assert number not in bad or reply != number
    counts = robots.core.counts
    assert counts.answered + counts.busy + counts.failed == counts.requests == len(steps)
