"""The robot's state from the inputs, for watches and activation: findings, held and measured.

Reads Inputs; never waits for the network; publishes nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.controller_state import ControllerReading
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.inputs.stream_report import StreamReport
from gr00t_ros.motion.clocks import Awake, awake_ns
from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS, Age, Sample
from gr00t_ros.observe.readings import JointReading, select
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.limits import Workspace
from gr00t_ros.robot.rotation import Pose, matrix_from_quaternion
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.session import start as start_rules
from gr00t_ros.session.start import HeldOutput
from gr00t_ros.watch.arm import (
    controller_clock,
    controller_silent,
    outside_limits,
    speed_scaling,
)
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.inputs import stream_age
from gr00t_ros.watch.table import reasoned

Positions = NDArray[np.float64]
ControllerReadings = tuple[tuple[Output, ControllerReading | None], ...]

# A joint state older than this many times the age that pauses is not used as a measurement.
_STALE_AGES = 2


class RobotState:
    """The state of one robot for watches and starts; all methods may be called from any thread."""

    def __init__(
        self,
        inputs: Inputs,
        embodiment: Embodiment,
        clock: PlanClock,
        values: Parameters,
        awake: Awake | None = None,
    ) -> None:
        """Read `inputs`; the attribute `parameters` may be replaced while running.

        `awake`: when the replay thread ran; `inputs` has the same for the pull thread.
        """
        self._awake = awake
        self._inputs, self._embodiment, self._clock = inputs, embodiment, clock
        self.parameters = values
        self._reported: set[str] = set()  # outputs whose controller has ever published a state

    def reports(self) -> tuple[StreamReport, ...]:
        """The present report of every stream."""
        return self._inputs.streams()

    def findings(self) -> tuple[Finding, ...]:
        """Findings of watches that need no running session: streams, cameras, controllers.

        A controller that never published a state is no finding: it holds what the node commanded.
        """
        found = [self._silent(output) for output in self._embodiment.outputs]
        if not self.parameters.shadow:  # in shadow another commander may use any speed
            for output, reading in self.controllers():
                if reading is not None:
                    found.append(speed_scaling(output.name, reading.speed_scaling))
                    found.append(self._clock_of(output))
        found += [f for c in self._inputs.cameras() for f in c.findings(self.parameters)]
        found += [self._age(report) for report in self._pulled_reports()]
        return tuple(finding for finding in found if finding is not None)

    def _pulled_reports(self) -> tuple[StreamReport, ...]:
        """The reports; where a joint state is late, after a pull of what waits.

        A late pull thread must not look like a silent driver.
        """
        reports = self.reports()
        states = (one for one in reports if one.name.startswith("state."))
        if all(one.fresh or one.age_ns is None for one in states):
            return reports
        self.pull_robot()
        return self.reports()

    def awake_ns(self, age_ns: int) -> int:
        """The part of the last `age_ns` in which both the pull and the replay thread ran."""
        now_ns = time.monotonic_ns()
        sleeps = self._inputs.awake.sleeps(now_ns)
        if self._awake is not None:
            sleeps += self._awake.sleeps(now_ns)
        return awake_ns(now_ns - age_ns, now_ns, sleeps)

    def replay_awake_ns(self, age_ns: int) -> int:
        """As `awake_ns`, for the replay thread alone: for ages of messages that it pulls itself.

        A blocked pull thread must not hide that the connection to a controller is cut.
        """
        now_ns = time.monotonic_ns()
        sleeps = () if self._awake is None else self._awake.sleeps(now_ns)
        return awake_ns(now_ns - age_ns, now_ns, sleeps)

    def state_stamp(self, output: Output) -> int | None:
        """Stamp (ROS ns) of the newest state of an output's controller, None if none arrived."""
        sample = self._inputs.controller(output.name)
        return None if sample is None else sample.stamp_ns

    def newest_states(self) -> Iterator[Sample | None]:
        """The newest state of each output's controller, None for one that never published any.

        Also None for each output of poses: what plays it publishes no state.
        """
        for output in self._embodiment.outputs:
            yield self._inputs.controller(output.name)
        for _ in self._embodiment.poses:
            yield None

    def oldest_state(self, outputs: Iterable[Output]) -> tuple[str, Sample] | None:
        """The controller (name of its output) whose newest state arrived first, and that state.

        Controllers that never published a state do not count; None if none ever did.
        """
        states = [(output.name, self._inputs.controller(output.name)) for output in outputs]
        known = [(name, state) for name, state in states if state is not None]
        return min(known, key=lambda one: one[1].received_ns, default=None)

    def joints_received(self, output: Output) -> tuple[int, int] | None:
        """Stamp (ROS ns) and age (ns, by arrival, awake) of the newest state of an output's joints.

        The replay thread pulls them before it reports a silence, so only its own sleeps count.
        None if one of the joints was never received.
        """
        sample = self._inputs.joints(output.names)
        if sample is None:
            return None
        return sample.stamp_ns, self.replay_awake_ns(time.monotonic_ns() - sample.received_ns)

    def pull_robot(self) -> None:
        """Take all waiting messages of joint states and controllers."""
        self._inputs.pull_robot()

    def controllers(self) -> ControllerReadings:
        """Each output with its controller's newest state; None if it is missing or too old."""
        return tuple((output, self._controller(output)) for output in self._embodiment.outputs)

    @staticmethod
    def played_and_measured(
        output: Output, reading: ControllerReading
    ) -> tuple[Positions, Positions]:
        """(n,) reference and (n,) feedback of one output, from one message of its controller.

        Raises ObservationError for a state that is not finite or misses joints of the output.
        """
        return select(output.names, reading.reference), select(output.names, reading.feedback)

    def references(self) -> tuple[tuple[Output, Sample, Positions], ...]:
        """Each output with its controller's newest state, and that state's (n,) reference.

        Outputs whose controller is silent or has other joints are left out.
        """
        found = []
        for output in self._embodiment.outputs:
            reading, sample = self._controller(output), self._inputs.controller(output.name)
            with contextlib.suppress(ObservationError):
                if reading is not None and sample is not None and sample.value is reading:
                    played = select(output.names, reading.reference)
                    found.append((output, sample, played))
        return tuple(found)

    def commanded(self) -> tuple[tuple[Output, int, Positions], ...]:
        """Each output with the stamp (ROS ns) and the (n,) of `references`.

        Outputs with a silent controller have the measured position.
        """
        found = [(output, state.stamp_ns, played) for output, state, played in self.references()]
        referenced = {output.name for output, _, _ in found}
        for output in self._embodiment.outputs:
            sample, _ = self._fresh_joints(output.names)
            if sample is not None and output.name not in referenced:
                with contextlib.suppress(ObservationError):
                    found.append((output, sample.stamp_ns, _selected(output.names, sample)))
        return tuple(found)

    def forget(self) -> None:
        """Drop all received messages: after a clock jump they belong to another time base."""
        self._inputs.clear()

    def held(self) -> Positions | None:
        """(J,) position that the controllers hold or play; None if one of them is unknown."""
        return start_rules.held_by_all(self._held())

    def held_or(self, planned: Positions) -> Positions | None:
        """(J,) position from which a plan at rest continues (session/start.continue_from)."""
        return start_rules.continue_from(self._held(), planned)

    def start_position(self) -> Positions:
        """(J,) position from which a first plan starts (session/start.start_from).

        Raises ObservationError with the reason if it is unknown.
        """
        outputs = self._embodiment.outputs
        found = start_rules.start_from(
            self._held(), [self._measured_or_why(output) for output in outputs]
        )
        if isinstance(found, str):
            raise ObservationError(found)
        return found

    def measured(self) -> Positions:
        """(J,) measured position in plan joint order, from joint states, else the controllers.

        Raises ObservationError for joints without a recent value from either.
        """
        sample, _ = self._fresh_joints(self._embodiment.joint_names)
        if sample is not None:
            with contextlib.suppress(ObservationError):
                return _selected(self._embodiment.joint_names, sample)
        return np.concatenate([self._measured(output) for output in self._embodiment.outputs])

    def joints(self, names: tuple[str, ...]) -> Positions | None:
        """(n,) measured positions of these joints, rad or m; None if one is missing or too old."""
        sample, _ = self._fresh_joints(names)
        if sample is None:
            return None
        with contextlib.suppress(ObservationError):
            return _selected(names, sample)
        return None

    def measured_or_none(self) -> Positions | None:
        """(J,) as `measured`; None where that raises ObservationError."""
        try:
            return self.measured()
        except ObservationError:
            return None

    def end_effector(self, workspace: Workspace) -> Positions | None:
        """(3,) m, the measured position to compare with the workspace box; None if unknown."""
        if workspace.pose is not None:
            pose = self._inputs.pose(workspace.pose)
            return None if pose is None else pose.position_m
        if workspace.chain is None:
            return None
        measured = self.measured_or_none()  # if None, the streams report what is missing
        return None if measured is None else workspace.chain.pose(measured)[0]

    def poses(self) -> dict[str, Pose]:
        """Name of each pose output -> its newest measured pose; unknown poses are left out.

        Raises RotationError for a quaternion that is not a rotation.
        """
        found = {}
        for output in self._embodiment.poses:
            reading = self._inputs.pose(output.pose)
            if reading is not None and reading.frame_id == output.frame:
                rotation = matrix_from_quaternion(reading.quaternion_xyzw)
                found[output.name] = Pose(np.array(reading.position_m), rotation)
        return found

    def held_finding(self) -> Finding | None:
        """Compare held and measured position before a start."""
        return start_rules.apart(self.start_position(), self.measured(), self._embodiment.limits)

    def outside_finding(self) -> Finding | None:
        """Compare the measured position with the file's limits before a start."""
        return outside_limits(self._embodiment.limits, self.measured())

    def _measured_or_why(self, output: Output) -> Positions | str:
        """(n,) measured position of an output, or the reason why there is none."""
        try:
            return self._measured(output)
        except ObservationError as error:
            return str(error)

    def _measured(self, output: Output) -> Positions:
        """(n,) measured position of an output, from joint states, else its controller."""
        sample, stale = self._fresh_joints(output.names)
        if sample is not None:
            with contextlib.suppress(ObservationError):
                return _selected(output.names, sample)
        reading = self._controller(output)
        if reading is None:
            raise ObservationError(
                f"output {output.name}: neither a joint state nor {output.state_topic} has its "
                f"joints {', '.join(output.names)}{stale}"
            )
        return select(output.names, reading.feedback)

    def _fresh_joints(self, names: tuple[str, ...]) -> tuple[Sample | None, str]:
        """A fresh sample of these joints, or None and a text about the old one, if any."""
        allowed_s = _STALE_AGES * self.parameters.max_joint_age_s
        sample = self._inputs.joints(names)
        if sample is None:
            return None, ""
        age_s = Age.of(sample, self._clock.ros_now_ns(), time.monotonic_ns()).ns / 1e9
        if age_s <= allowed_s:
            return sample, ""
        return None, f"; a joint state is {age_s:.2f} s old, at most {allowed_s:.2f} s allowed"

    def _held(self) -> list[HeldOutput]:
        """What each output's controller holds; remembers which of them ever published a state."""
        found = []
        for output in self._embodiment.outputs:
            reading, position = self._controller(output), None
            if reading is not None:
                self._reported.add(output.name)
                with contextlib.suppress(ObservationError):
                    position = select(output.names, reading.reference)
            found.append(HeldOutput(output, position, output.name in self._reported))
        return found

    def _age(self, report: StreamReport) -> Finding | None:
        if report.mixed:
            return reasoned("mixed_publishers", f"{report.name}: {report.problem}")
        if report.name.startswith("controller."):
            return None
        if report.fresh and not report.usable:
            return reasoned("stream_content", f"{report.name}: {report.problem}")
        video, values = report.is_video, self.parameters
        fault_s = values.camera_fault_age_s if video else values.joint_fault_age_s
        awake = None if report.age_ns is None else self.awake_ns(report.age_ns)
        return stream_age(
            report.name,
            report.topic,
            report.age_ns,
            report.max_age_ns,
            int(fault_s * 1e9),
            report.problem,
            awake,
        )

    def _silent(self, output: Output) -> Finding | None:
        sample = self._inputs.controller(output.name)
        age_ns = None
        if sample is not None:
            age_ns = self.awake_ns(time.monotonic_ns() - sample.received_ns)
        limit_ns = int(self.parameters.controller_silence_s * 1e9)
        return controller_silent(output.name, output.state_topic, age_ns, limit_ns)

    def _clock_of(self, output: Output) -> Finding | None:
        """A controller's clock, by its newest state; in simulated time, how late ours is."""
        sample = self._inputs.controller(output.name)
        if sample is None:
            return None
        return controller_clock(output.name, output.state_topic, sample.least_way_ns)

    def _controller(self, output: Output) -> ControllerReading | None:
        """The newest state of an output's controller, None if it arrived over 0.2 s ago.

        In simulated time, which may be slow, it is taken for longer: until it is 0.2 s old by its
        stamp, or the controller counts as silent.
        """
        sample = self._inputs.controller(output.name)
        if sample is None or not self._is_new(sample):
            return None
        reading = sample.value
        return reading if isinstance(reading, ControllerReading) else None

    def _is_new(self, state: Sample) -> bool:
        age = Age.of(state, self._clock.ros_now_ns(), time.monotonic_ns())
        if age.silent_ns <= CONTROLLER_MAX_AGE_NS or not self._clock.simulated:
            return age.silent_ns <= CONTROLLER_MAX_AGE_NS
        talks = age.silent_ns <= self.parameters.controller_silence_s * 1e9
        return talks and age.stamp_ns <= CONTROLLER_MAX_AGE_NS


def _selected(names: Sequence[str], sample: Sample) -> Positions:
    """(n,) positions of these joints in a sample of joint states; raises as `select` does."""
    assert isinstance(sample.value, JointReading)
    return select(names, sample.value)
