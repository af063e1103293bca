"""Coverage-guided fuzzing of what reads a stranger's bytes; run by atheris until -runs are done.

``python fuzz_child.py decoder|proxy|reply -runs=N CORPUS``: an exception that is none of our
typed errors ends the process with a status other than 0 and leaves the input behind.
"""

import sys

import atheris

with atheris.instrument_imports(include=["gr00t_ros.sidecar", "gr00t_ros.core"]):
    from gr00t_ros.core.errors import RefusedError, RemoteError, WireError
    from gr00t_ros.sidecar import messages
    from gr00t_ros.sidecar.codec import decode
    from gr00t_ros.sidecar.envelope import read_envelope
    from gr00t_ros.sidecar.messages import Generation
    from gr00t_ros.sidecar.proxy_core import ALLOWED, ProxyCore
    from gr00t_ros.sidecar.token import Token

MAX_BYTES = 1 << 20
CORE = ProxyCore(upstream_token=Token("s3cret"))
STEP_NS = 1_000_000_000


def decoder(data: bytes) -> None:
    """Decode as the client and our servers do."""
    try:
        decode(data, MAX_BYTES)
    except WireError as error:
        assert str(error)


def reply(data: bytes) -> None:
    """Take bytes for the reply to each endpoint."""
    try:
        found = messages.read_reply(data, "fuzz", MAX_BYTES)
        messages.parse_modality(found, messages.recognise(found))
    except (WireError, RefusedError, RemoteError) as error:
        assert str(error)
    for generation in (Generation.A0, Generation.B3):
        try:
            messages.parse_action(
                messages.read_reply(data, "fuzz", MAX_BYTES), generation, "nested"
            )
        except (WireError, RefusedError, RemoteError) as error:
            assert str(error)


def proxy(data: bytes) -> None:
    """Send bytes as a request: one reply, or one frame to forward that is a request again."""
    proxy.now_ns += STEP_NS
    replies = CORE.request("fuzz", (b"route",), (data,), proxy.now_ns)
    frame = CORE.next_frame(proxy.now_ns)
    assert len(replies) + (frame is not None) == 1
    if frame is not None:
        forwarded = read_envelope(bytes(frame))
        assert forwarded.endpoint in ALLOWED and forwarded.token == "s3cret"
        CORE.answered(b"\x80")


proxy.now_ns = 0


if __name__ == "__main__":
    targets = {"decoder": decoder, "proxy": proxy, "reply": reply}
    target = targets[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
