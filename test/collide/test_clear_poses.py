"""Every window of poses that is sent is clear to its last point, whatever the policy wants.

A tool among boxes and thin plates; what is sent is played as the streamer does, every 2 ms, and
measured by another method than the check's.
"""

import numpy as np
import pytest
from arm_urdf import hand_robot
from convex import distance
from pose_cases import KNOT, MS
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")
pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.collide.description import Shape  # noqa: E402
from gr00t_ros.collide.engine import CollisionEngine  # noqa: E402
from gr00t_ros.collide.files import read_mesh  # noqa: E402
from gr00t_ros.collide.scene import parse_scene  # noqa: E402
from gr00t_ros.collide.tool import (  # noqa: E402
    ToolCheck,  # noqa: E402
    ToolLink,
    tools_of,
)
from gr00t_ros.collide.window import WindowCheck  # noqa: E402
from gr00t_ros.graph.collision_model import of_tools  # noqa: E402
from gr00t_ros.motion.pose.course import PoseChunk  # noqa: E402
from gr00t_ros.motion.pose.windows import Poses  # noqa: E402
from gr00t_ros.robot.limits import PoseLimits  # noqa: E402
from gr00t_ros.robot.outputs import PoseOutput  # noqa: E402
from gr00t_ros.robot.rotation import Pose  # noqa: E402

MARGIN_M = 0.01
ROD = '<capsule radius="0.004" length="0.3"/>'
BLOCK = '<box size="0.1 0.06 0.04"/>'
LIMITS = PoseLimits(
    *(0.6, 2.0, 1.5, 5.0), np.full(3, -2.0), np.full(3, 2.0), jump_m=0.15, jump_rad=0.6
)
OUTPUT = PoseOutput("hand", "pose_stamped", "/hand", "base", (), "xyz_axis_angle", "hand", LIMITS)


class Hand:
    """A tool in a scene, a policy that leads straight to a goal, and what was sent."""

    def __init__(self, objects, start, geometry=BLOCK, checked=True, **rows):
        around = parse_scene({"margin": MARGIN_M, "objects": objects, **rows}, "scene", read_mesh)
        self.tools = tools_of(hand_robot(geometry), [ToolLink("hand", "tip", "base")])
        self.solids = around.solids
        around = self.tools.scene(around)
        engine = CollisionEngine(
            self.tools.description, around, self.tools.joint_names, held=self.tools.room()
        )
        self.window_check = WindowCheck(of_tools(engine, self.tools), engine.distances)
        self.poses = Poses((OUTPUT,), KNOT, 60 * MS, 400 * MS)
        if checked:
            self.poses.clearance.check = ToolCheck(self.window_check, self.tools)
        self.goal, self.now_ns, self.windows = start, 0, []
        self.poses.start(0, {"hand": start})
        self.at = start

    def run(self, ticks, sent=lambda: True):
        """Tick; every 0.2 s the policy sees the hand and leads it to the goal with 0.5 m/s."""
        for _ in range(ticks):
            if self.now_ns % (10 * KNOT) == 0:
                self._ask()
            made = self.poses.windows(self.now_ns, 0)
            if made and sent():
                self.windows.append((self.now_ns, made["hand"]))
                self.poses.keep()
            else:
                self.poses.keep(())
            blocked = self.poses.clearance.rate.blocked_ns(self.now_ns)
            assert not blocked or self.poses.clearance.rate.why
            self.now_ns += KNOT
            self.at = self.poses.pose("hand", self.now_ns)

    def _ask(self):
        way = self.goal.position - self.at.position
        turn = Rotation.from_matrix(self.goal.rotation @ self.at.rotation.T).as_rotvec()
        steps = max(1.0, np.linalg.norm(way) / 0.025, np.linalg.norm(turn) / 0.05)
        poses = []
        for k in range(16):
            part = min(k / steps, 1.0)
            turned = Rotation.from_rotvec(part * turn).as_matrix() @ self.at.rotation
            poses.append(Pose(self.at.position + part * way, turned))
        chunks = {"hand": PoseChunk(self.now_ns, 50 * MS, poses)}
        assert self.poses.judge(chunks, self.now_ns) == ""
        self.poses.follow(chunks, self.now_ns)

    def distance_m(self, pose):
        """The smallest distance of tip and finger from all solids at a pose, by Wolfe's method."""
        found = []
        for name, offsets in (("tip", [0.0]), ("finger", [0.0, 0.02, 0.04])):
            (shape,) = self.tools.robot.links[name].shapes
            for slid in offsets if name == "finger" else [0.0]:
                local = np.array([slid, 0.0, 0.05]) if name == "finger" else np.zeros(3)
                at = pose.position + pose.rotation @ (shape.xyz_m + local)
                body = Shape(shape.kind, shape.size_m, at, pose.rotation @ shape.rotation)
                found += [distance_or_more(body, solid.shapes[0]) for solid in self.solids]
        return min(found)

    def rough_m(self, poses):
        """(N,) distances of some points of tip and finger from all solids."""
        (tip,) = self.tools.robot.links["tip"].shapes
        corners, _ = tip.core
        parts = [np.linspace(low, high, 11) for low, high in zip(*_ends(corners), strict=True)]
        grid = np.stack(np.meshgrid(*parts), axis=-1).reshape(-1, 3)
        points = np.vstack([grid, [[x, 0.0, 0.05] for x in (0.0, 0.02, 0.04)]])
        placed = np.array([one.position + points @ one.rotation.T for one in poses])
        found = np.inf
        for solid in self.solids:
            box = solid.shapes[0]
            local = np.abs((placed - box.xyz_m) @ box.rotation) - 0.5 * np.array(box.size_m)
            found = np.minimum(found, np.linalg.norm(np.maximum(local, 0), axis=-1).min(axis=1))
        return found


