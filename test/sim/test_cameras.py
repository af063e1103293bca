"""The simulated cameras give pictures of the right size and content, in any one thread."""

import threading

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_MODEL  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402

from gr00t_ros.sim.cameras import CameraFeed, Cameras, SyntheticCameras  # noqa: E402
from gr00t_ros.sim.franka import episode  # noqa: E402
from gr00t_ros.sim.franka.layout import draw_layout  # noqa: E402
from gr00t_ros.sim.loop import Deadlines, RobotSnapshot  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import FRANKA  # noqa: E402

pytestmark = NEEDS_MODEL


@pytest.fixture(scope="module")
def simulation():
    """Seed 2 at its start."""
    return Simulation(FRANKA, 2)


@pytest.mark.parametrize("size", [(180, 320), (360, 640)])
def test_both_cameras_give_rgb8_pictures_of_the_size_asked_for(simulation, size):
    """(H, W, 3) uint8, with something to see in each."""
    with Cameras(simulation.model, *size) as cameras:
        pictures = cameras.render(simulation.positions(), FRANKA.camera_names)
    assert tuple(pictures) == FRANKA.camera_names
    for picture in pictures.values():
        assert picture.shape == (*size, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 20.0


@pytest.mark.parametrize("seed", range(5))
def test_things_are_found_in_the_picture_where_they_lie(seed):
    """Renderer, calibration and vision agree within a centimetre."""
    simulation = Simulation(FRANKA, seed)
    with Cameras(simulation.model, 180, 320) as cameras:
        picture = cameras.render(simulation.positions(), ["exterior"])["exterior"]
    drawn = draw_layout(seed)
    for colour, kind, place in (
        ("red", episode.CUBE, drawn.red_cube_m),
        ("green", episode.CUBE, drawn.green_cube_m),
        ("blue", episode.PLATE, drawn.blue_plate_m),
    ):
        found = episode.find(picture, colour, kind)
        assert found is not None
        assert np.linalg.norm(found - place) < 0.01


def test_pictures_show_the_positions_that_are_handed_over(simulation):
    """Not those that the simulation has moved on to."""
    before = simulation.positions()
    with Cameras(simulation.model, 90, 160) as cameras:
        first = cameras.render(before, FRANKA.camera_names)
        simulation.set_targets(FRANKA.ready_rad + 0.3)
        for _ in range(200):
            simulation.step()
        again, moved = (
            cameras.render(before, FRANKA.camera_names),
            cameras.render(simulation.positions(), FRANKA.camera_names),
        )
    for name in FRANKA.camera_names:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], moved[name])


def test_a_thread_of_its_own_can_render(simulation):
    """Context, pictures and end belong to one thread, which need not be the first."""
    shapes = []

    def render() -> None:
        with Cameras(simulation.model, 90, 160) as cameras:
            shapes.append(
                cameras.render(simulation.positions(), FRANKA.camera_names)["wrist"].shape
            )

    thread = threading.Thread(target=render)
    thread.start()
    thread.join(60.0)
    assert shapes == [(90, 160, 3)]


def test_no_two_pictures_have_the_stamp_of_one_instant():
    """A physics that is late gives the same instant for several frames: they are skipped.

    Of each camera: one that is due for the first time at an instant has a picture of it.
    """
    pictures, asked = [], []

    def snapshot():
        asked.append(0)
        at_ns = len(asked) // 5 * 1_000_000  # late in four of five frames
        return RobotSnapshot(0, at_ns, np.zeros(1), np.zeros(1), np.zeros(1))

    feed = CameraFeed(lambda: SyntheticCameras(4, 6))
    try:
        pace = Deadlines(0, 2_000_000)
        feed.start(
            snapshot,
            lambda tick: ("one", "other") if len(asked) % 5 == 3 else ("one",),
            lambda at_ns, seen: pictures.extend((at_ns, name) for name in seen),
            pace,
        )
        wait_until(lambda: len(pictures) >= 12, "pictures")
    finally:
        feed.stop()
    feed.check()
    assert len(set(pictures)) == len(pictures)
    instants = {at_ns for at_ns, _ in pictures}
    assert {at_ns for at_ns, name in pictures if name == "other"} >= instants - {max(instants)}
    frames, skipped = feed.counts
    assert skipped >= len(asked) - frames
