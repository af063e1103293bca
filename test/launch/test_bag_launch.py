"""bag.launch.py plays a bag to a policy node that plans on the bag's clock and moves nothing."""

import json
import os
import sys
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
from gr00t_ros.bags.info import needed_topics  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
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
    launch.wait_for_line(r"played \d+ messages of 5 topics", limit_s=90.0)
    wait_until(lambda: clock, "the bag's clock")
    assert abs(clock[-1].clock.sec - end_ns * 1e-9) < 2.0
    assert launch.wait() == 0


def test_a_missing_bag_is_said_in_one_line_and_nothing_is_started(processes, tmp_path):
    """A robot that waits for a policy node is not told of one that ends at once."""
    file = str(ROOT / "launch" / "bag.launch.py")
    launch = processes.start(RUNNER, file, f"bag:={tmp_path}/none", name="launch")
    launch.wait_for_line(rf"{tmp_path}/none: no such bag, expected the folder")
    assert launch.wait() == 1
    assert launch.text().count("no such bag") == 1
    assert "Traceback" not in launch.text()
    assert "process started" not in launch.text()


# The options of `ros2 bag play` (rosbag2, Jazzy) that the launch file gives, and their types. No
# rosbag2 is in any package registry: this stands in for it, and says what it was asked to play.
ROS2 = """#!{python}
import argparse, json, sys
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("bag")
parser.add_argument("--rate", type=float, default=1.0)
parser.add_argument("--start-offset", type=float, default=0.0)
parser.add_argument("--clock", type=float, nargs="?", const=40, default=0)
parser.add_argument("--loop", action="store_true")
parser.add_argument("--topics", nargs="+", default=[])
assert sys.argv[1:3] == ["bag", "play"], sys.argv
print("PLAYS " + json.dumps(vars(parser.parse_args(sys.argv[3:]))), flush=True)
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), {"rate": 1.0, "start_offset": 0.0, "loop": False}),
        (
            ("rate:=0.5", "start_offset:=2", "loop:=true", "topics:=/a /b"),
            {"rate": 0.5, "start_offset": 2.0, "loop": True, "topics": ["/a", "/b"]},
        ),
    ],
)
def test_where_ros2_bag_is_installed_it_plays_with_the_same_arguments(
    processes, tmp_path, given, expected
):
    """Seen with a stand-in for the executable: never yet run with rosbag2 itself."""
    (tmp_path / "ros2").write_text(ROS2.format(python=sys.executable))
    (tmp_path / "ros2").chmod(0o755)
    (tmp_path / "ros2bag").mkdir()
    (tmp_path / "ros2bag" / "__init__.py").write_text("")
    paths = {
        name: os.pathsep.join([str(tmp_path), os.environ.get(name, "")])
        for name in ("PATH", "PYTHONPATH")
    }
    file = str(ROOT / "launch" / "bag.launch.py")
    launch = processes.start(RUNNER, file, f"bag:={tmp_path}", *given, name="launch", **paths)
    plays = json.loads(launch.wait_for_line(r"PLAYS (.*)")[1])
    topics = list(needed_topics(load_embodiment("franka_droid")))  # the launch file's own
    assert plays == {"bag": str(tmp_path), "clock": 200.0, "topics": topics, **expected}
    assert launch.wait() == 0, "the end of the player is the end of everything"
    missing = processes.start(RUNNER, file, "bag:=/no/bag", *given, name="missing", **paths)
    missing.wait_for_line("bag: /no/bag: no such bag")
    assert missing.wait() == 1