def _ends(corners):
    return corners.min(axis=0), corners.max(axis=0)


def distance_or_more(body, solid, enough_m=0.05):
    """The distance, or the smaller one of the balls around both where these are far apart."""
    reach = sum(np.linalg.norm(s.core[0], axis=1).max() + s.core[1] for s in (body, solid))
    balls = np.linalg.norm(body.xyz_m - solid.xyz_m) - reach
    return balls if balls > enough_m else distance(body, solid)


def played(window, from_ns, step_ns=2 * MS):
    """The poses of a window as the streamer sends them, from a time to its end."""
    first = window.stamp_ns // window.knot_ns
    for at_ns in range(from_ns, window.stamp_ns + (len(window.poses) - 1) * KNOT + 1, step_ns):
        index, rest_ns = divmod(at_ns - first * KNOT, KNOT)
        before = window.poses[min(index, len(window.poses) - 1)]
        after = window.poses[min(index + 1, len(window.poses) - 1)]
        turn = Rotation.from_matrix(after.rotation @ before.rotation.T).as_rotvec()
        part = rest_ns / KNOT
        turned = Rotation.from_rotvec(part * turn).as_matrix() @ before.rotation
        yield Pose(before.position + part * (after.position - before.position), turned)


def any_pose(random):
    """Within reach, turned anyhow."""
    turned = Rotation.from_rotvec(random.normal(size=3)).as_matrix()
    return Pose(random.uniform(-0.3, 0.3, 3) + (0.6, 0.0, 0.3), turned)


def thing(random):
    """A box or a plate of 5 mm."""
    size = random.uniform(0.02, 0.25, 3)
    if random.random() < 0.5:
        size[random.integers(3)] = 0.005
    place = {"xyz": (random.uniform(-0.35, 0.35, 3) + (0.6, 0.0, 0.3)).tolist()}
    return {"type": "box", "size": size.tolist(), "rpy": random.uniform(-3, 3, 3).tolist(), **place}


def held_out(seed, checked=True):
    """A hand that was led through three of four random things; None where it began at one."""
    random = np.random.default_rng(seed)
    objects = {f"thing {k}": thing(random) for k in range(4)}
    geometry = random.choice([ROD, BLOCK])
    hand = Hand(objects, any_pose(random), geometry, checked)
    if hand.distance_m(hand.at) < 0.06:
        return None
    for one in list(objects.values())[:3]:
        through = np.array(one["xyz"]) - hand.at.position
        hand.goal = Pose(hand.at.position + 1.5 * through, any_pose(random).rotation)
        hand.run(40, sent=lambda: random.random() > 0.1)
    return hand


