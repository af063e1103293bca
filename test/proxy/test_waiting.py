"""FairQueue: clients take turns, the newest job is first, old jobs expire, none is lost."""

from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.proxy.waiting import FairQueue

CALLS = st.lists(
    st.tuples(st.sampled_from(["push", "pop", "wait"]), st.integers(0, 4)), max_size=80
)


def pop(queue):
    """The newest job of the client whose turn it is, as the proxy takes it; None without one."""
    client, _ = next(queue.first_jobs(), (None, None))
    return None if client is None else queue.take(client)


def test_clients_take_turns_whatever_the_number_of_their_jobs():
    """One that floods waits for all the others between its own."""
    queue = FairQueue(1000, 8, 3)
    for job in ("a1", "a2", "a3", "b1", "c1"):
        queue.push(job[0], job, 0)
    assert [pop(queue) for _ in range(6)] == ["a3", "b1", "c1", "a2", "a1", None]


def test_a_client_that_was_just_served_comes_last():
    """Even where it asks again at once."""
    queue = FairQueue(1000, 8, 2)
    for client in "abc":
        queue.push(client, client, 0)
    served = []
    for _ in range(6):
        served.append(pop(queue))
        queue.push(served[-1], served[-1], 0)
    assert served == ["a", "b", "c", "a", "b", "c"]


def test_jobs_that_have_waited_too_long_come_out_at_their_time():
    """Neither before nor after."""
    queue = FairQueue(100, 8, 2)
    queue.push("a", "old", 0)
    queue.push("a", "new", 50)
    assert queue.next_expiry_ns() == 100
    assert queue.expired(99) == () and queue.expired(100) == ("old",)
    assert queue.next_expiry_ns() == 150 and queue.expired(150) == ("new",)
    assert queue.next_expiry_ns() is None and pop(queue) is None


def test_what_has_no_room_is_given_back():
    """A new client's job where there are too many clients, the oldest of a client's own."""
    queue = FairQueue(100, 2, 2)
    assert queue.push("a", "a1", 0) == queue.push("b", "b1", 0) == ()
    assert queue.push("c", "c1", 0) == ("c1",)
    assert queue.push("a", "a2", 0) == () and queue.push("a", "a3", 0) == ("a1",)
    assert queue.expired(100) == ("a2", "a3", "b1")


@given(CALLS)
def test_every_job_comes_out_once_and_while_a_client_waits_no_other_is_served_twice(calls):
    """The law of turns, whatever comes in which order and however long it takes."""
    queue, now = FairQueue(50, 3, 2), 0
    pushed, out = [], []
    served_meanwhile = {}  # of each client that waits
    for call, client in calls:
        now += 1
        if call == "push":
            pushed.append((client, len(pushed)))
            out += queue.push(client, pushed[-1], now)
        elif call == "wait":
            now += 20
            out += queue.expired(now)
        elif (job := pop(queue)) is not None:
            out.append(job)
            served_meanwhile.pop(job[0], None)
            for served in served_meanwhile.values():
                assert job[0] not in served
                served.add(job[0])
        waiting = {job[0] for job in set(pushed) - set(out)}
        served_meanwhile = {name: served_meanwhile.get(name, set()) for name in waiting}
    out += queue.expired(now + 50)
    assert sorted(out) == sorted(pushed) and queue.next_expiry_ns() is None
