"""link: what is checked before a query and after a loss; failures never use up the buffers."""

import contextlib
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import zmq

from gr00t_ros.errors import (
    ChunkError,
    DeadlineError,
    ObservationError,
    RefusedError,
    RemoteError,
    SettingsError,
    UnreachableError,
)
from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.observe.rolled import StateRoll
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.front import Wake
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.serve.server import PolicyServer
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.watch.server import Outlook, outlook_of
from gr00t_ros.wire import client as client_module
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.codec import decode
from gr00t_ros.wire.link import PolicyLink

LIMIT_S = 20.0
SHORT_MS = 400


class Watched(HoldPolicy):
    """The hold policy; counts what it is asked, and fails, sleeps or lies when told to."""

    def __init__(self, embodiment):
        super().__init__(embodiment)
        self.modality = dict(self.modality)
        self.resets, self.instructions = 0, []
        self.error, self.twist = None, lambda action: action
        self.go = threading.Event()
        self.go.set()
        self.warm_up_s = 0.0

    def __call__(self, observation, options):
        language = next(iter(observation["language"].values()))
        self.instructions.append(language[0][0])
        self.go.wait(LIMIT_S)
        time.sleep(self.warm_up_s)
        self.warm_up_s = 0.0
        if self.error is not None:
            raise self.error
        action, info = super().__call__(observation, options)
        return self.twist(action), info

    def reset(self, options):
        self.resets += 1
        return {}


class Restartable:
    """A server of ours in a thread, which can end and come back as another at the same port."""

    def __init__(self, policy, **settings):
        self.start(policy, **settings)

    def start(self, policy, generation="B3", bind=None, **settings):
        bind = bind or f"tcp://127.0.0.1:{free_port('127.0.0.1')}"
        self.server = PolicyServer(policy, generation, bind=bind, **settings)
        self.address = self.server.address
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def end(self):
        self.server.stop()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        self.server.close()

    def restart(self, policy, **settings):
        """Once the client's own thread has seen the end: a query sent before it is lost with it."""
        self.end()
        end_s = time.monotonic() + LIMIT_S
        while open_connections(int(self.address.rpartition(":")[2])):
            assert time.monotonic() < end_s, (
                "the client keeps a connection to a server that is gone"
            )
        self.start(policy, bind=self.address, **settings)


def open_connections(port):
    """TCP connections to `port` that this machine has not closed (proc(5): /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    closed = {"06", "07"}  # TIME_WAIT, CLOSE
    return [row for row in rows if int(row[2][-4:], 16) == port and row[3] not in closed]


@pytest.fixture(scope="module")
def embodiment():
    """The shipped DROID arm."""
    return load_embodiment("franka_droid")


@pytest.fixture
def policy(embodiment):
    """A policy that watches what it is asked."""
    return Watched(embodiment)


@pytest.fixture
def place(policy):
    """The server of `policy`; ended afterwards."""
    place = Restartable(policy)
    yield place
    policy.go.set()
    place.end()


@pytest.fixture
def link_to(embodiment):
    """Make links; closed afterwards."""
    made = []

    def make(address, timeout_ms=20_000, token=None, robot=embodiment, **settings):
        port = int(address.rpartition(":")[2])
        client = PolicyServerClient("127.0.0.1", port, timeout_ms, token)
        made.append(PolicyLink(client, robot, token, **settings))
        return made[-1]

    yield make
    for link in made:
        link.close()


def fill(template):
    """A recognisable observation; what it returns comes back with the answer."""
    template.set_instruction("pick up the cube")
    template.state["joint_position"][0, -1] = np.arange(7)
    return "filled"


def changed(policy, modality, **changes):
    """Let the server announce another modality entry."""
    policy.modality[modality] = replace(policy.modality[modality], **changes)


def nans(action):
    """An answer of the right shapes that is no chunk."""
    return {k: np.full_like(v, np.nan) for k, v in action.items()}


# The check.


@pytest.mark.parametrize(
    ("generation", "flat"), [("B3", False), ("B3", True), ("A2", False), ("A1", True)]
)
def test_a_server_that_fits_passes_the_check_and_answers(policy, link_to, generation, flat):
    """After one inference of a zero observation; what fill wrote is what the policy holds."""
    place = Restartable(policy, generation=generation, flat=flat)
    try:
        link = link_to(place.address)
        assert link.checked is None
        check = link.check()
        assert link.checked is check
        assert check.differences == () and check.warmup_ns > 0
        assert check.server.key_style == ("flat" if flat else "nested")
        assert set(policy.instructions) == {""}
        filled, action, took_ns = link.query(fill, episode=1)
        assert filled == "filled" and took_ns > 0
        np.testing.assert_array_equal(action["joint_position"], np.tile(np.arange(7.0), (40, 1)))
        assert policy.instructions[-1] == "pick up the cube"
    finally:
        place.end()


@pytest.mark.parametrize("generation", ["B3", "A1"])
def test_the_second_inference_is_timed_without_the_warm_up(policy, link_to, generation):
    """The first takes 0.4 s, as one that compiles: found by the probe of key styles or without."""
    policy.warm_up_s = 0.4
    place = Restartable(policy, generation=generation, flat=generation == "A1")
    try:
        check = link_to(place.address).check()
    finally:
        place.end()
    assert check.warmup_ns >= 400_000_000
    assert check.warmup_ns > check.inference_ns > 0
    assert policy.instructions == ["", ""]


def test_a_second_answer_that_is_no_chunk_refuses_the_server(place, policy, link_to):
    """What the first was right about, the next need not be."""
    first = iter([True])
    policy.twist = lambda action: action if next(first, False) else nans(action)
    with pytest.raises(ChunkError):
        link_to(place.address).check()


def test_a_query_without_a_check_checks_first(place, policy, link_to):
    """No answer comes from a server that nobody compared."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    assert link.checked is not None
    assert policy.instructions[0] == ""


