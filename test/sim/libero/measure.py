"""Measures in LIBERO what config/embodiments/libero_panda.yaml says of it; prints JSON.

Runs in the extra's Python; test_settled.py compares. The argument is the folder of child.py.
"""

import json
import sys

import numpy as np

sys.path.insert(0, sys.argv[1])
import child
import mujoco
from robosuite.utils.transform_utils import quat2axisangle

world = child.World("libero_object", 0)
STEPS = 8
SUITES = ("libero_object", "libero_spatial", "libero_goal", "libero_10")


def play(action, steps=STEPS):
    """Tool positions (steps + 1, 3) and turning rates at the ends of the steps."""
    rows = [world.state()]
    for _ in range(steps):
        for _ in range(world.control_steps):
            world.advance(tuple(action))
        rows.append(world.state())
    return rows


def steady(column, number=0.1):
    """Motion of the tool in one step of 1.0 along or about an axis, over the last eight steps."""
    world.reset(0, 0)
    action = np.zeros(7)
    action[column], action[6] = number, -1.0
    rows = play(action, 3 * STEPS)
    twists = np.array([row["twist"] for row in rows[-STEPS:]])
    return float(twists[:, column].mean() * 0.05 / number)


def fastest(column):
    """Largest velocity, acceleration and jerk of the tool with 1.0, at the steps of the physics."""
    return largest(column, lambda _step: 1.0)


def alternating():
    """The same with +1 and -1 in turn along x."""
    return largest(0, lambda step: (-1.0) ** step)


def largest(column, number_of):
    """From rest, with the number of each step along or about an axis."""
    world.reset(0, 0)
    half = slice(0, 3) if column < 3 else slice(3, 6)
    rows = []
    for step in range(STEPS):
        action = np.zeros(7)
        action[column], action[6] = number_of(step), -1.0
        for _ in range(world.control_steps):
            world.advance(tuple(action))
            rows.append(world.state()["twist"][half])
    found = []
    for _ in range(3):
        found.append(float(np.linalg.norm(rows, axis=1).max()))
        rows = np.diff(rows, axis=0) / world.model.opt.timestep
    return found


def past_half_a_turn(number):
    """The first number of the rotation that LIBERO observes, over steps about x."""
    world.reset(0, 0)
    rows = play([0.0, 0.0, 0.0, number, 0.0, 0.0, -1.0])
    return [float(quat2axisangle(np.array(row["tool"][3:]))[0]) for row in rows]


def links():
    """Where the pose that is published is on the robot, and what LIBERO itself observes."""
    world.reset(0, 0)
    data, tool = world.data, np.array(world.state()["tool"])
    hand, flange = data.body("robot0_right_hand"), data.body("robot0_link7")
    site = data.site("gripper0_grip_site")
    axes, flange_axes = hand.xmat.reshape(3, 3), flange.xmat.reshape(3, 3)
    observed = world._domain._get_observations(force_update=True)
    found = {
        "tool": tool,
        "observed": np.concatenate([observed["robot0_eef_pos"], observed["robot0_eef_quat"]]),
        "site": site.xpos,
        "hand": np.roll(hand.xquat, -1),
        "from_hand_m": axes.T @ (tool[:3] - hand.xpos),
        "finger_axis": axes.T @ data.joint("gripper0_finger_joint1").xaxis,
        "finger_m": axes.T @ (data.body("gripper0_leftfinger").xpos - hand.xpos),
        "hand_m": flange_axes.T @ (hand.xpos - flange.xpos),
        "hand_x": (flange_axes.T @ axes)[:, 0],
    }
    return {name: value.tolist() for name, value in found.items()}


def base(suite):
    """Pose of the base (x, y, z, and a quaternion x, y, z, w) in the world of a suite."""
    other = child.World(suite, 0)
    other.reset(0, 0)
    return other.state()["base"]


def fingers(number):
    """Positions of both fingers after a second of the gripper's number."""
    world.reset(0, 0)
    return play([0.0] * 6 + [number], 20)[-1]["position"][7:]


def mirrored(name):
    """Where a finger is in a camera's picture of ours, and where a pinhole would see it."""
    world.reset(0, 0)
    model, data = world.model, world.data
    marked = [g for g in range(model.ngeom) if "finger1" in model.geom(g).name]
    marked = [g for g in marked if model.geom_group[g] == 1] or marked
    renderer = mujoco.Renderer(model, 256, 256)
    seen = mujoco.MjvOption()
    seen.geomgroup[0] = 0
    renderer.enable_segmentation_rendering()
    renderer.update_scene(data, camera=name, scene_option=seen)
    ids = renderer.render()[:, :, 0]
    places = np.argwhere(np.isin(ids, marked))
    row, column = places.mean(axis=0)
    camera = model.camera(name).id
    point = np.mean([data.geom_xpos[g] for g in marked], axis=0) - data.cam_xpos[camera]
    x, y, z = data.cam_xmat[camera].reshape(3, 3).T @ point
    focal = 128.0 / np.tan(np.radians(model.cam_fovy[camera]) / 2)
    wanted = 128.0 - focal * y / -z, 128.0 + focal * x / -z
    renderer.close()
    # `row`, `column`: of our picture, a real camera's. OpenGL's has its rows turned round, and
    # libero_env turns rows and columns of that one round: what it feeds has the columns turned.
    return {"row": float(row), "column": float(column), "wanted": [float(w) for w in wanted]}


def way(rows, steps):
    """How far the tool is from its start after so many steps, m."""
    return float(np.linalg.norm(np.subtract(rows[steps]["tool"][:3], rows[0]["tool"][:3])))


world.reset(0, 0)
start = world.state()
still = play([0.0] * 6 + [-1.0], 100)
world.reset(0, 0)
moved = play([0.0, 0.3, 0.0, 0.0, 0.0, 0.0, -1.0], 16)
down = quat2axisangle(np.array(start["tool"][3:]))
print(
    "MEASURED",
    json.dumps(
        {
            "step_s": world._domain.control_timestep,
            "physics_s": world.model.opt.timestep,
            "control_steps": world.control_steps,
            "motion": [steady(column) for column in range(6)],
            "fastest": [fastest(column) for column in range(6)],
            "alternating": alternating(),
            "open": fingers(-1.0),
            "closed": fingers(1.0),
            "axis_angle": down.tolist(),
            "turned": [past_half_a_turn(number) for number in (0.5, -0.5)],
            "links": links(),
            "base": {suite: base(suite) for suite in SUITES},
            "pictures": {name: mirrored(name) for name in child.CAMERAS.values()},
            "held_m": way(still, len(still) - 1),
            "way_m": [way(moved, steps) for steps in (4, 8, 16)],
        }
    ),
)
