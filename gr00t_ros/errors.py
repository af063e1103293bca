"""Every deliberate error of gr00t_ros; the type says whose fault it is.

    Gr00tError
    ├── EmbodimentError        yours: the embodiment file
    ├── ProfileError           yours: the file that says how a policy server is started
    ├── SettingsError          yours: parameters that contradict each other
    ├── ObservationError       yours: a topic's content cannot become an observation
    │   └── SkewError          yours: the streams of one observation are too far apart
    ├── RotationError          numbers that are no rotation: the caller says whose
    ├── BagError               yours: a bag that cannot be read, played or written
    ├── StalledError           ours: a thread did not take a command in time, see `begun`
    ├── StampError             ours: a message with a stamp that no receiver can read was not sent
    ├── SendError              ours: a message was to be sent, and whether it left is not known
    ├── PlanError              ours: a plan that would break its own promise was not made
    ├── SimulationError        ours: a simulated world that lost its numbers
    ├── ModeError              ours: an event that the mode table does not know in this mode
    ├── WireError              theirs: bytes that are no valid message
    │   └── TooLargeError      theirs: more bytes than the cap allows
    ├── ChunkError             theirs: an action reply of the wrong keys, shape or values
    └── SidecarError           the exchange with the policy server
        ├── LaunchError        a policy server that cannot or may not be started here
        ├── UnreachableError   nobody listens there
        │   └── ClosedError    it listens, but has closed the connection before its reply
        ├── DeadlineError      no answer before the deadline
        ├── RefusedError       a generation, token or modality that cannot work
        └── RemoteError        the server answered with an error text

Every message has the place, what was got and what was expected.
"""


class Gr00tError(Exception):
    """Base of every deliberate error of this package."""


class EmbodimentError(Gr00tError):
    """The embodiment file is wrong: the message names the key's path in the file, `place`."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class ProfileError(Gr00tError):
    """A sidecar profile is wrong: the message names the key's path in the file."""


class SettingsError(Gr00tError):
    """Parameters contradict each other: the message names both and the rule."""


class ObservationError(Gr00tError):
    """A message on a topic cannot become part of an observation."""


class SkewError(ObservationError):
    """Streams of one observation are too far apart in time; `stream` is the farthest one."""

    def __init__(self, message: str, stream: str, apart_ns: int, allowed_ns: int) -> None:
        super().__init__(message)
        self.stream, self.apart_ns, self.allowed_ns = stream, apart_ns, allowed_ns


class RotationError(Gr00tError):
    """Numbers that are no rotation: not finite, not of unit length, mirrored or degenerate."""


class BagError(Gr00tError):
    """A bag that cannot be read, played or written: the message names it and what to do."""


class StalledError(Gr00tError):
    """A thread did not answer in time; `begun`: it had begun, else it will never do it."""

    def __init__(self, message: str, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class StampError(Gr00tError):
    """A message would have a stamp that is not positive, which no receiver can read."""


class SendError(Gr00tError):
    """The middleware raised while it was handed a message: whether it left is not known."""


class PlanError(Gr00tError):
    """A plan cannot be made that keeps its limits; nothing was published."""


class SimulationError(Gr00tError):
    """The simulated world lost its numbers: nothing that it says afterwards is of use."""


class ModeError(Gr00tError):
    """An event that the table of modes does not allow in the present mode."""


class WireError(Gr00tError):
    """Bytes that are no valid message of the policy server's wire contract."""


class TooLargeError(WireError):
    """More bytes than the cap allows; nothing of them was decoded."""


class ChunkError(Gr00tError):
    """An action reply whose keys, shape or values cannot be an action chunk.

    `kind` is "keys", "dtype", "shape" or "finite": the watchdog counts each differently.
    """

    def __init__(self, message: str, kind: str = "shape") -> None:
        super().__init__(message)
        self.kind = kind


class SidecarError(Gr00tError):
    """The exchange with the policy server failed."""


class LaunchError(SidecarError):
    """A policy server cannot be started here, or not without an acknowledgement."""


class UnreachableError(SidecarError):
    """Nobody listens at the policy server's address."""


class ClosedError(UnreachableError):
    """The policy server closed the connection before its reply, and still listens."""


class DeadlineError(SidecarError):
    """The policy server did not answer before the deadline."""


class RefusedError(SidecarError):
    """A server whose generation, token or modality config cannot work with this node."""


class RemoteError(SidecarError):
    """The policy server answered with an error text; `said` is that text, one printable line."""

    def __init__(self, message: str, said: str | None = None) -> None:
        super().__init__(message)
        self.said = message if said is None else said
