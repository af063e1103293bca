"""An episode keeps what it has seen, and plans anew when it must; the pictures are drawn here."""

import numpy as np
import pytest

from gr00t_ros.sim.franka import episode as motions
from gr00t_ros.sim.franka.episode import InstructedTask, ScriptedEpisode
from gr00t_ros.sim.franka.kinematics import HOME_RAD, VELOCITY_RAD_S, tool_pose
from gr00t_ros.sim.franka.layout import EXTERIOR
from gr00t_ros.sim.path import StayError

SIZE_PX = (180, 320)
CUBE_M, PLATE_M = (0.42, 0.2), (0.55, -0.1)
TABLE = np.full((*SIZE_PX, 3), (180, 170, 155), dtype=np.uint8)
RED, BLUE = (200, 25, 20), (25, 65, 200)


def picture(cube=CUBE_M, plate=PLATE_M, at_tool=None) -> np.ndarray:
    """The table from above the exterior camera: a red cube and a blue plate, or None of them."""
    drawn = TABLE.copy()
    if plate is not None:
        angles = np.linspace(0.0, 2.0 * np.pi, 400)
        for radius in np.linspace(0.0, 0.074, 60):
            rim = [
                [plate[0] + radius * np.cos(a), plate[1] + radius * np.sin(a), 0.004]
                for a in angles
            ]
            paint(drawn, rim, BLUE)
    if cube is not None:
        square(drawn, [*cube, 0.02], RED)
    if at_tool is not None:
        square(drawn, tool_pose(at_tool)[:3, 3], RED)
    return drawn


def paint(drawn, points, rgb) -> None:
    """Colour the pixels of these points."""
    rows, columns = EXTERIOR.project(points, SIZE_PX).round().astype(int).T
    drawn[rows, columns] = rgb


def square(drawn, point, rgb) -> None:
    """Nine pixels a side around a point."""
    row, column = EXTERIOR.project([point], SIZE_PX)[0].round().astype(int)
    drawn[row - 4 : row + 5, column - 4 : column + 5] = rgb


@pytest.fixture
def episode():
    """The red cube onto the blue plate."""
    return ScriptedEpisode(InstructedTask("red", "blue"))


def played(episode, seen, start=HOME_RAD, gripper=0.0, queries=40) -> list[str]:
    """A perfect arm and a slow gripper that execute 8 steps of each chunk; the phases seen."""
    joints, phases = start, []
    for _ in range(queries):
        episode.advance(joints, gripper, seen)
        phases.append(episode.phase)
        targets, closed = episode.targets(joints, 40, 15.0)
        joints, gripper = targets[8], gripper + np.clip(0.55 * closed[8] - gripper, -0.2, 0.2)
    return phases


def test_the_phases_come_in_order_and_end(episode):
    """A good robot is done in a dozen seconds."""
    phases = played(episode, picture())
    order = ["approach", "grasp", "carry", "release", "retreat", "done"]
    assert [phase for i, phase in enumerate(phases) if phase not in phases[:i]] == order
    assert phases == sorted(phases, key=order.index)
    assert phases.index("done") < 26


def test_once_seen_things_are_remembered_when_the_arm_hides_them(episode):
    """Planned at the first sight; a blind picture later changes nothing."""
    episode.advance(HOME_RAD, 0.0, picture())
    phases = played(episode, TABLE)
    assert phases[-1] == "done"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (picture(cube=None), "no red cube"),
        (picture(plate=None), "no blue plate"),
        (picture(cube=(0.74, -0.40)), "out of reach"),
    ],
)
def test_what_is_not_there_is_not_moved_to(episode, seen, reason):
    """The reason is in the error."""
    with pytest.raises(StayError, match=reason):
        episode.advance(HOME_RAD, 0.0, seen)


def test_a_cube_already_on_the_plate_is_left_alone(episode):
    """The arm goes up and home, open."""
    start = HOME_RAD + 0.2
    episode.advance(start, 0.0, picture(cube=PLATE_M))
    assert episode.phase == "retreat"
    targets, closed = episode.targets(start, 40, 15.0)
    assert np.abs(targets[-1] - HOME_RAD).max() < 0.01
    assert np.all(closed == 0.0)


