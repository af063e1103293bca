"""bag.launch.py plays a bag to a policy node that plans on the bag's clock and moves nothing."""

from pathlib import Path

import pytest
from bag_files import EMBODIMENT, recorded
from ros_fixtures import call, collect, wait_until

pytest.importorskip("launch_ros", reason="launch_ros is in no package registry, only in ROS 2")
pytest.importorskip("mujoco", reason="the simulator is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from rcl_interfaces.srv import GetParameters  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.ros.qos import SENSOR  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RUNNER = str(Path(__file__).with_name("run_launch_file.py"))

pytestmark = pytest.mark.timeout(240)


def test_the_node_runs_on_the_bags_clock_in_shadow_until_the_bag_ends(
    processes, ros_node, tmp_path_factory
):
    """Player and node find each other; the end of the bag is the end of everything."""
    bag_path = recorded(processes, ros_node, tmp_path_factory.mktemp("bags"))["sqlite3"]
    with open_bag(bag_path) as bag:
        end_ns = bag.end_ns
    server = processes.start(
        "-m", "gr00t_ros.sidecar", "hold", "--port", "0", "--embodiment", EMBODIMENT, name="hold"
    )
    port = server.wait_for_line(r"READY tcp://.*:(\d+)")[1]
    file = str(ROOT / "launch" / "bag.launch.py")
    clock = collect(ros_node, Clock, "/clock", SENSOR)
    launch = processes.start(
        RUNNER, file, f"bag:={bag_path}", f"port:={port}", "rate:=0.3", name="launch"
    )
    request = GetParameters.Request(names=["use_sim_time", "shadow"])
    values = call(ros_node, GetParameters, "/gr00t_policy/get_parameters", request).values
    assert [value.bool_value for value in values] == [True, True]
    launch.wait_for_line(r"played \d+ messages of 6 topics", limit_s=90.0)
    wait_until(lambda: clock, "the bag's clock")
    assert abs(clock[-1].clock.sec - end_ns * 1e-9) < 2.0
    assert launch.wait() == 0
