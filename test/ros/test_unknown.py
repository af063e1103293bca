"""A process with a misspelt parameter or argument does not start, and names the nearest one."""

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

SAYS = "parameter velocity_scle: gr00t_policy has none of this name; did you mean velocity_scale?"


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("node.node", ("--ros-args", "-p", "embodimnt:=x"), "did you mean embodiment?"),
        ("node.node", ("--ros-args", "-p", "velocity_scle:=0.1"), SAYS),
        ("node.node", ("--embodimnt", "x"), "did you mean: gr00t policy --embodiment x"),
        ("node.node", ("--instruction", "x"), "--ros-args -p instruction:=x"),
        ("node.node", ("--server", "x"), "'x': expected HOST:PORT"),
        ("node.node", ("embodimnt:=x",), "--ros-args -p embodiment:=x"),
        (
            "node.node",
            ("--ros-args", "--embodiment", "x"),
            "its own options come before --ros-args",
        ),
        ("node.node", (), "embodiment: got nothing, expected the robot: --embodiment NAME|FILE"),
        ("stream.commands", (), "or one of desk6, franka_droid"),
        (
            "node.node",
            ("--ros-args", "-p", "velocity_scale:=7.0"),
            "parameter velocity_scale: got 7.0, expected a number with a decimal point, 0.05 to 0.",
        ),
        ("stream.joints", ("--ros-args", "-p", "joint:=[a]"), "did you mean joints?"),
        ("stream.joints", ("--ros-args", "-p", "rate_hz:=fast"), "rate_hz"),
        ("stream.commands", ("--ros-args", "-p", "embodimnt:=x"), "did you mean embodiment?"),
        ("tools.autostart", ("--ros-args", "-p", "nod:=x"), "did you mean node?"),
        ("tools.autostart", ("gr00t_policy",), "gr00t autostart --ros-args -p node:=gr00t_policy"),
        ("sim.robot", ("--ros-args", "-p", "robt:=g1"), "did you mean robot?"),
        ("sim.relay", ("--ros-args", "-p", "source_prefx:=/x"), "did you mean source_prefix?"),
    ],
)
def test_what_no_node_knows_ends_it_with_one_line_and_status_2(
    processes, ros_domain, module, words, said
):
    """Nothing is started with a default in its place."""
    if module.startswith("sim"):
        pytest.importorskip("mujoco", reason="the simulator is not installed")
    child = processes.start("-m", f"gr00t_ros.{module}", *words, name="child")
    assert child.wait() == 2
    assert said in child.text()
    assert "Traceback" not in child.text()


def test_in_a_file_only_what_stands_under_the_nodes_own_name_is_strict(
    processes, ros_domain, tmp_path
):
    """A wildcard's section may be meant for another node: that is warned of."""
    file = tmp_path / "parameters.yaml"
    words = ("--ros-args", "-p", "embodiment:=franka_droid", "--params-file", str(file))
    content = "ros__parameters: {velocity_scle: 0.1}"
    file.write_text("/**/gr00t_policy: {" + content + "}\n")
    child = processes.start("-m", "gr00t_ros.node.node", *words, name="strict")
    assert child.wait() == 2 and SAYS in child.text()
    file.write_text("/**: {" + content + "}\n")
    child = processes.start("-m", "gr00t_ros.node.node", *words, name="shared")
    child.wait_for_line(r"velocity_scle.*did you mean velocity_scale\? \(ignored")


CELL, ROOT, RIGHT = "/cell_a/gr00t_policy", "/gr00t_policy", "/gr00t_policy_right"
FILES = [
    # node, the file's sections, which of them is refused
    (CELL, {"gr00t_policy": {"shadow": True}}, "gr00t_policy"),
    (CELL, {"/gr00t_policy": {"shadow": True}}, "/gr00t_policy"),
    (ROOT, {"groot_policy": {"shadow": True}}, "groot_policy"),
    (CELL, {"camera_driver": {"port": 1}, "gr00t_policy": {"shadow": True}}, "gr00t_policy"),
    (ROOT, {"/*/gr00t_policy": {"shadow": True}}, "/*/gr00t_policy"),
    (CELL, {"/**/gr00t_policy": {"shadow": True, "sidecar": {"mode": "local"}}}, ""),
    (CELL, {"/*/gr00t_policy": {"shadow": True}}, ""),
    (CELL, {CELL: {"shadow": True}, "/cell_b/gr00t_policy": {"port": 2}}, ""),
    (ROOT, {"gr00t_policy": {"shadow": True}}, ""),
    (ROOT, {"/**": {"shadow": True}}, ""),
    ("/gr00t_command_streamer", {"gr00t_streamer": {"rate_hz": 100}}, ""),
    (ROOT, {"gr00t_policy_images": {"use_sim_time": True}}, ""),
    (ROOT, {"camera_driver": {"port": 3}, "gr00t_streamer": {"rate_hz": 100}}, ""),
    # of several arms, or of other nodes: what is for this one reaches it
    (CELL, {"/**": {"shadow": True}, "/cell_b/gr00t_policy": {"port": 2}}, ""),
    (CELL, {"/cell_b/gr00t_policy": {"port": 2}}, ""),
    (RIGHT, {"/**": {"shadow": True}, "gr00t_policy_left": {"port": 2}}, ""),
    (RIGHT, {"gr00t_policy_left": {"port": 2}}, ""),
    ("/gr00t_policy_2", {"gr00t_policy_1": {"port": 2}}, ""),
    (ROOT, {"/*": {"shadow": True}, "groot_policy": {"port": 2}}, ""),
    (CELL, {"/**": {"port": 1}, "gr00t_policy": {"shadow": True}}, ""),
    (ROOT, {"/**": {"shadow": True}, "policy": {"port": 2}}, ""),
    ("/gr00t_command_streamer", {"/**": {"rate_hz": 50}, "streamer": {"rate_hz": 100}}, ""),
]


@pytest.mark.parametrize(("name", "sections", "refused"), FILES)
def test_a_file_that_is_meant_for_a_node_and_does_not_reach_it_is_refused(
    ros_domain, tmp_path, name, sections, refused
):
    """Such a section is ignored without a word: with shadow: true in it the arm would move."""
    import rclpy
    from rclpy.node import Node

    from gr00t_ros.errors import SettingsError
    from gr00t_ros.ros.process import refuse_unknown

    file = tmp_path / "parameters.yaml"
    file.write_text(
        yaml.safe_dump({key: {"ros__parameters": values} for key, values in sections.items()})
    )
    words = ["--ros-args", "--params-file", str(file)]
    context = rclpy.Context()
    rclpy.init(args=words, context=context)
    namespace, _, base = name.rpartition("/")
    node = Node(base, namespace=namespace, context=context)
    try:
        for given, value in node._parameter_overrides.items():
            node.declare_parameter(given, value.value)
        if refused:
            with pytest.raises(SettingsError) as error:
                refuse_unknown(node, words)
            said = f"got a section {refused}, which is not for this node, {name}: "
            assert said in str(error.value) and "expected /**/gr00t_policy" in str(error.value)
        else:
            refuse_unknown(node, words)
    finally:
        node.destroy_node()
        context.shutdown()
