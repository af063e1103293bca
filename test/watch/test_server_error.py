"""Each error text of a server is known to pass or to need a person, with the key it means."""

import pytest

from gr00t_ros.errors import (
    ChunkError,
    ClosedError,
    DeadlineError,
    ObservationError,
    RefusedError,
    RemoteError,
    ResetError,
    TooLargeError,
    UnreachableError,
    WireError,
)
from gr00t_ros.proxy.upstream import ANSWERED_TWICE
from gr00t_ros.watch.server import (
    KINDS,
    RESET_KINDS,
    WANTS_FLAT,
    WANTS_NESTED,
    WIDTH,
    Outlook,
    advised,
    kind_of,
    outlook_of,
    suspects,
)

PASSES = [
    "busy: waited 500 ms for its turn",
    "busy: more than 30 requests a second",
    "busy: too many requests wait",
    "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.79 GiB total capacity)",
    "the policy server went away before its reply, or its reply was no message of ZeroMQ or above "
    "the proxy's 16777216 bytes",
    "the policy server cannot be reached by the proxy",
    "the policy server did not answer in 200 ms",
    "the policy server answered without the empty frame of a REP",
    "CUDA error: an illegal memory access was encountered",
    "[Errno 28] No space left on device",
    "something that nobody has seen",
    "",
]
PERSON = {
    "answers twice": [ANSWERED_TWICE],
    "token": ["Unauthorized: Invalid API token"],
    WANTS_FLAT.name: ["Video key 'video.cam' must be in observation", "'video.cam'", "'state.arm'"],
    WANTS_NESTED.name: [
        "Observation must contain a 'video' key",
        "'video'",
        "Gr00tPolicy.get_action() got an unexpected keyword argument 'video.cam'",
    ],
    "array codec": [
        "Video key 'x' must be a numpy array. Got <class 'dict'>",
        "'dict' object has no attribute 'shape'",
    ],
    "width": [
        "State key 'joint_position' must have width 7. Got 6",
        "operands could not be broadcast together with shapes (1,1,6) (7,) ",
        "boolean index did not match indexed array along axis 2; size of axis is 6 but size of "
        "corresponding boolean axis is 7",
        "The size of tensor a (6) must match the size of tensor b (7) at non-singleton dimension 2",
        "mat1 and mat2 shapes cannot be multiplied (1x6 and 7x64)",
    ],
    "observation": [
        "Observation must contain a 'state' key",
        "Video key 'wrist' must be in observation",
        "State key 'arm' must be a numpy array of type np.float32. Got float64",
        "Video key 'wrist's horizon must be 2. Got 1",
        "Video key 'wrist's channel 'C' must be 3. Got 4",
        "State key 'arm' must have batch size 1. Got 2",
        "Language key 'task' must be a list. Got <class 'str'>",
        "Language batch item must be a string. Got <class 'int'>",
        "\"Joint group 'arm' not found in state dict for embodiment 'gr1'\"",
    ],
    "action": ["Action key 'arm's horizon must be 16. Got 40"],
    "request": [
        "Unknown endpoint: get_action",
        "endpoint 'kill' is not forwarded by this proxy",
        "request of 70000000 bytes, expected at most 67108864",
        "got a request of 2 frames, expected one",
    ],
    "missing key": ["'wrist_image'"],
}


@pytest.mark.parametrize("said", PASSES)
def test_what_may_pass_is_every_text_that_is_not_known_to_need_a_person(said) -> None:
    """Busy, memory, a lost server behind a proxy, and what nobody has seen."""
    assert outlook_of(RemoteError(f"get_action: {said}", said)) is Outlook.PASSES


@pytest.mark.parametrize(
    ("name", "said"), [(name, said) for name, texts in PERSON.items() for said in texts]
)
def test_texts_that_need_a_person_are_known_by_their_kind(name, said) -> None:
    """Upstream's strict and bare texts, those of numpy and torch, the proxy's."""
    assert (kind_of(said).name, kind_of(said).outlook) == (name, Outlook.PERSON)
    assert kind_of(said).remedy in advised(RemoteError("get_action: " + said, said))


def test_every_kind_has_an_example_here() -> None:
    """No row is there that no text reaches."""
    reached = {kind_of(said).name for said in PASSES} | set(PERSON)
    assert reached == {kind.name for kind in KINDS}


@pytest.mark.parametrize("said", PASSES + [text for texts in PERSON.values() for text in texts])
def test_the_remedy_of_a_reset_is_none_of_an_observation(said) -> None:
    """No observation was sent: its keys, widths and style cannot be wrong."""
    error = ResetError(f"reset: the server answered: {said}", said)
    remedy = advised(error).removeprefix(f"{error}; ")
    assert remedy in {kind.remedy for kind in RESET_KINDS}
    assert all(word not in remedy for word in ("embodiment file", "key_style", "width"))


@pytest.mark.parametrize("said", ["'history'", "must have width 7", "no episodes here", ""])
def test_a_reset_that_failed_for_its_own_reason_may_pass(said) -> None:
    """The next one may work; `server_errors` decides how long that is tried."""
    error = ResetError("reset", said)
    assert outlook_of(error) is Outlook.PASSES and "the policy's own reset failed" in advised(error)


@pytest.mark.parametrize(
    ("error", "outlook"),
    [
        (RefusedError("another embodiment"), Outlook.PERSON),
        *((ChunkError("wrong", kind), Outlook.PERSON) for kind in ("keys", "dtype", "shape")),
        (ChunkError("nan", "finite"), Outlook.COUNTED),
        (WireError("garbage"), Outlook.COUNTED),
        (TooLargeError("20 MB"), Outlook.COUNTED),
        (DeadlineError("late"), Outlook.SILENT),
        (UnreachableError("nobody"), Outlook.SILENT),
        (ClosedError("cut off"), Outlook.PASSES),
        (ObservationError("no joint state"), Outlook.UNASKED),
        (ValueError("ours"), Outlook.UNASKED),
    ],
    ids=repr,
)
def test_failures_without_a_servers_text_go_by_their_type(error, outlook) -> None:
    """Refused chunks and garbage are counted as before, silence has its own watch."""
    assert outlook_of(error) is outlook
    assert advised(error) == str(error)


WIDTHS = {"arm": 6, "leg": 6, "hand": 5, "gripper": 1, "waist": 2}


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        (PERSON[WIDTH.name][0], ("arm", "leg")),
        (PERSON[WIDTH.name][1], ("arm", "leg")),
        (PERSON[WIDTH.name][2], ("arm", "leg")),
        (PERSON[WIDTH.name][3], ("arm", "leg")),
        ("operands could not be broadcast together with shapes (1,1,1) (7,)", ("gripper",)),
        ("operands could not be broadcast together with shapes (1,1,9) (7,)", ()),
        ("State key 'arm' must have width 7. Got 6", ()),
        ("busy: 6 wait", ()),
    ],
)
def test_a_text_about_a_width_names_the_keys_that_have_it(said, keys) -> None:
    """Unless it names one itself; axes and batches are no widths."""
    assert suspects(said, WIDTHS) == keys
