"""What is measured, sent, answered unchanged and commanded is where the robot is.

The conversions of state and action are each other's inverse, whatever the file's orders, scales,
ranges and encodings are.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws import examples
from scipy.spatial.transform import Rotation

from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.observe.readings import JointReading, PoseReading, encode, merge
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.outputs import PoseOutput
from gr00t_ros.robot.streams import POSE_ENCODINGS, StateStream

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
VALID = yaml.safe_load(FILE.read_text())
JOINTS = tuple(VALID["limits"])
ORDERS = st.permutations(JOINTS)
ENDS = st.tuples(st.floats(-100.0, 100.0), st.floats(-100.0, 100.0)).filter(
    lambda pair: abs(pair[0] - pair[1]) > 1.0
)
UNIT = st.floats(-1.0, 1.0)


@st.composite
def robots(draw):
    """DROID's joints in two keys of any order and width, read from two topics, to one output."""
    order, split = draw(ORDERS), draw(st.integers(1, len(JOINTS) - 1))
    state, action = {}, {}
    for key, names in (("first", order[:split]), ("second", order[split:])):
        scaled = {}
        if draw(st.booleans()):
            pairs = st.lists(ENDS, min_size=len(names), max_size=len(names))
            scaled = {"scale": draw(pairs), "range": draw(pairs)}
        state[key] = {"from": "joints", "topics": ["/a", "/b"], "names": names, **scaled}
        action[key] = {"output": "all", "names": names, **scaled}
    outputs = {"all": {**VALID["outputs"]["arm"], "names": draw(ORDERS)}}
    rest = {key: value for key, value in VALID.items() if key != "workspace"}
    return parse(dict(rest, state=state, action=action, outputs=outputs), "robot.yaml")


@settings(max_examples=examples(60), deadline=None)
@given(robots(), ORDERS, st.integers(0, 8), st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8))
def test_joints_come_back_to_themselves(robot, message_order, split, shares):
    """Two messages of any order, keys of any order, an output of any order."""
    position = dict(zip(JOINTS, np.array(shares), strict=True))
    for stream in robot.state:
        for name, ends in zip(
            stream.names, stream.scale.joint if stream.scale else (), strict=False
        ):
            position[name] = ends[0] + position[name] * (ends[1] - ends[0])
    parts = (message_order[:split], message_order[split:])
    reading = merge([JointReading(p, np.array([position[n] for n in p])) for p in parts])
    answer = {
        stream.key: np.repeat(encode(stream, reading)[None], robot.action_horizon, axis=0)
        for stream in robot.state
    }
    joints = from_reply(robot, answer, 1, 1, 0).joints
    expected = [position[name] for name in robot.joint_names]
    np.testing.assert_allclose(joints[-1], expected, rtol=1e-5, atol=2e-3)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from(sorted(POSE_ENCODINGS)),
    st.tuples(UNIT, UNIT, UNIT, UNIT),
    st.tuples(UNIT, UNIT, UNIT),
    st.booleans(),
)
def test_a_pose_comes_back_to_itself(encoding, quaternion, position, droid):
    """In every encoding, with a data set's fixed rotation and without, in float32 on the wire."""
    assume(np.linalg.norm(quaternion) > 0.1)
    quaternion = np.array(quaternion) / np.linalg.norm(quaternion)
    rotate = tuple(map(tuple, VALID["state"]["eef_9d"]["rotate"])) if droid else None
    stream = StateStream("eef", "pose", "/pose", encode=encoding, rotate=rotate)
    sent = encode(stream, PoseReading(np.array(position), quaternion))
    output = SimpleNamespace(encode=encoding, rotate=rotate)
    (pose,) = PoseOutput.poses(output, sent[None].astype(np.float64))
    np.testing.assert_allclose(pose.position, position, atol=1e-6)
    expected = Rotation.from_quat(quaternion).as_matrix()
    np.testing.assert_allclose(pose.rotation, expected, atol=3e-6)