def test_the_last_query_is_kept_as_it_went_over_the_wire(place, policy, link_to):
    """What was sent and answered, until the next query; nothing of one that failed."""
    link = link_to(place.address)
    link.check()
    assert link.exchanged is None
    _, action, took_ns = link.query(fill, episode=1)
    kept = link.exchanged
    assert (kept.filled, kept.inference_ns, kept.server) == ("filled", took_ns, link.checked.server)
    sent, (answered, _) = decode(kept.frame), decode(kept.reply)
    assert sent["data"]["observation"]["language"]["annotation.language.language_instruction"] == [
        ["pick up the cube"]
    ]
    for key, rows in action.items():
        np.testing.assert_array_equal(answered[key][0], rows)
    policy.error = RuntimeError("CUDA out of memory")
    with pytest.raises(RemoteError):
        link.query(fill, episode=1)
    assert link.exchanged is None


@contextlib.contextmanager
def answered_twice(address, late_s):
    """A ROUTER before a server: each answer to get_action comes 0.1 s later, and once more."""
    context, wake = zmq.Context(), Wake()
    front, behind = context.socket(zmq.ROUTER), context.socket(zmq.REQ)
    port = front.bind_to_random_port("tcp://127.0.0.1")
    behind.connect(address)

    def serve():
        poller, late = zmq.Poller(), []
        poller.register(front, zmq.POLLIN)
        poller.register(wake.reader, zmq.POLLIN)
        while not wake.asked:
            if front in dict(poller.poll(5)):
                peer, delimiter, frame = front.recv_multipart()
                behind.send(frame)
                answer = [peer, delimiter, behind.recv()]
                is_action = decode(frame)["endpoint"] == "get_action"
                late.append((time.monotonic() + 0.1 * is_action, answer))
                if is_action:
                    late.append((time.monotonic() + 0.1 + late_s, answer))
                late.sort(key=lambda entry: entry[0])
            while late and time.monotonic() >= late[0][0]:
                front.send_multipart(late.pop(0)[1])
        context.destroy(linger=0)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        wake.set()
        thread.join(LIMIT_S)


@pytest.mark.parametrize("late_s", [0.0, 0.01, 0.05, 0.12])
def test_a_server_that_answers_an_inference_twice_is_refused_at_the_check(
    place, policy, link_to, late_s, monkeypatch
):
    """No observation gets the answer to another, whichever of the next answer and it is first.

    On a late machine the second answer is late too: the check listens until it has come.
    """
    for name in ("_LEAST_LISTEN_NS", "_MOST_LISTEN_NS"):
        monkeypatch.setattr(client_module, name, int(LIMIT_S * 1e9))
    with answered_twice(place.address, late_s) as address:
        link = link_to(address)
        with pytest.raises(RefusedError, match="a second time, expected one answer to each"):
            link.query(fill, episode=1)
        assert link.checked is None
    assert set(policy.instructions) == {""}


