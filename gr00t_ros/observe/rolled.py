"""An observation whose joint state is rolled forward to the time at which its chunk is executed.

Its stamp moves with the state, because the server makes relative actions absolute against the state
that is sent: the rows of the chunk then count from the rolled time on. The pictures stay as they
are. Only joints that the node commands are rolled, by what its plan moves them; poses that are
computed from them follow. What is measured only stays as it was measured.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import RefusedError, SettingsError
from gr00t_ros.observe.modality import ModalityConfig, relative_keys
from gr00t_ros.observe.observation import Observation
from gr00t_ros.observe.readings import encode_computed
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream

Floats = NDArray[np.float64]
ROLL_STATE: Final = "roll_state"  # the parameter


class StateRoll:
    """Rolls the states of one robot's observations.

    A joint with `jump: unchecked` is not rolled: it takes steps, such as a gripper's, and may be
    held back by what it grasps.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        """Raises SettingsError, with the reason, for a robot whose state cannot be rolled."""
        names, checked = embodiment.joint_names, np.isfinite(embodiment.limits.jump)
        self._columns = {name: i for i, name in enumerate(names) if checked[i]}
        self._embodiment = embodiment
        self._joints = [s for s in embodiment.state if s.source == "joints"]
        self._computed = [
            s for s in embodiment.state if s.source == "kinematics" and self._rolls(s)
        ]
        refused = self._problem()
        if refused:
            raise SettingsError(
                f"{ROLL_STATE}: {refused}; expected {ROLL_STATE} false for this robot"
            )

    def refuse_relative(self, config: ModalityConfig) -> None:
        """Raise RefusedError if the server makes actions relative to a state that is not rolled.

        Their rows would begin at the joint's old position, but count from the rolled time on.
        """
        relative = relative_keys(config)
        for action in self._embodiment.action:
            left = [name for name in action.names if name not in self._columns]
            if action.output is not None and action.key in relative and left:
                raise RefusedError(
                    f"{ROLL_STATE}: the server's action {action.key} is relative, and "
                    f"{', '.join(left)} cannot be rolled; expected {ROLL_STATE} false for this "
                    "robot"
                )

    def roll(self, observation: Observation, by_ns: int, moved: Floats) -> Observation:
        """The observation `by_ns` later; moved: (J,) of the plan's joints in that time.

        Raises ObservationError if a pose cannot be computed.
        """
        state = dict(observation.state)
        positions: dict[str, float] = {}
        for stream in self._joints:
            by = np.array([self._moved(name, moved) for name in stream.names])
            at = self._positions(stream, observation.state[stream.key][-1]) + by
            positions |= zip(stream.names, at.tolist(), strict=True)
            if by.any():
                state[stream.key] = self._values(stream, at)[None].astype(np.float32)
        for stream in self._computed:
            if any(self._moved(name, moved) for name in stream.names):
                joints = np.array([[positions[name] for name in stream.names]])
                state[stream.key] = encode_computed(stream, joints)
        return replace(observation, stamp_ns=observation.stamp_ns + by_ns, state=state)

    def _moved(self, name: str, moved: Floats) -> float:
        column = self._columns.get(name)
        return 0.0 if column is None else float(moved[column])

    def _rolls(self, stream: StateStream) -> bool:
        return any(name in self._columns for name in stream.names)

    def _problem(self) -> str:
        """Why the state of the robot cannot be rolled, empty if it can."""
        robot = self._embodiment
        if robot.poses:
            return f"output {robot.poses[0].name} commands poses, and not joints"
        if not any(self._rolls(stream) for stream in self._joints):
            return "no state has a joint that the node commands and whose jump is checked"
        sent = {name for stream in self._joints for name in stream.names}
        for stream in robot.state:
            if stream.source in ("pose", "tf"):
                return f"state {stream.key} is a measured pose, which the plan does not foretell"
            if self._rolls(stream) and stream.delta_indices != (0,):
                return f"state {stream.key} has a history"
            if stream in self._computed and not sent.issuperset(stream.names):
                missing = sorted(set(stream.names) - sent)
                return (
                    f"state {stream.key} is computed from {', '.join(missing)}, which no state has"
                )
        return ""

    @staticmethod
    def _positions(stream: StateStream, values: NDArray[np.float32]) -> Floats:
        """(N,) positions of the stream's joints, of its values as they are sent."""
        wide = values.astype(np.float64)
        return wide if stream.scale is None else stream.scale.to_joint(wide)

    @staticmethod
    def _values(stream: StateStream, positions: Floats) -> Floats:
        """(N,) of positions, as they are sent: a value beyond its scale is clipped to it."""
        if stream.scale is None:
            return positions
        return stream.scale.to_policy(np.clip(stream.scale.fraction(positions), 0.0, 1.0))
