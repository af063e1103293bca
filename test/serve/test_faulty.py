"""faulty: each fault changes what its kind says, when it says, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import ChunkError, DeadlineError, SettingsError, UnreachableError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.endpoints import DIALECTS, Answer, Endpoints, Terms
from gr00t_ros.serve.faulty import FAULTS, HUGE, Faulty, read_fault
from gr00t_ros.sidecar.serve import CRASH_STATUS
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.codec import decode, encode
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.messages import Generation

PING = encode({"endpoint": "ping"}, "npy")


@pytest.fixture
def faulty(golden_policy):
    """The golden policy behind the faults that are named."""

    def make(*faults, generation="B3"):
        known = Generation(generation)
        inner = Endpoints(golden_policy, DIALECTS[known], Terms())
        return Faulty(inner, [read_fault(text) for text in faults], known.array_codec, crash, 1)

    return make


class Crashed(Exception):
    """Where a process would have ended."""


def crash():
    """End nothing."""
    raise Crashed


@pytest.fixture
def request_of(golden_observation):
    """A get_action request in a generation's own codec."""

    def make(generation="B3"):
        observation = golden_observation
        data = {"observation": observation}
        if generation == "A0":
            data = {
                f"{name}.{key}": value[0]
                for name in ("video", "state")
                for key, value in observation[name].items()
            } | {key: ["pick up"] for key in observation["language"]}
        codec = Generation(generation).array_codec
        return encode({"endpoint": "get_action", "data": data}, codec)

    return make


def action_of(answer):
    """The action map of a reply of any generation."""
    reply = decode(answer.frame)
    return reply[0] if isinstance(reply, list) else reply


@pytest.mark.parametrize(
    ("fault", "of_last"),
    [("nan", np.isnan), ("inf", np.isposinf), ("huge", lambda value: value == np.float32(HUGE))],
)
@pytest.mark.parametrize("generation", ["A0", "A1", "B2", "B3"])
def test_a_wrong_value_stands_in_the_last_step_and_nowhere_else(
    faulty, request_of, golden_policy, generation, fault, of_last
):
    """In every generation's form of the reply."""
    values = next(
        iter(
            action_of(faulty(fault, generation=generation).answer(request_of(generation))).values()
        )
    )
    good = golden_policy.action["joints"].reshape(values.shape)
    assert of_last(values.flat[-1])
    np.testing.assert_array_equal(values.ravel()[:-1], good.ravel()[:-1])
    assert values.dtype == np.float32


@pytest.mark.parametrize(("fault", "wider", "longer"), [("shape", 1, 0), ("horizon", 0, -1)])
def test_a_wrong_shape_is_off_by_one(faulty, request_of, golden_policy, fault, wider, longer):
    """The nearest miss is the one that a lax client lets pass."""
    _, horizon, width = golden_policy.action["joints"].shape
    values = action_of(faulty(fault).answer(request_of()))["joints"]
    assert values.shape == (1, horizon + longer, width + wider)


def test_the_first_key_is_left_out(faulty, request_of):
    """The golden action has one key, so none is left."""
    assert action_of(faulty("keys").answer(request_of())) == {}


def test_late_drop_error_garbage_and_crash_do_what_they_say(faulty, request_of):
    """The ones that do not look into the reply."""
    request = request_of()
    assert faulty("late=5000").answer(request).late_s == 5.0
    assert faulty("late=200", "late=300").answer(request).late_s == 0.5
    assert not faulty("drop").answer(request).sent
    assert decode(faulty("error=out of memory").answer(request).frame) == {"error": "out of memory"}
    spoilt, good = faulty("garbage").answer(request), faulty().answer(request)
    assert good.sent and good.error is None and spoilt.frame != good.frame
    with pytest.raises(Crashed):
        faulty("crash").answer(request)


@pytest.mark.parametrize(
    ("when", "hit"),
    [
        ("", [1, 2, 3, 4]),
        (":1", [1]),
        (":3", [3]),
        (":3+", [3, 4]),
        (":0%", []),
        (":100%", [1, 2, 3, 4]),
    ],
)
def test_a_fault_hits_the_actions_that_are_named(faulty, request_of, when, hit):
    """Counted from one."""
    server, request = faulty(f"drop{when}"), request_of()
    sent = [server.answer(request).sent for _ in range(4)]
    assert [number for number, out in enumerate(sent, 1) if not out] == hit