def test_every_fatal_difference_is_listed_and_no_harmless_one(place, policy, link_to):
    """One line each, after one that names server and embodiment."""
    changed(policy, "video", delta_indices=(0,))
    changed(policy, "action", delta_indices=tuple(range(16)))
    changed(policy, "state", keys=("joint_position", "gripper_position", "torque"))
    link = link_to(place.address)
    with pytest.raises(RefusedError) as caught:
        link.check()
    head, *lines = str(caught.value).split("\n")
    assert place.address in head and "does not fit embodiment franka_droid" in head
    assert all(line.startswith("  - ") for line in lines)
    text = [line.split(", embodiment")[0].removeprefix("  - ") for line in lines]
    assert text == [
        "video: server expects delta indices [0] of 'exterior_image_1_left'",
        "video: server expects delta indices [0] of 'wrist_image_left'",
        "state: server expects key 'torque'",
        "action: server has action horizon 16 (0 .. 15), each step one on from 0",
    ]
    assert link.checked is None
    assert policy.instructions == []


def test_inferences_are_timed_by_the_clock_of_the_plan(place, policy, embodiment):
    """A slow simulation's horizon is in its own time, and so is what must fit into it."""
    readings = count(0, 7)
    client = PolicyServerClient("127.0.0.1", int(place.address.rpartition(":")[2]))
    with closing(PolicyLink(client, embodiment, None, now_ns=lambda: next(readings))) as link:
        assert link.check().inference_ns == 7
        assert link.query(fill, episode=1)[2] == 7


def test_a_harmless_difference_is_reported_and_passes(place, policy, link_to):
    """A key that the server does not ask for."""
    changed(policy, "state", keys=("joint_position", "gripper_position", "eef_9d"))
    differences = link_to(place.address).check().differences
    assert [(d.modality, d.kind, d.fatal) for d in differences] == [("state", "order", False)]


def test_a_strict_link_refuses_what_a_server_would_tolerate(place, policy, embodiment):
    """The same difference, named; the rows tell all that was looked at."""
    changed(policy, "state", keys=("joint_position", "gripper_position", "eef_9d"))
    client = PolicyServerClient("127.0.0.1", int(place.address.rpartition(":")[2]), 20_000)
    with closing(PolicyLink(client, embodiment, None, strict=True)) as link:
        with pytest.raises(RefusedError, match="orders the keys joint_position"):
            link.check()
        assert {row.verdict for row in link.rows} == {"matches", "order"}
    assert policy.instructions == []


@pytest.mark.parametrize("where", ["check", "query"])
def test_an_answer_to_the_zero_observation_that_is_no_chunk_refuses_the_server(
    place, policy, link_to, where
):
    """It announces 40 steps and returns NaN."""
    policy.twist = nans
    link = link_to(place.address)
    with pytest.raises(ChunkError) as caught:
        link.check() if where == "check" else link.query(fill, 1)
    assert caught.value.kind == "finite"
    assert link.checked is None


def test_a_token_goes_with_every_request_and_a_wrong_one_is_refused(policy, link_to):
    """Check, reset and query alike."""
    place = Restartable(policy, token=Token("s3cret"))
    try:
        link = link_to(place.address, token=Token("s3cret"))
        assert link.query(fill, 1)[0] == "filled"
        for token in (None, Token("wr0ng")):
            with pytest.raises(RefusedError):
                link_to(place.address, token=token).check()
    finally:
        place.end()


def test_each_check_takes_the_token_that_there_is_now(place, policy, link_to, caplog):
    """A token is renewed on both sides; what cannot be read leaves the one before as it is."""
    tokens, now = {}, "old"

    def read():
        if now not in tokens:
            raise SettingsError(f"api token file {now}: No such file or directory")
        return tokens[now]

    tokens["old"] = Token("s3cret-0ld")
    link = link_to(place.address, token=tokens["old"], read_token=read)
    place.restart(policy, token=tokens["old"])
    assert link.query(fill, 1)[0] == "filled"
    tokens["new"] = Token("s3cret-n3w")
    place.restart(policy, token=tokens["new"])
    with pytest.raises(RefusedError, match="Unauthorized"):
        link.query(fill, 1)
    now = "missing"
    with pytest.raises(RefusedError, match="Unauthorized"):
        link.check()
    assert "api token file missing: No such file" in caplog.text
    now = "new"
    assert link.query(fill, 1)[0] == "filled"
    now = "missing"
    link.check()
    assert link.query(fill, 1)[0] == "filled"


