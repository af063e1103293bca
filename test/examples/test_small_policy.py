"""The small policy reads a dataset as it lies on the disk, learns from it, and is served."""

import json

import numpy as np
import pytest

from examples.loop.plant import delay, swap
from examples.small_policy.dataset import episodes_of, held_back, read

av = pytest.importorskip("av", reason="datasets need pip install av pyarrow")
pa = pytest.importorskip("pyarrow", reason="datasets need pip install av pyarrow")

CAMERAS = ("exterior_image_1_left", "wrist_image_left")
ROWS, RATE_HZ, HEIGHT, WIDTH = 12, 15, 32, 48


def write_video(path, levels):
    """A video of plain grey pictures, one level a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for level in levels:
            picture = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_dataset(folder, episodes=3):
    """Row i of episode e: joint j at e + 0.1 i + 0.01 j, commanded 0.05 further on."""
    import pyarrow.parquet as parquet

    (folder / "meta").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    for index in range(episodes):
        rows = np.arange(ROWS)[:, None]
        joints = index + 0.1 * rows + 0.01 * np.arange(7)
        gripper = np.clip((rows - 4) / 4, 0.0, 0.6)
        order = (rows >= 4).astype(float)
        table = {
            "observation.state": np.hstack([gripper, joints]).tolist(),  # gripper first
            "action": np.hstack([joints + 0.05, order]).tolist(),
        }
        place = folder / f"data/chunk-000/episode_{index:06d}.parquet"
        parquet.write_table(pa.table(table), place)
        for number, camera in enumerate(CAMERAS):
            levels = 20 * number + 10 + 15 * np.arange(ROWS)
            name = f"videos/chunk-000/observation.images.{camera}/episode_{index:06d}.mp4"
            write_video(folder / name, levels)
    part = {"start": 0, "end": 1}, {"start": 1, "end": 8}
    modality = {
        "state": {"gripper_position": part[0], "joint_position": part[1]},
        "action": {
            "joint_position": {"start": 0, "end": 7},
            "gripper_position": {"start": 7, "end": 8},
        },
        "video": {one: {"original_key": f"observation.images.{one}"} for one in CAMERAS},
    }
    info = {
        "fps": RATE_HZ,
        "chunks_size": 1000,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
        "episode_{episode_index:06d}.mp4",
    }
    (folder / "meta/info.json").write_text(json.dumps(info))
    (folder / "meta/modality.json").write_text(json.dumps(modality))
    lines = [json.dumps({"episode_index": index}) for index in range(episodes)]
    (folder / "meta/episodes.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_rows_are_read_as_they_were_written(tmp_path):
    """Slices of the columns, pictures of the rows, the ends of episodes."""
    rows = read(write_dataset(tmp_path / "set"), (16, 24))
    assert len(rows) == 3 * ROWS and rows.rate_hz == RATE_HZ
    at = ROWS + 5  # row 5 of episode 1
    np.testing.assert_allclose(rows.state[at, :7], 1.5 + 0.01 * np.arange(7), atol=1e-6)
    assert rows.state[at, 7] == pytest.approx(0.25)
    np.testing.assert_allclose(rows.arm[at], 1.55 + 0.01 * np.arange(7), atol=1e-6)
    for number, camera in enumerate(CAMERAS):
        assert rows.pictures[camera].shape == (3 * ROWS, 16, 24, 3)
        assert abs(int(rows.pictures[camera][at].mean()) - (20 * number + 10 + 75)) <= 3
    assert rows.episode[at] == 1 and rows.last[at] == 2 * ROWS - 1


def test_a_chunk_does_not_reach_into_the_next_episode(tmp_path):
    """The last row is repeated."""
    rows = read(write_dataset(tmp_path / "set"), (16, 24))
    found = rows.chunk_rows(np.array([ROWS - 2]), 4)
    assert found.tolist() == [[ROWS - 2, ROWS - 1, ROWS - 1, ROWS - 1]]


def test_the_goal_is_where_the_grippers_order_changes_next(tmp_path):
    """The gripper closes from row 4 on: the rows up to 3 lead to row 3, the others to the end."""
    rows = read(write_dataset(tmp_path / "set", 1), (16, 24))
    assert rows.closed.tolist() == [False] * 4 + [True] * (ROWS - 4)
    goals = rows.goals()
    assert (goals[:4] == rows.arm[3]).all() and (goals[4:] == rows.arm[-1]).all()


def test_videos_with_another_number_of_pictures_are_refused(tmp_path):
    """The message has the file and both numbers."""
    folder = write_dataset(tmp_path / "set", 1)
    video = next(folder.glob("videos/**/*.mp4"))
    write_video(video, [10] * (ROWS - 1))
    with pytest.raises(ValueError, match=r"episode_000000.mp4: got 11 pictures, expected 12"):
        read(folder, (16, 24))


def test_planted_faults_change_the_pictures_and_nothing_else(tmp_path):
    """Pictures three rows late; cameras under each other's name."""
    before = read(write_dataset(tmp_path / "set", 1), (16, 24))
    for video in (tmp_path / "set").glob("videos/**/*.mp4"):
        delay(video, 3)
    late = read(tmp_path / "set", (16, 24))
    for camera in CAMERAS:
        apart = np.abs(late.pictures[camera][3:].astype(int) - before.pictures[camera][:-3])
        assert apart.max() <= 3
    swap(tmp_path / "set")
    swapped = read(tmp_path / "set", (16, 24))
    first, second = CAMERAS
    assert (swapped.pictures[first] == late.pictures[second]).all()
    assert (swapped.pictures[second] == late.pictures[first]).all()
    assert (swapped.state == before.state).all() and (swapped.arm == before.arm).all()