def test_chance_is_drawn_from_the_seed(faulty, request_of):
    """A run can be repeated; half is neither none nor all."""
    request = request_of()
    runs = []
    for _ in range(2):
        server = faulty("drop:50%")
        runs.append([server.answer(request).sent for _ in range(40)])
    assert runs[0] == runs[1] and 5 < sum(runs[0]) < 35


def test_other_endpoints_and_refused_actions_stay_whole(faulty, golden_bytes):
    """So that a client connects at all."""
    server = faulty("garbage", "crash", "drop")
    assert decode(server.answer(PING).frame)["status"] == "ok"
    bad = server.answer(golden_bytes("msgpack_numpy.bad_dtype.request.bin"))
    assert bad.sent and "must be a numpy array of type" in decode(bad.frame)["error"]
    assert server.actions == 0


@given(st.lists(st.sampled_from([kind for kind in FAULTS if kind not in ("late", "crash")])))
def test_any_faults_together_end_in_an_answer(kinds):
    """However they are ordered on the command line."""
    inner = Whole()
    answer = Faulty(inner, [read_fault(kind) for kind in kinds], "npy", pytest.fail, 1).answer(b"")
    assert isinstance(answer.frame, bytes)


class Whole:
    """One action of one step and one column."""

    def answer(self, frame, max_bytes=0):
        return Answer(encode([{"a": np.zeros((1, 1, 1), "f4")}, {}], "npy"), "get_action")

    def refuse(self, text, endpoint=""):
        return Answer(encode({"error": text}, "npy"), endpoint, error=text)


@pytest.mark.parametrize(
    "text",
    ["", "nothing", "nan:0", "nan:", "nan:x", "nan:101%", "late", "late=soon", "NAN", "nan:1 "],
)
def test_what_is_no_fault_is_refused(text):
    """A fault that silently never comes would make a test pass."""
    with pytest.raises(SettingsError, match="expected"):
        read_fault(text)


def test_faults_on_the_wire_through_the_client_and_its_check(start_sidecar):
    """The link's check is action 1 and 2; a dropped reply ends at the deadline, a crash at once."""
    sidecar = start_sidecar(
        "faulty",
        "--embodiment",
        "franka_droid",
        "--port",
        "0",
        "--fault",
        "drop:4",
        "--fault",
        "nan:5+",
        "--fault",
        "crash:7",
    )
    client = PolicyServerClient("127.0.0.1", sidecar.port, 20_000, key_style="nested")
    link = PolicyLink(client, load_embodiment("franka_droid"), None)
    try:
        link.check()
        assert finite(link.query(lambda template: None, 1)[1])
        client._timeout_ms = 1_500
        with pytest.raises(DeadlineError):
            link.query(lambda template: None, 1)
        client._timeout_ms = 20_000
        with pytest.raises(ChunkError):  # its new check meets the NaN
            link.query(lambda template: None, 1)
        assert sidecar.process.poll() is None
        client.connect()
        for _ in range(2):
            with pytest.raises((UnreachableError, ChunkError)):
                link.check()
    finally:
        link.close()
    assert sidecar.wait()[0] == CRASH_STATUS


def finite(action):
    """Whether all values are."""
    return all(np.isfinite(values).all() for values in action.values())


@pytest.mark.parametrize("fault", ["soon", "late=x"])
def test_a_wrong_fault_on_the_command_line_is_wrong_usage_and_status_two(start_sidecar, fault):
    """As every other thing that a server cannot start with."""
    sidecar = start_sidecar(
        "faulty", "--embodiment", "franka_droid", "--port", "0", "--fault", fault
    )
    status, log = sidecar.wait()
    assert (sidecar.ready, status) == ("", 2)
    assert (
        log.startswith("usage: gr00t sidecar faulty") and "--fault: " in log and "expected" in log
    )
    assert "Traceback" not in log
