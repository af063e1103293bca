"""Rows are stacked only with their like, split again without a mix, and a bad one fails alone."""

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.errors import ObservationError, SettingsError
from gr00t_ros.pool.cluster import Scaling, deployment_options, read_replicas
from gr00t_ros.pool.replica import Batcher, Plan, Replica
from gr00t_ros.pool.rows import AGAIN, Row, RowCaller, batch_key
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.policies import state_widths
from gr00t_ros.wire.codec import decode, encode


def row(value, size=1, width=2, options=None, text=None, client=None):
    """One robot's request: its state has `value` everywhere; it is the client of that name."""
    observation = {
        "video": {"camera": np.full((size, 1, 4, 4, 3), value, np.uint8)},
        "state": {"joints": np.full((size, 1, width), value, np.float32)},
        "language": {"task": [[text or str(value)] for _ in range(size)]},
    }
    return Row(value if client is None else client, observation, options)


class Echo:
    """Answers each row with its own state; keeps the sizes of its calls."""

    modality = {}

    def __init__(self, bad=None, most=100):
        self.calls, self.refused, self._bad, self._most = [], [], bad, most

    def __call__(self, observation, options):
        state = observation["state"]["joints"]
        self.calls.append(len(state))
        assert [text for (text,) in observation["language"]["task"]] == [
            str(int(value)) for value in state[:, 0, 0]
        ]
        if len(state) > self._most:
            raise ObservationError("one at a time")
        if self._bad is not None and (state == self._bad).any():
            self.refused.append(len(state))
            raise ObservationError(f"bad {self._bad}")
        return {"joints": np.repeat(state, 3, axis=1)}, {"size": len(state)}

    def reset(self, options):
        raise AssertionError("a reset is that of other robots too")


ROWS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 3), st.integers(1, 2), st.booleans()), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_each_row_gets_its_own_answer(made):
    """Whatever sizes, shapes and options stand beside it."""
    rows = [row(v, size, width, {"seed": 1} if seeded else None) for v, size, width, seeded in made]
    policy = Echo()
    answers = RowCaller(policy)(rows)
    for (value, size, width, _), (action, _) in zip(made, answers, strict=True):
        assert action["joints"].shape == (size, 3, width)
        assert (action["joints"] == value).all()
    assert len(policy.calls) == len({batch_key(one) for one in rows})


def test_a_bad_row_fails_alone():
    """The others get their chunks, and the policy is still given batches."""
    policy = Echo(bad=2)
    call = RowCaller(policy)
    first, second, third = call([row(1), row(2), row(3)])
    assert str(second) == "bad 2" and first[0]["joints"][0, 0, 0] == 1.0
    assert third[0]["joints"][0, 0, 0] == 3.0
    assert len(call([row(1), row(3)])) == 2 and policy.calls[-1] == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.permutations(range(6)), min_size=1, max_size=8), st.integers(2, 6))
def test_a_bad_robot_costs_the_others_one_call(orders, count):
    """Then it is called alone, wherever it stands in a batch, until it is good."""
    policy, bad = Echo(bad=0), 0
    call = RowCaller(policy)
    for order in orders:
        asking = [value for value in order if value < count]
        for value, answer in zip(asking, call([row(value) for value in asking]), strict=True):
            assert str(answer) == "bad 0" if value == bad else answer[0]["joints"][0, 0, 0] == value
    assert [size for size in policy.refused if size > 1] == [count]
    for _ in range(2):
        call([row(value or 9, client=value) for value in range(count)])
    assert policy.calls[-1] == count


def test_a_policy_that_refuses_everything_proves_nothing_of_a_robot():
    """Its GPU may be out of memory; the next batch is whole."""
    policy = Echo(most=0)
    call = RowCaller(policy)
    call([row(1), row(2)])
    policy._most = 100
    call([row(1), row(2)])
    assert policy.calls == [2, 1, 1, 2]


def test_a_replica_knows_whose_a_row_is(monkeypatch):
    """It remembers the bad ones by that."""
    arm, clients = load_embodiment("franka_droid"), []

    def refuse(_, made):
        clients.append(made.client)
        raise ObservationError("enough")

    monkeypatch.setattr(Batcher, "__call__", refuse)
    replica, widths = Replica(Plan(arm)), state_widths(arm)
    modality = replica._batcher.modality
    at = {name: len(modality[name].delta_indices) for name in ("video", "state")}
    observation = {
        "video": {
            key: np.zeros((1, at["video"], 4, 4, 3), np.uint8) for key in modality["video"].keys
        },
        "state": {
            key: np.zeros((1, at["state"], widths[key]), np.float32)
            for key in modality["state"].keys
        },
        "language": {key: [["go"]] for key in modality["language"].keys},
    }
    frame = encode({"endpoint": "get_action", "data": {"observation": observation}}, "npy")
    answers = [asyncio.run(replica.answer(frame, client)) for client in ("r1", "r2")]
    assert [decode(answer.frame) for answer in answers] == 2 * [{"error": "enough"}]
    assert clients == ["r1", "r2"]


class Chatty(Echo):
    """Its info has something of each row, and of all; or it is no map."""

    info = True

    def __call__(self, observation, options):
        action, _ = super().__call__(observation, options)
        texts = [text for (text,) in observation["language"]["task"]]
        state = observation["state"]["joints"][:, 0]
        info = {"steps": 4, "texts": texts, "states": state, "seen": " and ".join(texts), "of": {}}
        return action, info if self.info else None


