"""The film of an episode: a video of each camera in simulated time, and a strip."""

import sys

import cv2
import numpy as np
import pytest

from gr00t_ros.rollout import film
from gr00t_ros.rollout.film import RATE_HZ, Film

pytest.importorskip("av", reason="PyAV is not installed")


def picture(level, height=64, width=96):
    """A grey picture."""
    return np.full((height, width, 3), level, np.uint8)


def levels(path):
    """The mean level of each frame of a video."""
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(float(read[1].mean()))
    assert video.get(cv2.CAP_PROP_FPS) == RATE_HZ
    return found


def test_a_frame_of_the_video_is_the_picture_of_its_time(tmp_path):
    """Also where the simulation was asked rarely: frame i shows what was there at i periods."""
    one = Film(tmp_path / "pictures", "go_up-0")
    for time_s, level in ((0.0, 10), (0.04, 20), (0.1, 60), (0.15, 80), (0.55, 120)):
        one.take(time_s, {"front": picture(level), "wrist": picture(level, 48, 48)})
    one.take(0.58, {"front": picture(200), "wrist": picture(200, 48, 48)}, last=True)
    shown = one.write()
    assert shown.problem == ""
    assert shown.videos == ["pictures/go_up-0-front.mp4", "pictures/go_up-0-wrist.mp4"]
    for name in shown.videos:
        found = levels(tmp_path / name)
        assert found == pytest.approx([10, 60, 60, 60, 60, 120, 200], abs=4)
    strip = cv2.imread(str(tmp_path / shown.pictures[0]))
    assert strip.shape == (64, film.SHOWN * 96, 3)
    assert abs(float(strip[:, :96].mean()) - 10) < 4 and abs(float(strip[:, -96:].mean()) - 200) < 4


def test_a_camera_that_comes_later_keeps_time_with_the_others(tmp_path):
    """Its first picture stands for the time before."""
    one = Film(tmp_path / "pictures", "late")
    one.take(0.0, {"front": picture(10)})
    one.take(0.1, {"front": picture(60)})
    one.take(0.2, {"front": picture(60), "wrist": picture(120)})
    one.take(0.4, {"front": picture(90), "wrist": picture(200)})
    front, wrist = (levels(tmp_path / name) for name in one.write().videos)
    assert front == pytest.approx([10, 60, 60, 60, 90], abs=4)
    assert wrist == pytest.approx([120, 120, 120, 120, 200], abs=4)


def test_colours_are_those_of_the_robot(tmp_path):
    """A red thing is red in the video."""
    one = Film(tmp_path / "pictures", "red")
    red = picture(0)
    red[..., 0] = 220
    one.take(0.0, {"front": red}, last=True)
    frame = cv2.VideoCapture(str(tmp_path / one.write().videos[0])).read()[1]
    assert frame[..., 2].mean() > 150 and frame[..., 0].mean() < 60


def test_without_pyav_there_are_pictures_and_the_reason(tmp_path, monkeypatch):
    """An evaluation of hours must not end because its videos cannot be made."""
    monkeypatch.setitem(sys.modules, "av", None)
    one = Film(tmp_path / "pictures", "bare")
    one.take(0.0, {"front": picture(90)})
    shown = one.write()
    assert shown.pictures == ["pictures/bare-front.jpg"] and shown.videos == []
    assert "pip install av" in shown.problem


def test_an_endless_episode_fills_no_memory(tmp_path, monkeypatch):
    """The video ends, and the line says so."""
    monkeypatch.setattr(film, "MOST_S", 1)
    one = Film(tmp_path / "pictures", "long")
    for step in range(40):
        one.take(0.1 * step, {"front": picture(step)})
    one.take(9.0, {"front": picture(200)}, last=True)
    shown = one.write()
    assert "ends after 1 s" in shown.problem
    found = levels(tmp_path / shown.videos[0])
    assert found == pytest.approx([*range(RATE_HZ - 1), 200], abs=4), "its end is the episode's"
    far = Film(tmp_path / "pictures", "far")
    for time_s, level in ((0.0, 10), (0.5, 60), (3.0, 90)):
        far.take(time_s, {"front": picture(level)})
    assert levels(tmp_path / far.write().videos[0]) == pytest.approx(
        [10] * 5 + [60] * 4 + [90], abs=4
    )


def test_a_camera_that_changes_its_size_loses_its_video_only(tmp_path):
    """The strip shows both sizes; the reason names the sizes."""
    one = Film(tmp_path / "pictures", "size")
    one.take(0.0, {"front": picture(90)})
    one.take(0.1, {"front": picture(90, 32, 32)})
    shown = one.write()
    assert shown.videos == [] and "(64, 96, 3)" in shown.problem
    assert cv2.imread(str(tmp_path / shown.pictures[0])).shape[0] == 32
    assert not list(tmp_path.rglob("*.mp4"))


def test_an_episode_without_pictures_has_no_files(tmp_path):
    """No camera, or no picture yet."""
    one = Film(tmp_path / "pictures", "dark")
    one.take(0.0, {})
    shown = one.write()
    assert shown == film.FilmFiles() and not list(tmp_path.iterdir())