def test_a_cube_in_the_hand_is_carried_on_without_a_memory(episode):
    """A restarted sidecar continues: half closed, and the colour is between the fingers."""
    motion = motions.pick_and_place(HOME_RAD, np.array(CUBE_M), np.array(PLATE_M))
    middle = motion.joints[motion.gates[0].end + 60]
    phases = played(episode, picture(cube=None, at_tool=middle), start=middle, gripper=0.55)
    assert phases[:2] == ["grasp", "carry"]
    assert phases[-1] == "done"


def test_a_hand_that_holds_something_else_stays(episode):
    """Opening would drop it."""
    with pytest.raises(StayError, match="holds no red cube"):
        episode.advance(HOME_RAD, 0.55, picture())


def test_an_arm_moved_by_somebody_else_begins_anew_from_there(episode):
    """Far off the motion, the chunk still starts at the arm and is no faster."""
    episode.advance(HOME_RAD, 0.0, picture())
    moved = HOME_RAD + [0.6, 0.1, -0.4, 0.2, 0.3, 0.2, -0.5]
    episode.advance(moved, 0.0, picture())
    targets, _ = episode.targets(moved, 40, 15.0)
    assert np.array_equal(targets[0], moved)
    assert np.abs(np.diff(targets, axis=0)[0]).max() < 0.01
    assert played(episode, picture(), start=moved)[-1] == "done"


def test_an_arm_stopped_on_a_fast_leg_begins_gently(episode):
    """Else the first due step is a jump from the held position, and refused for ever."""
    motion = motions.pick_and_place(HOME_RAD, np.array(CUBE_M), np.array(PLATE_M))
    fast = next(i for i in range(len(motion.joints)) if motion.speed(i) > 0.4)
    stopped = motion.joints[fast]
    for known in (HOME_RAD, stopped):
        episode.advance(known, 0.0, picture())
    running, _ = episode.targets(stopped, 40, 15.0)
    episode.advance(stopped, 0.0, picture())
    gentle, _ = episode.targets(stopped, 40, 15.0)
    assert np.abs(running[8] - stopped).max() > 0.15
    assert np.abs(gentle[8] - stopped).max() < 0.15


def test_a_gripper_that_never_seems_to_close_does_not_stop_the_arm(episode):
    """After a few queries the arm goes on; it may then fail, but it does not stall."""
    joints, phases, seen = HOME_RAD, [], picture()
    for _ in range(60):
        episode.advance(joints, 0.0, seen)
        phases.append(episode.phase)
        joints = episode.targets(joints, 40, 15.0)[0][8]
    assert phases[-1] == "done"


def test_no_step_is_faster_than_promised(episode):
    """Even when the arm is seen beside the motion."""
    episode.advance(HOME_RAD, 0.0, picture())
    beside = HOME_RAD + 0.19
    episode.advance(beside, 0.0, picture())
    steps = np.abs(np.diff(episode.targets(beside, 40, 15.0)[0], axis=0)) * 15.0
    assert np.all(steps < 0.5 * VELOCITY_RAD_S)


def carried_at(episode, seen, joints, gripper, queries) -> float | None:
    """The gripper's position when a perfect arm first carries; its gripper closes slowly."""
    found = None
    for _ in range(queries):
        episode.advance(joints, gripper, seen)
        if found is None and episode.phase == "carry":
            found = gripper
        targets, closed = episode.targets(joints, 40, 15.0)
        joints = targets[8]
        gripper += float(np.clip(0.55 * closed[8] - gripper, -0.08, 0.08))
    return found


def test_the_arm_lifts_when_the_gripper_stands_around_the_cube_and_not_before(episode):
    """It closes slowly: past the mark that says "something is held" it still moves."""
    assert carried_at(episode, picture(), HOME_RAD, 0.0, 60) == pytest.approx(0.55)
    assert episode.phase == "done"


def test_a_gripper_that_a_pause_stopped_on_its_way_closes_before_the_arm_lifts(episode):
    """The policy was reset meanwhile: what stands half closed around the cube holds nothing yet."""
    motion = motions.pick_and_place(HOME_RAD, np.array(CUBE_M), np.array(PLATE_M))
    grasp = motion.joints[motion.gates[0].start]
    seen = picture(cube=None, at_tool=grasp)
    assert carried_at(episode, seen, grasp, 0.415, 12) == pytest.approx(0.55)
