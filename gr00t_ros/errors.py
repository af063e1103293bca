"""Every error that gr00t_ros raises on purpose; the type says whose fault it is.

    Gr00tError
    ├── EmbodimentError        yours: the embodiment file
    │   └── UnreadableError    yours: there is no such file, or it cannot be read
    ├── SceneError             yours: the scene file
    ├── ProfileError           yours: the file that says how a policy server is started
    ├── SettingsError          yours: parameters that contradict each other
    ├── ObservationError       yours: a topic's content cannot become an observation
    │   └── SkewError          yours: the streams of one observation are too far apart
    ├── RotationError          numbers that are not a rotation: the caller knows whose fault
    ├── BagError               yours: a bag that cannot be read, played or written
    ├── TraceError             yours: a trace that cannot be written, or has nothing in it
    ├── StalledError           ours: a thread did not carry out a call in time, see `begun`
    ├── ThreadError            ours: a thread ended without which its process is of no use
    ├── StampError             ours: a message was not sent, no receiver could read its stamp
    ├── SendError              ours: sending a message failed, it is unknown whether it left
    ├── PlanError              ours: no plan within the limits exists, none was made
    ├── SimulationError        ours: the simulated world's state is not finite
    ├── ModeError              ours: an event that the mode table does not allow in this mode
    ├── WireError              theirs: bytes that are not a valid message
    │   └── TooLargeError      theirs: more bytes than the cap allows
    ├── ChunkError             theirs: an action reply of the wrong keys, shape or values
    └── SidecarError           the exchange with the policy server
        ├── LaunchError        a policy server that cannot or may not be started here
        ├── UnreachableError   nothing listens at the address
        │   └── ClosedError    the server listens, but closed the connection before its reply
        ├── DeadlineError      no answer before the deadline
        ├── RefusedError       a generation, token or modality that cannot work
        └── RemoteError        the server answered with an error text
            └── ResetError     it answered a reset so

Every message states the place, the value found and the value expected.
"""


class Gr00tError(Exception):
    """Base of every error that this package raises on purpose."""


class EmbodimentError(Gr00tError):
    """The embodiment file is wrong: the message names the key's path in the file (`place`)."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class UnreadableError(EmbodimentError):
    """There is no such embodiment file, or it cannot be read."""


class SceneError(Gr00tError):
    """The scene file is wrong: the message names the key's path in the file (`place`)."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class ProfileError(Gr00tError):
    """A sidecar profile is wrong: the message names the key's path in the file."""


class SettingsError(Gr00tError):
    """Settings contradict each other or are out of range: the message names them and the rule."""


class ObservationError(Gr00tError):
    """A message on a topic cannot become part of an observation."""


class SkewError(ObservationError):
    """Streams of one observation are too far apart in time; `stream` is the farthest of them."""

    def __init__(self, message: str, stream: str, apart_ns: int, allowed_ns: int) -> None:
        super().__init__(message)
        self.stream, self.apart_ns, self.allowed_ns = stream, apart_ns, allowed_ns


class RotationError(Gr00tError):
    """Numbers that are not a rotation: not finite, not of unit length, mirrored or degenerate."""


class BagError(Gr00tError):
    """A bag cannot be read, played or written: the message names it and what to do."""


class TraceError(Gr00tError):
    """A trace cannot be written: its path, its disk, its library, or there is nothing in it."""


class StalledError(Gr00tError):
    """A thread did not finish a call in time.

    `begun`: the call had started and may still finish. Otherwise it is cancelled and never runs.
    """

    def __init__(self, message: str, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class ThreadError(Gr00tError):
    """A thread ended with an error, and its process must end too: the message names the thread."""


class NodeError(Gr00tError):
    """The policy node is not there, or does not answer: the message names what was looked for."""


class StampError(Gr00tError):
    """A message was not sent: its stamp would not be positive, which no receiver can read."""


class SendError(Gr00tError):
    """The middleware raised while publishing a message: it is unknown whether the message left."""


class PlanError(Gr00tError):
    """No plan keeps the limits; nothing was published."""


class SimulationError(Gr00tError):
    """The simulated world's state is not finite: nothing that it reports afterwards is valid."""


class ModeError(Gr00tError):
    """The table of modes does not allow this event in the present mode."""


class WireError(Gr00tError):
    """Bytes that are not a valid message of the policy server's wire format."""


class TooLargeError(WireError):
    """More bytes than the cap allows; none of them were decoded."""


class ChunkError(Gr00tError):
    """An action reply whose keys, shape or values do not form an action chunk.

    `kind` is "keys", "dtype", "shape" or "finite": the watches count each differently.
    """

    def __init__(self, message: str, kind: str = "shape") -> None:
        super().__init__(message)
        self.kind = kind


class SidecarError(Gr00tError):
    """The exchange with the policy server failed."""


class LaunchError(SidecarError):
    """A policy server cannot be started here, or only after its license is acknowledged."""


class UnreachableError(SidecarError):
    """Nothing listens at the policy server's address."""


class ClosedError(UnreachableError):
    """The policy server closed the connection before its reply, and still listens."""


class DeadlineError(SidecarError):
    """The policy server did not answer before the deadline."""


class RefusedError(SidecarError):
    """The server's generation, token or modality config cannot work with this client."""


class RemoteError(SidecarError):
    """The policy server answered with an error; `server_text` is its text as one printable line."""

    def __init__(self, message: str, server_text: str | None = None) -> None:
        super().__init__(message)
        self.server_text = message if server_text is None else server_text


class ResetError(RemoteError):
    """The policy server answered a reset with an error: it has no reset, or that failed."""