def test_a_width_that_upstream_does_not_name_is_told_with_the_keys_that_have_it(
    place, policy, link_to
):
    """Its normalisation fails in arithmetic."""
    policy.error = ValueError("operands could not be broadcast together with shapes (1,1,7) (6,) ")
    with pytest.raises(RemoteError) as caught:
        link_to(place.address).check()
    assert str(caught.value).endswith("(state as it was sent: joint_position 7)")
    assert caught.value.server_text == str(policy.error).strip()


@pytest.mark.parametrize("said", ["busy: later", "CUDA out of memory"])
def test_a_restarted_server_that_is_busy_is_no_misfit(place, policy, link_to, embodiment, said):
    """The check after a reconnect tells what it said; when that has passed all goes on."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    fresh = Watched(embodiment)
    fresh.error = RuntimeError(said)
    place.restart(fresh)
    for _ in range(3):
        with pytest.raises(RemoteError) as caught:
            link.query(fill, episode=1)
        assert caught.value.server_text == said and "key style" not in str(caught.value)
    fresh.error = None
    assert link.query(fill, episode=1)[0] == "filled"


# Episodes.


def test_the_server_is_reset_once_an_episode(place, policy, link_to):
    """Before its first query, and at each check."""
    link = link_to(place.address)
    link.check()
    assert policy.resets == 1
    for episode, resets in ((1, 2), (1, 2), (2, 3), (2, 3), (5, 4), (1, 5)):
        link.query(fill, episode)
        assert policy.resets == resets
    link.check()
    assert policy.resets == 6
    link.query(fill, 1)
    assert policy.resets == 7


def test_when_the_reset_before_a_query_was_answered_is_known_while_it_infers(
    place, policy, link_to
):
    """Of the query's own reset: neither of the check's, nor of the infer that follows."""
    link, known = link_to(place.address), []

    def look(template):
        known.append(link.reset_ns)
        return fill(template)

    link.check()
    assert link.reset_ns == 0
    before_ns = time.monotonic_ns()
    for episode in (1, 1, 2):
        link.query(look, episode)
    assert before_ns < known[0] == known[1] < known[2] < link.times_ns[0]
    link.check()
    assert link.reset_ns == known[2]


@pytest.mark.parametrize("generation", ["B3", "A1", "A0"])
def test_a_server_that_cannot_reset_does_not_pass_the_check(place, policy, embodiment, generation):
    """Nothing is inferred; N1.5 has no reset, and who must disturb nobody does not ask for one."""

    def fail(options):
        raise RuntimeError("no such history")

    policy.reset = fail
    place.restart(policy, generation=generation)
    port, has_reset = int(place.address.rpartition(":")[2]), generation != "A0"
    for resets in (True, False):
        with closing(
            PolicyLink(PolicyServerClient("127.0.0.1", port), embodiment, None, resets=resets)
        ) as link:
            if resets and has_reset:
                with pytest.raises(RemoteError, match="no such history"):
                    link.check()
                assert not policy.instructions
            else:
                link.check()
                assert policy.instructions


def test_a_call_that_keeps_warm_is_forgotten(place, policy, link_to):
    """It infers once, and the next query begins with a reset even in the same episode."""
    link = link_to(place.address)
    link.query(fill, 1)
    asked, resets = len(policy.instructions), policy.resets
    link.warm()
    assert (len(policy.instructions), policy.resets) == (asked + 1, resets)
    link.query(fill, 1)
    assert policy.resets == resets + 1


def test_a_call_that_keeps_warm_finds_what_has_changed(place, policy, link_to):
    """A server's own text is none of it; a lost server is, and the next query checks again."""
    link = link_to(place.address)
    link.warm()
    assert link.checked is not None, "without a check it makes one"
    policy.error = RuntimeError("busy: later")
    with pytest.raises(RemoteError, match="busy"):
        link.warm()
    assert link.checked is not None
    policy.error = None
    place.restart(policy)
    with pytest.raises(UnreachableError):
        link.warm()
    assert link.query(fill, 1)[0] == "filled"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Unknown endpoint: reset"),
        ValueError("unknown endpoint: reset"),
        RuntimeError("ValueError: Unknown endpoint: reset"),
        RuntimeError("Error processing request: Unknown endpoint: reset"),
        ValueError("Invalid endpoint"),
        ValueError("Endpoint 'reset' not found"),
        KeyError("reset"),
    ],
    ids=repr,
)
def test_a_server_that_has_no_reset_is_queried_all_the_same(place, policy, link_to, error):
    """Its answer says so (wire.md 3): asked at the check, and once in this episode."""
    asked = []

    def unknown(options):
        asked.append(options)
        raise error

    policy.reset = unknown
    link = link_to(place.address)
    for _ in range(3):
        assert link.query(fill, 1)[0] == "filled"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("busy: waited 500 ms for its turn"),
        RuntimeError("cannot clear the history: CUDA error: unspecified launch failure"),
        ValueError("no episodes here"),
        KeyError("history"),
        KeyError("reset state"),
        RuntimeError("cannot reset: 'reset'"),
        RuntimeError("endpoint of the arm's path not found"),
        NotImplementedError(),
    ],
)
def test_a_reset_that_failed_is_asked_for_again_before_anything_is_sent(
    place, policy, link_to, error
):
    """Whatever its text: a policy with a memory would go on in the episode before."""
    link, reset = link_to(place.address), policy.reset

    def fail(options):
        raise error

    link.check()
    policy.reset, asked, resets = fail, len(policy.instructions), policy.resets
    for _ in range(2):
        with pytest.raises(RemoteError) as caught:
            link.query(fill, 1)
        assert caught.value.server_text == str(error)
    assert len(policy.instructions) == asked
    policy.reset = reset
    assert link.query(fill, 1)[0] == "filled" and policy.resets == resets + 1