def test_the_last_tenth_is_held_back():
    """At least one episode, and none of a single one."""
    assert held_back(list(range(80))) == list(range(72, 80))
    assert held_back([0, 1, 2]) == [2] and held_back([7]) == []


def test_a_few_steps_of_training_are_served(tmp_path, monkeypatch):
    """A checkpoint goes on where it was, and its policy answers with chunks that a node takes."""
    pytest.importorskip("torch", reason="training needs pip install torch")
    from robot_of_file import observation_of

    from examples.small_policy import train as training
    from gr00t_ros.robot.files import load_embodiment
    from gr00t_ros.serve.endpoints import check_action
    from gr00t_ros.serve.policies import make_policy

    folder = write_dataset(tmp_path / "set")
    monkeypatch.setattr(training, "BATCH", 4)
    for minutes in (0.01, 0.02):
        path = training.train(folder, tmp_path / "out", minutes, horizon=32, threads=1)
    curve = [json.loads(line) for line in (tmp_path / "out" / training.CURVE).open()]
    assert curve[0]["step"] < curve[1]["step"] and curve[1]["arm_rad"] < 1.0
    assert episodes_of(folder) == [0, 1, 2]

    monkeypatch.setenv("SMALL_POLICY", str(path))
    robot = load_embodiment("franka_droid_n16")
    policy = make_policy("examples.small_policy.serve:make", robot)
    action, _ = policy(observation_of(robot), None)
    check_action(action, policy.modality)
    assert set(np.unique(action["gripper_position"])) <= {0.0, 1.0}


def test_an_arm_that_stands_begins_gently(tmp_path):
    """A policy that answers with full speed from the first step on, asked twice at one place."""
    torch = pytest.importorskip("torch", reason="training needs pip install torch")
    from robot_of_file import observation_of

    from examples.small_policy.model import Shape, SmallPolicy, save
    from examples.small_policy.serve import GENTLE_S, Served
    from gr00t_ros.robot.files import load_embodiment

    robot = load_embodiment("franka_droid_n16")
    save(tmp_path / "policy.pt", SmallPolicy(Shape(CAMERAS, (32, 48), 7, 32)), {})
    policy = Served(robot, tmp_path / "policy.pt")
    time_s = np.arange(32) / robot.rate_hz
    fast = torch.tensor(time_s, dtype=torch.float32)[None, :, None].expand(1, 32, 7)

    def ask(joint):
        observation = observation_of(robot)
        observation["state"]["joint_position"] = np.full((1, 1, 7), joint, np.float32)
        policy.model.act = lambda *_: (joint + fast, torch.zeros(1, 32))
        return policy(observation, None)[0]["joint_position"][0, :, 0] - joint

    for way in (ask(0.0), ask(0.001)):  # the first query, and one of an arm that stands
        assert way[4] == pytest.approx(0.5 * time_s[4] ** 2 / GENTLE_S, abs=2e-3)
        assert way[-1] == pytest.approx(time_s[-1] - 0.5 * GENTLE_S, abs=2e-3)
    np.testing.assert_allclose(ask(0.1), time_s, atol=1e-5)  # it moves
    assert policy.reset(None) == {} and ask(0.1)[4] < 0.1
