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


def play(action, steps=STEPS):
    """Tool positions (steps + 1, 3) and turning rates at the ends of the steps."""
    rows = [world.state()]
    for _ in range(steps):
        for _ in range(world.control_steps):
            world.advance(tuple(action))
        rows.append(world.state())
    return rows


def steady(column, number=0.3):
    """Motion of the tool in one step of 1.0 along or about an axis, over the last steps."""
    world.reset(0, 0)
    action = np.zeros(7)
    action[column], action[6] = number, -1.0
    rows = play(action)
    twists = np.array([row["twist"] for row in rows[4:]])
    return float(twists[:, column].mean() * 0.05 / number)


def fingers(number):
    """Positions of both fingers after a second of the gripper's number."""
    world.reset(0, 0)
    return play([0.0] * 6 + [number], 20)[-1]["position"][7:]


def mirrored():
    """Where a finger is in our picture of it, and where a pinhole camera would see it."""
    world.reset(0, 0)
    model, data = world.model, world.data
    marked = [g for g in range(model.ngeom) if "finger1" in model.geom(g).name]
    marked = [g for g in marked if model.geom_group[g] == 1] or marked
    renderer = mujoco.Renderer(model, 256, 256)
    seen = mujoco.MjvOption()
    seen.geomgroup[0] = 0
    renderer.enable_segmentation_rendering()
    renderer.update_scene(data, camera="agentview", scene_option=seen)
    ids = renderer.render()[:, :, 0]
    places = np.argwhere(np.isin(ids, marked))
    row, column = places.mean(axis=0)
    camera = model.camera("agentview").id
    point = np.mean([data.geom_xpos[g] for g in marked], axis=0) - data.cam_xpos[camera]
    x, y, z = data.cam_xmat[camera].reshape(3, 3).T @ point
    focal = 128.0 / np.tan(np.radians(model.cam_fovy[camera]) / 2)
    wanted = 128.0 - focal * y / -z, 128.0 + focal * x / -z
    renderer.close()
    # `row`, `column`: of our picture, a real camera's. OpenGL's has its rows turned round, and
    # libero_env turns rows and columns of that one round: what it feeds has the columns turned.
    return {"row": float(row), "column": float(column), "wanted": [float(w) for w in wanted]}


world.reset(0, 0)
start = world.state()
zero = play([0.0] * 6 + [-1.0], 40)
down = quat2axisangle(np.array(start["tool"][3:]))
print(
    "MEASURED",
    json.dumps(
        {
            "step_s": world._domain.control_timestep,
            "motion": [steady(column) for column in range(6)],
            "open": fingers(-1.0),
            "closed": fingers(1.0),
            "axis_angle": down.tolist(),
            "base": start["base"],
            "picture": mirrored(),
            "held_m": float(np.linalg.norm(np.subtract(zero[-1]["tool"][:3], zero[0]["tool"][:3]))),
        }
    ),
)
