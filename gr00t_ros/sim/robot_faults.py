"""What can be done to the simulated robot itself: arm blocked, speed scaled, clock broken.

Faults of its topics are the relay's. What touches the physics waits for the physics thread.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence

from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sim.pace import Pace
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.srv import InjectFault

KNOWN = {
    "arm": ("none", "block"),
    "clock": ("none", "stop", "pause", "jump"),
    "controllers": ("none", "scale", "lose"),
}
"""Stream -> its faults, as srv/InjectFault names them."""


class RobotFaults:
    """The faults of one robot; `run_due` belongs to the physics thread."""

    def __init__(self, simulation: Simulation) -> None:
        """Start without a fault."""
        self._simulation = simulation
        self._due: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._paces: Sequence[Pace] = ()
        self.clock_silent = False
        self.clock_offset_ns = 0
        self.speed_scaling = 1.0
        self.lose_every = 0

    def serve(self, node: Node, paces: Sequence[Pace]) -> None:
        """Offer ~/inject_fault and ~/put_cubes_back; `paces` stand still in a pause.

        Without paces, of a robot on the steady clock, the clock cannot be broken.
        """
        self._paces = paces
        node.create_service(InjectFault, "~/inject_fault", self._on_inject)
        node.create_service(Trigger, "~/put_cubes_back", self._on_put_back)

    def run_due(self) -> None:
        """Do what was asked of the physics."""
        while not self._due.empty():
            self._due.get()()

    def inject(self, stream: str, fault: str, value: float) -> None:
        """Replace the stream's fault, "none" mends it; a jump (s) cannot be mended, only undone.

        A scale is what the controllers tell; they go on at full speed. To lose 5 is to hear nothing
        of each fifth trajectory, as a best-effort subscription may.

        Raises SettingsError for what this robot does not know.
        """
        if fault not in KNOWN.get(stream, ()):
            raise SettingsError(f"inject: got {fault!r} on {stream!r}, expected one of {KNOWN}")
        if stream == "arm":
            self._due.put(lambda: self._simulation.block_arm(fault == "block"))
            return
        if stream == "controllers":
            self.speed_scaling = value if fault == "scale" else 1.0
            self.lose_every = round(value) if fault == "lose" else 0
            return
        if not self._paces:
            raise SettingsError("clock: this robot gives no clock, expected publish_clock")
        self.clock_silent = fault == "stop"
        self.clock_offset_ns += round(value * 1e9) if fault == "jump" else 0
        for pace in self._paces:
            pace.pause(fault == "pause")

    def _on_inject(
        self, request: InjectFault.Request, response: InjectFault.Response
    ) -> InjectFault.Response:
        try:
            self.inject(request.stream, request.fault, request.value)
        except SettingsError as error:
            response.message = str(error)
        response.success = not response.message
        return response

    def _on_put_back(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        self._due.put(self._simulation.put_cubes_back)
        response.success = True
        return response
