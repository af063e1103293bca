"""The parameters of the simulated robot: names, defaults, meaning, and the frozen result."""

from dataclasses import dataclass, fields

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros.unknown import refuse_unknown
from gr00t_ros.sim.robots import ROBOTS, find_robot

DEFAULT_ROBOT = "franka"


@dataclass(frozen=True, slots=True)
class RobotSettings:
    """Read once at the start; all read-only."""

    robot: str
    seed: int
    camera_height_px: int
    camera_width_px: int
    camera_rate_hz: float
    synthetic_cameras: bool
    publish_clock: bool
    real_time_factor: float
    interpolate_from_desired_state: bool
    interpolation_method: str
    record_path: str
    record_span_s: float


_TABLE: dict[str, tuple[object, str]] = {
    "robot": (DEFAULT_ROBOT, f"Simulated robot: {' or '.join(ROBOTS)}."),
    "seed": (0, "Places the things on the table; 0 or more."),
    "camera_height_px": (0, "Height of the cameras' images, pixels; 0: the robot's own."),
    "camera_width_px": (0, "Width of the cameras' images, pixels; 0: the robot's own."),
    "camera_rate_hz": (30.0, "Images a second of each camera, in simulated time."),
    "synthetic_cameras": (False, "Moving test pattern instead of rendered images; needs no GL."),
    "publish_clock": (False, "Publish /clock; stamps are simulated time instead of ROS time."),
    "real_time_factor": (1.0, "Speed of simulated time; other than 1 only with publish_clock."),
    "interpolate_from_desired_state": (False, "As of joint_trajectory_controller, for all."),
    "interpolation_method": ("splines", "As of joint_trajectory_controller: splines or none."),
    "record_path": ("", "File (.npz) for the 1 kHz record, by service and at the end; '' for none"),
    "record_span_s": (300.0, "Newest part of the run that the record keeps, s."),
}


def declare_settings(node: Node) -> RobotSettings:
    """Declare the parameters and return them; raises SettingsError where they make no sense."""
    for name, (default, what) in _TABLE.items():
        node.declare_parameter(name, default, ParameterDescriptor(description=what, read_only=True))
    refuse_unknown(node)
    values = {field.name: node.get_parameter(field.name).value for field in fields(RobotSettings)}
    settings = RobotSettings(**values)
    _check(settings, bool(node.get_parameter("use_sim_time").value))
    return settings


def _check(settings: RobotSettings, use_sim_time: bool) -> None:
    find_robot(settings.robot)
    if settings.seed < 0:
        raise SettingsError(f"seed: got {settings.seed}, expected 0 or more")
    if settings.interpolation_method not in ("splines", "none"):
        got = settings.interpolation_method
        raise SettingsError(f"interpolation_method: got {got!r}, expected splines or none")
    for name in ("camera_height_px", "camera_width_px"):
        value = getattr(settings, name)
        if value and not 16 <= value <= 4096:
            raise SettingsError(f"{name}: got {value}, expected 16 to 4096, or 0")
    for name, low, high in (
        ("camera_rate_hz", 1.0, 120.0),
        ("real_time_factor", 0.01, 100.0),
        ("record_span_s", 1.0, 3600.0),
    ):
        if not low <= getattr(settings, name) <= high:
            raise SettingsError(f"{name}: got {getattr(settings, name)}, expected {low} to {high}")
    if not settings.publish_clock and settings.real_time_factor != 1.0:
        raise SettingsError(
            f"real_time_factor: got {settings.real_time_factor} without publish_clock, "
            "expected 1: only /clock can tell others of another speed"
        )
    if not settings.publish_clock and use_sim_time:
        raise SettingsError(
            "use_sim_time: got true, expected publish_clock with it: "
            "this robot's time is the steady clock or its own"
        )