def least_m(hand, every, step_ns=2 * MS):
    """The smallest distance of every n-th window, played to its end.

    Measured where points of the tool, 1 cm apart, come nearest to the boxes.
    """
    found = []
    for at_ns, window in hand.windows[::every]:
        poses = list(played(window, at_ns, step_ns))
        nearest = np.argsort(hand.rough_m(poses))[:3]
        found += [hand.distance_m(poses[index]) for index in nearest]
    return min(found)


def judge(seeds, every):
    """None of the windows comes nearer than the margin; without the check some touch."""
    found = [hand for seed in seeds if (hand := held_out(seed)) is not None]
    assert len(found) > len(seeds) / 4
    for hand in found:
        assert hand.poses.clearance.unproven_stops == 0
        assert least_m(hand, every) >= MARGIN_M - 2e-5
    return len(found)


def test_no_window_that_is_sent_comes_nearer_than_its_margin():
    """Random tools, things and goals, some windows not sent."""
    judge(range(10, 15), every=24)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_no_window_of_many_scenes_comes_nearer_than_its_margin():
    """As above, many times."""
    judge(range(100, 300), every=9)


def test_without_the_check_the_same_hands_touch_things():
    """So the scenes of the test above are in the way."""
    free = [hand for seed in range(10, 15) if (hand := held_out(seed, checked=False)) is not None]
    assert sum(least_m(hand, 40, 10 * MS) <= 0.0 for hand in free) >= 2


def pose(x=0.4, y=0.0, z=0.3, turn=(0.0, 0.0, 0.0)):
    """A pose by its position and rotation vector."""
    return Pose(np.array([x, y, z]), Rotation.from_rotvec(turn).as_matrix())


def facing_plate(thickness=0.005, geometry=BLOCK, checked=True, **rows):
    """A hand that is led across a plate, whose near face is 30 cm ahead of it."""
    plate = {"type": "box", "xyz": [0.7 + thickness / 2, 0, 0.3], "size": [thickness, 1.0, 1.0]}
    hand = Hand({"plate": plate}, pose(0.4), geometry, checked, **rows)
    hand.goal = pose(0.95)
    return hand


def test_the_hand_glides_to_a_stop_before_a_plate_of_5_mm_and_goes_on_elsewhere():
    """Not over it; slower and slower, and away from it at once."""
    hand, along = facing_plate(), []
    for _ in range(150):
        before = hand.at.position[0]
        hand.run(1)
        along.append(hand.at.position[0] - before)
    # The middle of the finger's range less its room: 1 cm of sphere, up to 4 cm of slide.
    reached = hand.at.position[0]
    assert 0.60 < reached < 0.69 and hand.distance_m(hand.at) >= MARGIN_M
    fastest = int(np.argmax(along))
    assert along[fastest] > 0.3 * 0.02
    assert np.diff(along[fastest:]).max() < 0.1 * 0.02  # no stop and go
    assert abs(along[-1]) < 0.01 * 0.02
    clearance = hand.poses.clearance
    assert clearance.rate.blocked_ns(hand.now_ns) > 500 * MS and "of plate in" in clearance.rate.why
    assert set(clearance.ahead.pair) & {"tip", "finger"} and "plate" in clearance.ahead.pair
    hand.goal = pose(0.4, y=0.3)
    hand.run(100)
    np.testing.assert_allclose(hand.at.position, hand.goal.position, atol=5e-3)
    assert clearance.rate.blocked_ns(hand.now_ns) == 0 and clearance.rate.why == ""
    assert clearance.unproven_stops == 0


def test_without_the_check_the_hand_passes_through_the_plate():
    """The test above is not clear by chance."""
    hand = facing_plate(checked=False)
    hand.run(150)
    assert hand.at.position[0] > 0.9


