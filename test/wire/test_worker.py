"""worker: it runs one job at a time and refuses others, and no exception ends its thread."""

import queue
import threading
import time

import pytest

from gr00t_ros.wire.worker import ExchangeJob, LinkWorker

LIMIT_S = 20.0
DELIVERED = ("is told", "is delivered")


class Gate:
    """A job that blocks until it is let go."""

    def __init__(self):
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.go.wait(LIMIT_S)
        return "gate"


@pytest.fixture
def outcomes():
    """Where the worker delivers to."""
    return queue.SimpleQueue()


@pytest.fixture
def worker(outcomes):
    """A running worker that is stopped afterwards."""
    worker = LinkWorker(outcomes.put)
    yield worker
    assert worker.stop(LIMIT_S)


def test_a_job_runs_on_the_workers_thread_and_its_reply_is_delivered(worker, outcomes):
    """With its tag."""
    worker.submit_if_idle(ExchangeJob(threading.get_ident, tag=3))
    outcome = outcomes.get(timeout=LIMIT_S)
    assert outcome.reply != threading.get_ident()
    assert (outcome.job.tag, outcome.error) == (3, None)


def taken(worker, job):
    """Submit the job as soon as the worker is idle."""
    limit = time.monotonic() + LIMIT_S
    while not worker.submit_if_idle(job):
        assert time.monotonic() < limit


def test_while_a_job_waits_or_runs_no_other_is_taken(worker, outcomes):
    """The refused one never runs; another is taken after the outcome was delivered."""
    gate = Gate()
    assert worker.submit_if_idle(ExchangeJob(gate))
    assert not worker.submit_if_idle(ExchangeJob(lambda: "refused"))
    assert gate.entered.wait(LIMIT_S)
    assert not worker.submit_if_idle(ExchangeJob(lambda: "refused"))
    gate.go.set()
    taken(worker, ExchangeJob(lambda: "next"))
    assert [outcomes.get(timeout=LIMIT_S).reply for _ in range(2)] == ["gate", "next"]


def test_each_job_that_was_taken_has_its_outcome_whoever_submits(worker, outcomes):
    """Several threads at once, as the executor and the replay thread do: none is dropped."""
    took = queue.SimpleQueue()

    def submit(name):
        for number in range(2_000):
            job = ExchangeJob(lambda: None, tag=(name, number))
            if worker.submit_if_idle(job):
                took.put(job.tag)

    threads = [threading.Thread(target=submit, args=(name,)) for name in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(LIMIT_S)
    tags = [took.get_nowait() for _ in range(took.qsize())]
    assert tags
    assert sorted(outcomes.get(timeout=LIMIT_S).job.tag for _ in tags) == sorted(tags)
    assert outcomes.empty()


def test_a_released_job_makes_way_for_the_next_one_which_starts_after_its_delivery():
    """Whoever has its outcome need not wait for the rest of the delivery; a job runs alone."""
    seen, told, go = queue.SimpleQueue(), threading.Event(), threading.Event()

    def deliver(outcome):
        seen.put(f"{outcome.reply} is told")
        told.set()
        assert go.wait(LIMIT_S)
        seen.put(f"{outcome.reply} is delivered")

    worker = LinkWorker(deliver)
    first, second = (
        ExchangeJob(lambda name=name: seen.put(f"{name} runs") or name) for name in "ab"
    )
    worker.submit_if_idle(first)
    assert told.wait(LIMIT_S) and not worker.submit_if_idle(second)
    worker.release(first)
    assert worker.submit_if_idle(second)
    worker.release(first)  # late: it is another's turn
    assert not worker.submit_if_idle(first)
    go.set()
    rest = [seen.get(timeout=LIMIT_S) for _ in range(6)]
    assert rest == [f"{name} {what}" for name in "ab" for what in ("runs", *DELIVERED)]
    assert worker.stop(LIMIT_S)


def test_an_exception_in_a_job_is_its_outcome_and_the_thread_lives_on(worker, outcomes):
    """Whatever its type."""

    def fail():
        raise ZeroDivisionError("boom")

    worker.submit_if_idle(ExchangeJob(fail))
    assert isinstance(outcomes.get(timeout=LIMIT_S).error, ZeroDivisionError)
    taken(worker, ExchangeJob(lambda: "alive"))
    assert outcomes.get(timeout=LIMIT_S).reply == "alive"


def test_an_exception_while_delivering_is_logged_and_the_thread_lives_on(caplog):
    """A fault of the receiver must not end the inference."""
    seen = queue.SimpleQueue()

    def deliver(outcome):
        seen.put(outcome.reply)
        if outcome.reply == "bad":
            raise RuntimeError("receiver")

    worker = LinkWorker(deliver)
    for reply in ("bad", "good"):
        taken(worker, ExchangeJob(lambda reply=reply: reply))
        assert seen.get(timeout=LIMIT_S) == reply
    assert worker.stop(LIMIT_S)
    assert "could not deliver" in caplog.text


def test_stop_lets_the_running_job_end_takes_no_other_and_finishes(outcomes):
    """What `finish` does, it does on the worker's thread and last."""
    finished = []
    worker = LinkWorker(outcomes.put, finish=lambda: finished.append(threading.get_ident()))
    gate = Gate()
    worker.submit_if_idle(ExchangeJob(gate))
    assert gate.entered.wait(LIMIT_S)
    assert not worker.stop(0)
    assert not worker.submit_if_idle(ExchangeJob(lambda: "late"))
    gate.go.set()
    assert worker.stop(LIMIT_S)
    assert not worker.submit_if_idle(ExchangeJob(lambda: "late"))
    assert outcomes.get(timeout=LIMIT_S).reply == "gate"
    assert outcomes.empty()
    assert finished and finished[0] != threading.get_ident()