# Losses and failures.


@pytest.mark.parametrize("new_episode", [False, True])
@pytest.mark.parametrize("change", ["representation", "history", "keys"])
def test_a_server_restarted_as_another_embodiment_is_refused_at_the_next_query(
    place, policy, link_to, embodiment, change, new_episode
):
    """Though it answers: the client connects anew without a word, and the answer is never used."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    other = Watched(embodiment)
    if change == "representation":
        configs = other.modality["action"].action_configs
        changed(other, "action", action_configs=tuple({**c, "rep": "DELTA"} for c in configs))
    elif change == "history":
        changed(other, "video", delta_indices=(-1, 0))
    else:
        other.modality["state"] = ModalityEntry((0,), ("joint_position", "torque"))
    place.restart(other)
    for _ in range(3):
        with pytest.raises(RefusedError, match="does not fit embodiment franka_droid"):
            link.query(fill, episode=2 if new_episode else 1)
        assert link.checked is None


@pytest.mark.parametrize("found_by", ["query", "check", "warm"])
def test_what_the_caller_refuses_is_refused_at_each_check_until_another_server_is_there(
    place, policy, link_to, embodiment, found_by
):
    """As roll_state a gripper that becomes relative: a fault, also after a check that failed."""
    link = link_to(place.address, refuse=StateRoll(embodiment).refuse_relative)
    ask = {"query": lambda: link.query(fill, episode=1), "check": link.check, "warm": link.warm}
    link.query(fill, episode=1)
    other = Watched(embodiment)
    entry = other.modality["action"]
    relative = [
        {**config, "rep": "RELATIVE"} if key == "gripper_position" else config
        for key, config in zip(entry.keys, entry.action_configs, strict=True)
    ]
    changed(other, "action", action_configs=tuple(relative))
    place.restart(other)
    asked = []
    for find in (found_by, "query", "query", "warm"):
        with pytest.raises(RefusedError, match="roll_state: .*gripper_position is rel") as caught:
            ask[find]()
        assert outlook_of(caught.value) is Outlook.PERSON and link.checked is None
        asked.append((len(other.instructions), other.resets))
    assert set(asked) == {(found_by != "check", 0)}, "what found it is all that was inferred"
    place.restart(policy)
    link.check()
    assert link.query(fill, episode=1)[0] == "filled"


def test_a_server_restarted_as_itself_loses_one_answer_and_is_reset(
    place, policy, link_to, embodiment
):
    """It is checked, and it has forgotten the episode."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    before, fresh = link.checked, Watched(embodiment)
    place.restart(fresh)
    with pytest.raises(UnreachableError, match="its first answer is dropped"):
        link.query(fill, episode=1)
    assert link.checked is not None and link.checked is not before
    assert link.query(fill, episode=1)[0] == "filled"
    assert fresh.resets == 2, "at the check, and before the query"


