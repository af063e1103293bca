"""What speaks against motion on the robot's side: streams, controllers, limits, where the arm is.

One list of checks for both: the node refuses its activation by them, and the doctor puts them into
a table. Publishes nothing and asks the policy server nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rclpy.node import Node

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import Gr00tError, ObservationError
from gr00t_ros.core.watchdog import Finding, Reaction
from gr00t_ros.ros.controller_manager import ControllerManager, controllers_of
from gr00t_ros.ros.controller_parameters import ControllerParameters
from gr00t_ros.ros.described_limits import DescribedLimits
from gr00t_ros.ros.heartbeat import Heartbeats
from gr00t_ros.ros.inputs import Inputs
from gr00t_ros.ros.outputs import action_servers, command_readers
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.readiness import output_problems, server_problems
from gr00t_ros.ros.rivals import Rivals
from gr00t_ros.ros.surroundings import Positions, Surroundings


@dataclass(frozen=True, slots=True)
class RobotChecks:
    """The checks of one robot; `readers` is outputs.command_readers, empty in shadow."""

    node: Node
    inputs: Inputs
    surroundings: Surroundings
    readers: Mapping[str, str]
    rivals: Rivals
    controllers: ControllerParameters
    manager: ControllerManager
    limits: DescribedLimits
    servers: Mapping[str, tuple[str, ...]]
    hearts: Heartbeats

    @staticmethod
    def of(
        node: Node,
        inputs: Inputs,
        surroundings: Surroundings,
        robot: Embodiment,
        values: Parameters,
    ) -> RobotChecks:
        """The checks of `robot`; in shadow nobody is commanded, so nobody has to listen."""
        readers = {} if values.shadow else command_readers(node, robot)
        controllers = {} if values.shadow else controllers_of(node, robot)
        return RobotChecks(
            node,
            inputs,
            surroundings,
            readers,
            Rivals(node, tuple(readers)),
            ControllerParameters(node, tuple(readers)),
            ControllerManager(node, values.controller_manager, controllers),
            DescribedLimits(node, robot),
            {} if values.shadow else action_servers(node, robot),
            Heartbeats(node, robot, values, surroundings.awake_ns),
        )

    def streams(self, now_ns: int) -> list[str]:
        """Streams, cameras, controllers' states: late, unusable, frozen, silent, other joints."""
        found = [finding.reason for finding in self.surroundings.findings(now_ns)]
        return found + (self._other_joints() if self.readers else [])

    def _other_joints(self) -> list[str]:
        """Controllers that tell of other joints than their output's: they take no window of it."""
        found = []
        for output, reading in self.surroundings.controllers():
            try:
                self.surroundings.played_and_measured(((output, reading),))
            except ObservationError as error:
                text = f"{error}; is {output.topic} the controller of these joints?"
                found.append(f"controller.{output.name}: {text}")
        return found

    def commands(self) -> list[str]:
        """Command topics and the controllers behind them; nobody is commanded in shadow."""
        if not self.readers:
            return []
        problems = output_problems(self.node, self.readers, self.rivals)
        problems += server_problems(self.node, self.servers)
        hearts = (*self.hearts.silent(), *self.hearts.doubled())
        problems += [found.reason for found in (*self.manager.findings(), *hearts)]
        return problems + self.controllers.problems() + self.limits.problems()

    def observation(self) -> list[str]:
        """Why no observation can be assembled now, such as a history that is too short."""
        gaps = self.inputs.observe()
        return [str(gap) for gap in gaps] if isinstance(gaps, tuple) else []

    def start(self) -> tuple[Positions | None, list[Finding]]:
        """Where a plan would start, and what speaks against a start; None: it is not known."""
        try:
            start = self.surroundings.start()
            against = self.surroundings.outside_finding()
            if against is None and self.readers:
                against = self.surroundings.held_finding()
        except Gr00tError as error:
            return None, [Finding("held_position", Reaction.FAULT, str(error))]
        return start, [against] if against else []