def test_a_wanted_contact_is_approached_slowly():
    """Tip and finger may touch the plate, at most at 0.05 m/s within 5 cm; no force is limited."""
    wanted = {"links": ["tip", "finger"], "objects": ["plate"], "speed": 0.05, "within": 0.05}
    hand, speeds = facing_plate(contact=[wanted]), []
    while (before_m := hand.distance_m(hand.at)) > 0.0:
        before = hand.at.position[0]
        hand.run(1)
        if before_m < 0.05 and hand.distance_m(hand.at) > 0.0:
            speeds.append((hand.at.position[0] - before) / 0.02)
        assert hand.now_ns < 400 * KNOT
    assert len(speeds) > 20 and max(speeds) <= 0.05 + 1e-3


def test_a_rod_that_turns_into_a_plate_stops():
    """Its origin stays: only the rotation carries its end towards the plate."""
    plate = {"type": "box", "xyz": [0.4, 0.1, 0.3], "size": [0.4, 0.005, 0.4]}
    hand = Hand({"plate": plate}, pose(), ROD)
    hand.goal = pose(turn=(np.pi / 2 - 0.01, 0.0, 0.0))
    hand.run(150)
    turned = Rotation.from_matrix(hand.at.rotation).magnitude()
    assert 0.1 < turned < np.arcsin((0.1 - 0.0025 - MARGIN_M) / 0.15)
    assert hand.distance_m(hand.at) >= MARGIN_M


def test_a_thin_thing_between_two_knots_is_not_jumped_over():
    """A rod of 8 mm and a plate of 5 mm: every knot keeps the margin, the way between does not."""
    hand = facing_plate(geometry=ROD)
    thick = 0.004 + 0.04 + MARGIN_M  # the rod's finger, anywhere in its range, and the margin
    step = 2 * thick + 0.03  # much faster than the limits: a window that nobody should send
    way = [pose(0.7025 - step / 2 + step * k) for k in (-1, 0, 1, 2)]
    check = hand.poses.clearance.check
    check.begin({"hand": way[0]})
    for one in way:
        assert hand.distance_m(one) > MARGIN_M
    ahead = check.look({"hand": way}, 0.02)
    assert not ahead.clear and "of plate in" in ahead.why
    assert ahead.position is not None


def test_something_that_comes_into_the_sent_way_stops_the_hand_at_once():
    """Its stop is not proven, and counted."""
    hand = facing_plate()
    hand.run(20)
    assert hand.poses.clearance.unproven_stops == 0
    near = hand.at.position[0] + 0.12
    plate = Shape("box", (0.005, 1.0, 1.0), np.array([near, 0.0, 0.3]), np.eye(3))
    engine = hand.window_check._distances.__self__
    engine.place("plate", (plate,))
    hand.window_check.scene_changed()
    hand.run(1)
    assert hand.poses.clearance.unproven_stops == 1
    stops_ns = hand.windows[-1][1]
    assert len(stops_ns.poses) * KNOT < 400 * MS
    hand.run(40)
    assert hand.poses.clearance.unproven_stops == 1
    assert hand.at.position[0] < near


def test_a_stop_that_is_asked_for_is_clear_as_well():
    """By its own ramp, or by what was sent before."""
    hand = facing_plate()
    hand.run(24)
    hand.poses.stop()
    while not hand.poses.at_rest(hand.now_ns):
        made = hand.poses.windows(hand.now_ns, 0)
        for window in made.values():
            assert min(map(hand.distance_m, played(window, hand.now_ns, 10 * MS))) >= MARGIN_M
        hand.poses.keep()
        hand.now_ns += KNOT
        assert hand.now_ns < 200 * KNOT
    assert hand.poses.clearance.rate.blocked_ns(hand.now_ns) == 0


def test_a_check_that_raises_leaves_what_was_sent():
    """The hand plays the stop ramp of the last window."""
    hand = facing_plate()
    hand.run(20)
    end_ns = hand.poses.end_ns()

    def broken(_position, _enough):
        raise RuntimeError("engine")

    hand.window_check._distances = broken
    with pytest.raises(RuntimeError, match="engine"):
        hand.poses.windows(hand.now_ns, 0)
    hand.poses.keep()
    assert hand.poses.end_ns() == end_ns