def test_a_restarted_server_that_speaks_another_generation_is_spoken_to_in_it(
    place, policy, link_to, embodiment
):
    """The request buffers belong to the check."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    place.restart(Watched(embodiment), generation="A2", flat=True)
    with pytest.raises(UnreachableError):
        link.query(fill, episode=1)
    assert link.query(fill, episode=1)[0] == "filled"
    assert (link.checked.server.array_codec, link.checked.server.key_style) == ("npy", "flat")


def test_a_failed_exchange_is_followed_by_a_new_check(place, policy, link_to):
    """After a deadline, another server may be there by the next query."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    asked = len(policy.instructions)
    link._client._timeout_ms = SHORT_MS
    policy.go.clear()
    with pytest.raises(DeadlineError):
        link.query(fill, episode=1)
    assert link.checked is None
    policy.go.set()
    link._client._timeout_ms = 20_000
    end_s = time.monotonic() + LIMIT_S
    while len(policy.instructions) == asked and time.monotonic() < end_s:
        time.sleep(0.01)  # until the query that came too late has arrived
    asked = len(policy.instructions)
    link.query(fill, episode=1)
    assert policy.instructions[asked] == ""
    assert link.checked is not None and policy.resets == 4, "two checks, twice the episode"


def test_an_error_answer_needs_no_new_check(place, policy, link_to):
    """The server is there and has said so."""
    link = link_to(place.address)
    before = link.check()
    policy.error = KeyError("tired")
    for _ in range(5):
        with pytest.raises(RemoteError, match="tired"):
            link.query(fill, episode=1)
    assert link.checked is before
    policy.error = None
    assert link.query(fill, episode=1)[0] == "filled"


def test_a_fill_that_raises_sends_nothing_and_returns_its_buffer(place, policy, link_to):
    """An observation with a gap, again and again."""
    link = link_to(place.address)
    link.check()
    asked = len(policy.instructions)

    def gap(template):
        raise ObservationError("camera is late")

    for _ in range(5):
        with pytest.raises(ObservationError, match="camera is late"):
            link.query(gap, episode=1)
    assert len(policy.instructions) == asked
    assert link.query(fill, episode=1)[0] == "filled"


@pytest.mark.parametrize("error", [DeadlineError("late"), OSError("no memory"), KeyError("x")])
def test_no_kind_of_failure_uses_up_the_buffers_or_sends_one_that_may_be_in_flight(
    place, policy, link_to, error, monkeypatch
):
    """More failures than there are buffers; each frame that was sent is never written again."""
    link = link_to(place.address)
    link.check()
    used = []

    def fail(template):
        used.append(template)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(link._client, "get_action", fail)
        for _ in range(5):
            with pytest.raises(type(error)):
                link._send(link._buffers, link._buffers.take(), fill)
            assert link.checked is None
    assert len({id(template) for template in used}) == 5
    template = link._buffers.take()
    assert template is not None and all(template is not old for old in used)
    link._buffers.give_back(template)
    assert link.query(fill, episode=1)[0] == "filled"


@pytest.mark.parametrize("episode", [1, 2])
def test_a_server_that_is_gone_is_unreachable_until_it_is_back(
    place, policy, link_to, embodiment, episode
):
    """Failure after failure, of the query or already of the reset, then as before."""
    link = link_to(place.address)
    link.query(fill, episode=1)
    link._client._timeout_ms = SHORT_MS
    place.end()
    for _ in range(2):
        with pytest.raises(UnreachableError):
            link.query(fill, episode)
        assert link.checked is None
    place.start(Watched(embodiment), bind=place.address)
    link._client._timeout_ms = 20_000
    assert link.query(fill, episode)[0] == "filled"