def test_of_a_replys_info_each_row_gets_its_own():
    """What cannot be told apart is left out, as the proxy does; a row alone gets all of it."""
    call = RowCaller(Chatty())
    (_, first), (_, second) = call([row(1, size=2), row(3)])
    assert first["states"].tolist() == [[1, 1], [1, 1]]
    assert second["states"].tolist() == [[3, 3]]
    assert second["steps"] == 4 and set(second) == {"steps", "states"}
    ((_, alone),) = call([row(5)])
    assert alone["seen"] == "5"
    call._policy.info = False
    assert [info for _, info in call([row(1), row(3)])] == [{}, {}]
    assert call._policy.calls == [3, 1, 2]


def test_a_row_of_two_batch_sizes_is_refused():
    """Nobody could say which rows of a reply are whose."""
    made = row(1)
    made.observation["video"] |= {"junk": np.zeros((3, 1), np.uint8)}
    with pytest.raises(ObservationError, match="batch size"):
        batch_key(made)


def test_after_a_while_a_policy_is_asked_for_batches_again():
    """That it could not answer one may have passed: its GPU was out of memory."""
    policy = Echo(most=1)
    call = RowCaller(policy)
    call([row(1), row(2)])
    policy._most = 100
    for _ in range(AGAIN):
        call([row(1), row(2)])
    assert policy.calls[-1] == 1
    call([row(1), row(2)])
    assert policy.calls[-1] == 2


def test_a_policy_for_one_robot_is_asked_row_by_row(caplog):
    """It is asked for a batch once; the log says so."""
    policy = Echo(most=1)
    call = RowCaller(policy)
    for _ in range(2):
        assert not any(isinstance(one, Exception) for one in call([row(1), row(2)]))
    assert policy.calls == [2, 1, 1, 1, 1]
    assert "one row at a time: one at a time" in caplog.text


class Held(Echo):
    """Each call waits until it is let go."""

    def __init__(self):
        super().__init__()
        self.go, self.entered = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, observation, options):
        self.entered.release()
        assert self.go.acquire(timeout=10)
        assert options is None
        return super().__call__(observation, options)


def test_while_the_policy_is_busy_one_batch_gathers():
    """Eight rows that came one by one are one call; options of RTC are left out."""
    policy = Held()
    batcher = Batcher(policy, rows=8, wait_s=0.001)
    found = {}

    def ask(value):
        made = row(value, options={"rtc": {"enabled": True}})
        found[value] = batcher.of(value)(made.observation, made.options)

    threads = [threading.Thread(target=ask, args=(value,)) for value in range(9)]
    threads[0].start()
    assert policy.entered.acquire(timeout=10) and batcher.busy_s() > 0.0
    for thread in threads[1:]:
        thread.start()
    deadline = time.monotonic() + 10
    while len(batcher._waiting) < 8 and time.monotonic() < deadline:
        time.sleep(0.001)
    policy.go.release(9)
    for thread in threads:
        thread.join(10)
    assert policy.calls == [1, 8]
    assert all(found[value][0]["joints"][0, 0, 0] == value for value in range(9))
    assert batcher.of(0).reset(None) == {} and batcher.busy_s() == 0.0


def test_an_error_reaches_the_one_who_asked():
    """With its text, which is the reply to the client."""
    with pytest.raises(ObservationError, match="bad 5"):
        Batcher(Echo(bad=5), rows=4, wait_s=0.0)(row(5))


def test_what_is_no_array_fails_alone_and_the_next_is_served():
    """Keys that the server does not know are allowed, and may hold anything."""
    batcher = Batcher(Echo(), rows=4, wait_s=0.0)
    made = row(1)
    made.observation["state"]["other"] = "text"
    with pytest.raises(AttributeError, match="dtype"):
        batcher(made)
    assert batcher(row(2))[0]["joints"][0, 0, 0] == 2.0


@pytest.mark.parametrize(("text", "expected"), [("1", (1, 1)), ("12", (12, 12)), ("2-8", (2, 8))])
def test_replicas_are_a_number_or_a_range(text, expected):
    """As on the command line."""
    assert read_replicas(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "1-2-3", "99999"])
def test_other_replicas_are_refused(text):
    """With what was got."""
    with pytest.raises(SettingsError, match="replicas: got"):
        read_replicas(text)


@pytest.mark.parametrize("numbers", [(0, 1), (3, 2), (1, 2000)])
def test_a_scaling_that_cannot_be_is_refused(numbers):
    """None at all, more at least than at most, too many."""
    with pytest.raises(SettingsError, match="replicas"):
        Scaling(*numbers)


def test_a_range_of_replicas_scales_and_a_number_does_not():
    """A replica takes several batches; one batch for each is what the scaling aims at."""
    fixed = deployment_options(Scaling(3, 3, gpus=1.0), rows=4)
    assert fixed["num_replicas"] == 3 and "autoscaling_config" not in fixed
    assert fixed["ray_actor_options"] == {"num_cpus": 1.0, "num_gpus": 1.0}
    scaled = deployment_options(Scaling(1, 3), rows=4)
    assert "num_replicas" not in scaled
    assert scaled["autoscaling_config"] == {
        **{"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 4}
    }
    assert scaled["max_ongoing_requests"] > 4
