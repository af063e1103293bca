"""Each planted fault of a dataset is named by its check, and a good dataset has no finding."""

import shutil

import numpy as np
import pytest

pytest.importorskip("av")
pyarrow = pytest.importorskip("pyarrow")

import dataset_files as files  # noqa: E402
from pyarrow import parquet  # noqa: E402

from gr00t_ros.dataset.checks.dataset import check_dataset  # noqa: E402
from gr00t_ros.dataset.checks.table import CHECKS, ERROR, WARNING  # noqa: E402
from gr00t_ros.dataset.lerobot import LeRobotDataset  # noqa: E402
from gr00t_ros.errors import SettingsError  # noqa: E402

CONTENT = files.content(episodes=3, rows=45)
ROWS = len(CONTENT[0])
INFO, MODALITY = "meta/info.json", "meta/modality.json"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
FRONT = "observation.images.front"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A good dataset of each format, which no test changes."""
    folder = tmp_path_factory.mktemp("good")
    return {
        "groot": files.write_groot(folder / "groot", CONTENT),
        "lerobot3": files.write_lerobot3(folder / "lerobot3", CONTENT),
    }


@pytest.fixture
def copied(written, tmp_path):
    """Copy a good dataset for a test that plants a fault in it."""

    def copy(form="groot"):
        return shutil.copytree(written[form], tmp_path / form)

    return copy


def findings(folder, robot=None, workers=1):
    """All findings of a dataset, and how far its series are apart."""
    checked = check_dataset(folder, robot, workers, lambda _done, _of: None)
    return checked.findings.kept, checked.lags


@pytest.mark.parametrize("form", ["groot", "lerobot3"])
@pytest.mark.parametrize("robot", [None, files.embodiment()], ids=["alone", "with embodiment"])
def test_a_good_dataset_has_no_finding(written, form, robot):
    """Neither error nor warning; the lags are those with which it was made."""
    found, lags = findings(written[form], robot)
    assert [finding.line() for finding in found] == []
    assert lags["state"].rows == pytest.approx(1.0, abs=0.3)
    assert lags["front"].rows == pytest.approx(0.0, abs=0.7)
    assert lags["wrist"].rows == pytest.approx(0.0, abs=0.7)


# --- how each fault is planted; the number is that of the list of known trouble -----------------


def pictures(of=0, camera="front"):
    """The pictures of an episode."""
    return list(CONTENT[of].pictures[camera])


def encoded(images, **how):
    """Replace the first episode's front video."""
    return lambda folder: files.encode(files.video_file(folder), images, **how)


def rows(change, episode=0):
    """Change the columns of an episode's parquet file."""
    return lambda folder: files.edit_table(files.data_file(folder, episode), change)


def v3_rows(file, change):
    """Change the columns of a parquet file of a v3 dataset."""
    return lambda folder: files.edit_table(folder / file, change)


def meta(file, change):
    """Change a file of meta/."""
    return lambda folder: files.edit_json(folder / file, change)


def set_column(name, make):
    """Replace a column by `make` of its values."""

    def change(columns):
        columns[name] = make(columns[name])

    return change


def shuffled(columns):
    """All columns in another order of rows."""
    order = np.random.default_rng(2).permutation(len(columns["index"]))
    return {name: [values[i] for i in order] for name, values in columns.items()}


def nan_in_row_5(values):
    """One number of one row."""
    return [[float("nan"), *v[1:]] if i == 5 else v for i, v in enumerate(values)]


def jittered(values):
    """30 ms in turn earlier and later, the first row at 0."""
    return [t + (0.03 if t and i % 2 else 0.0) for i, t in enumerate(values)]


def blank_line(folder):
    """One in the middle, one would be read as the end of the file."""
    path = folder / "meta/tasks.jsonl"
    path.write_text(path.read_text().replace("\n", "\n\n", 1))


def slices(section, **keys):
    """Change slices of modality.json."""
    return meta(MODALITY, lambda m: [m[section][k].update(v) for k, v in keys.items()] and None)


def renamed_cameras(modality):
    """Other names, in another order."""
    return modality | {
        "video": {
            name: {"original_key": f"observation.images.{name}"} for name in ("hand", "scene")
        }
    }


def stats(change):
    """Change the statistics of the state."""
    return meta("meta/stats.json", lambda s: change(s["observation.state"]))


def shifted_segment(columns):
    """The second episode one picture late."""
    name = f"videos/{FRONT}/from_timestamp"
    columns[name][1] += 1.0 / files.RATE_HZ


NO_NUMBERS = {
    "text": lambda count: pyarrow.array(["x"] * count),
    "rows of texts": lambda count: pyarrow.array([["1", "2", "3"]] * count),
    "bytes": lambda count: pyarrow.array([b"1"] * count),
    "maps": lambda count: pyarrow.array([{"x": 1.0}] * count),
    "tables of numbers": lambda count: pyarrow.array([[[1.0], [2.0], [3.0]]] * count),
}


def other_column(file, name, make):
    """Replace a column of a parquet file by `make` of the number of its rows, of any type."""
    table = parquet.read_table(file)
    at = table.column_names.index(name)
    parquet.write_table(table.set_column(at, name, make(len(table))), file)


@pytest.mark.parametrize("form", ["groot", "lerobot3"])
@pytest.mark.parametrize("name", ["observation.state", "action", "timestamp"])
@pytest.mark.parametrize("what", NO_NUMBERS)
def test_a_needed_column_without_rows_of_numbers_is_an_error(copied, form, name, what):
    """Whatever else it has: nobody can train with it."""
    folder = copied(form)
    file = files.data_file(folder, 0) if form == "groot" else next(folder.glob("data/*/*.parquet"))
    other_column(file, name, NO_NUMBERS[what])
    found, _ = findings(folder)
    of_it = [one for one in found if one.check == "column_numbers" and f"{name}: " in one.got]
    assert of_it and of_it[0].is_error
    assert of_it[0].expected == "(N,) or (N, D) of numbers"


@pytest.mark.parametrize("form", ["groot", "lerobot3"])
def test_an_episode_without_rows_is_named_by_its_place(copied, form):
    """In the list of episodes: file and line, or row."""
    folder = copied(form)
    if form == "groot":
        files.edit_json(folder / "meta" / "episodes.jsonl", lambda rows: rows[1].update(length=0))
    else:
        change = set_column("length", lambda v: [v[0], 0, *v[2:]])
        files.edit_table(folder / EPISODES, change)
    place = r"episodes\.jsonl:2: " if form == "groot" else "row 1: "
    with pytest.raises(SettingsError, match=f"{place}length is 0, expected a whole number from 1"):
        LeRobotDataset(folder)


FAULTS = {
    "1 video one frame short": (encoded(pictures()[:-1]), {"video_frames"}),
    "2 video longer": (encoded([*pictures(), pictures()[-1]]), {"video_frames"}),
    "3 video at 30 Hz": (encoded(pictures(), rate_hz=30), {"video_rate"}),
    "4 first pts above 0": (
        encoded(pictures(), times=[i + 5 for i in range(ROWS)]),
        {"video_start"},
    ),
    "5 gap in the pts": (
        encoded(pictures(), times=[i + 3 * (i > 20) for i in range(ROWS)]),
        {"video_gap"},
    ),
    "6 jitter": (rows(set_column("timestamp", jittered)), {"timestamp_rate"}),
    "7 wall clock": (
        rows(set_column("timestamp", lambda v: [t + 1.7e9 for t in v])),
        {"timestamp_start", "stats_values"},
    ),
    "8 rows shuffled": (rows(shuffled), {"row_order"}),
    "9 NaN": (rows(set_column("observation.state", nan_in_row_5)), {"not_finite"}),
    "a column of texts": (
        lambda folder: other_column(files.data_file(folder), "action", NO_NUMBERS["text"]),
        {"column_numbers"},
    ),
    "10 one dimension short": (
        rows(set_column("observation.state", lambda v: [row[:2] for row in v])),
        {"column_width"},
    ),
    "11 slice beyond the column": (slices("state", gripper={"end": 4}), {"slice_beyond"}),
    "12 length too small": (
        meta("meta/episodes.jsonl", lambda e: e[0].update(length=ROWS - 2)),
        {"episode_length", "totals", "row_index"},
    ),
    "12 length too large": (
        meta("meta/episodes.jsonl", lambda e: e[0].update(length=ROWS + 2)),
        {"episode_length", "totals", "row_index"},
    ),
    "13 id without a task": (
        rows(set_column("task_index", lambda v: [*v[:9], 7, *v[10:]])),
        {"task_id"},
    ),
    "14 stale statistics": (stats(lambda s: s["max"].__setitem__(1, 9.0)), {"stats_values"}),
    "15 statistics too short": (stats(lambda s: s.update(q01=[0.0])), {"stats_shape"}),
    "16 episode_index twice": (
        meta("meta/episodes.jsonl", lambda e: e.append(dict(e[1]))),
        {"episode_duplicate"},
    ),
    "17 cameras renamed": (
        meta(MODALITY, renamed_cameras),
        {"camera_unknown", "camera_unused", "video_file"},
    ),
    "18 v3 paths": (
        meta(INFO, lambda i: i.update(data_path=files.V3_DATA, video_path=files.V3_VIDEO)),
        {"info_paths"},
    ),
    "blank line": (blank_line, {"blank_line"}),
    "overlapping slices": (slices("action", gripper={"start": 1}), {"slice_overlap"}),
    "CHW": (
        meta(
            INFO,
            lambda i: i["features"][FRONT].update(
                shape=[3, 48, 64], names=["channels", "height", "width"]
            ),
        ),
        {"camera_axes"},
    ),
    "another size": (
        meta(INFO, lambda i: i["features"][FRONT].update(shape=[96, 64, 3])),
        {"camera_size"},
    ),
    "no video": (lambda folder: files.video_file(folder).unlink(), {"video_file"}),
    "half a video": (lambda folder: truncate(files.video_file(folder)), {"video_file"}),
    "no rows": (
        lambda folder: files.data_file(folder).unlink(),
        {"data_file"},
    ),
    "float32 timestamps": (lambda folder: float32_times(folder), {"timestamp_float32"}),
    "no such column": (
        rows(lambda c: {k: v for k, v in c.items() if k != "action"}),
        {"column_missing"},
    ),
    "episode number": (rows(set_column("episode_index", lambda v: [3] * len(v))), {"row_numbers"}),
    "a count of LeRobot": (stats(lambda s: s.update(count=[3])), {"stats_count"}),
    "relative statistics": (
        lambda folder: files.write_json(
            folder / "meta/relative_stats.json",
            {"arm": {name: [[0.0] * 3] * 8 for name in ("mean", "std", "min", "max")}},
        ),
        {"relative_stats"},
    ),
    "video of no episode": (
        lambda folder: shutil.copy(files.video_file(folder), files.video_file(folder, 77)),
        {"file_unused"},
    ),
    "no language": (meta(MODALITY, lambda m: m.pop("annotation") and None), {"language_missing"}),
    "unknown column": (
        meta(MODALITY, lambda m: m["action"]["arm"].update(original_key="actoin")),
        {"column_unknown", "column_missing"},
    ),
    "another type": (
        meta(INFO, lambda i: i["features"]["next.done"].update(dtype="int64")),
        {"column_type"},
    ),
    "no statistics": (lambda folder: (folder / "meta/stats.json").unlink(), {"stats_missing"}),
    "broken metadata": (lambda folder: (folder / INFO).write_text("{"), {"meta_file"}),
    "too deep": (lambda folder: (folder / MODALITY).write_text("[" * 99), {"meta_file"}),
}


def truncate(path):
    """As a copy that was interrupted."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def float32_times(folder):
    """As LeRobot writes them."""
    for episode in range(len(CONTENT)):
        path = files.data_file(folder, episode)
        table = parquet.read_table(path, partitioning=None)
        place = table.column_names.index("timestamp")
        times = table.column("timestamp").cast(pyarrow.float32())
        parquet.write_table(table.set_column(place, "timestamp", times), path)
    files.edit_json(folder / INFO, lambda i: i["features"]["timestamp"].update(dtype="float32"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(copied, fault):
    """By its check and no other; the line has the file, what was got and what to do."""
    plant, expected = FAULTS[fault]
    folder = copied()
    plant(folder)
    found, _ = findings(folder)
    assert {finding.check for finding in found} == expected, [f.line() for f in found]
    for finding in found:
        line = finding.line()
        assert CHECKS[finding.check].remedy in line and finding.expected in line
        assert finding.file.startswith(("meta", "data", "videos"))


V3_FAULTS = {
    "19 rows of tasks in another order": (
        v3_rows("meta/tasks.parquet", lambda c: {k: v[::-1] for k, v in c.items()}),
        {"tasks_order"},
    ),
    "20 from_timestamp one picture late": (v3_rows(EPISODES, shifted_segment), {"video_segment"}),
    "v2 paths": (
        meta(INFO, lambda i: i.update(data_path=files.V2_DATA, video_path=files.V2_VIDEO)),
        {"info_paths"},
    ),
    "index range": (
        v3_rows(EPISODES, set_column("dataset_from_index", lambda v: [v[0], v[1] + 2, *v[2:]])),
        {"episode_order"},
    ),
    "file number": (
        v3_rows(EPISODES, set_column("data/file_index", lambda v: [0, 1, 0])),
        {"data_file", "data_rows"},
    ),
    "no place of the pictures": (
        v3_rows(
            EPISODES, lambda c: {k: v for k, v in c.items() if not k.startswith(f"videos/{FRONT}")}
        ),
        {"video_file", "file_unused"},
    ),
    "no modality": (lambda folder: (folder / MODALITY).unlink(), {"modality_missing"}),
    "jitter": (
        v3_rows(files.v3_file(files.V3_DATA), set_column("timestamp", jittered)),
        {"timestamp_rate", "stats_values"},
    ),
    "length": (
        v3_rows(EPISODES, set_column("length", lambda v: [v[0] - 1, *v[1:]])),
        None,
    ),
}


@pytest.mark.parametrize("fault", V3_FAULTS)
def test_a_planted_fault_of_a_v3_dataset_is_named(copied, fault):
    """What v2 does not have, and that its rows and videos are checked as well."""
    plant, expected = V3_FAULTS[fault]
    folder = copied("lerobot3")
    plant(folder)
    found, _ = findings(folder)
    names = {finding.check for finding in found}
    assert names == expected if expected else "episode_length" in names, [f.line() for f in found]


def test_a_finding_tells_file_episode_row_and_who_is_silent(copied):
    """In one line for people and as a map for programs."""
    folder = copied()
    FAULTS["9 NaN"][0](folder)
    (finding,), _ = findings(folder)
    assert finding.line() == (
        "error not_finite: data/chunk-000/episode_000000.parquet, episode 0, row 5: got "
        "observation.state[0] is nan, expected a finite number. To do: leave the episode out. "
        "Silent: N1.5, N1.6, N1.7."
    )
    figures = finding.figures()
    assert (figures["level"], figures["episode"], figures["row"]) == ("error", 0, 5)
    assert figures["silent_in"] == "N1.5, N1.6, N1.7"


# --- against the embodiment file -----------------------------------------------------------------


def camera(size=(48, 64)):
    """A camera of an embodiment file."""
    return {"topic": "/c", "size": list(size), "fit": "pad", "delta_indices": [0]}


ROBOTS = {
    "rate": ({"rate_hz": 20}, "rate", "fps 10, expected rate_hz 20"),
    "order": (
        {"video": {"wrist": camera(), "front": camera()}},
        "camera_order",
        "got front, wrist, expected wrist, front",
    ),
    "size": (
        {"video": {"front": camera((24, 32)), "wrist": camera((24, 32))}},
        "camera_resized",
        "got 48x64 (height x width), expected 24x32",
    ),
    "key": (
        {"state": {"leg": {"from": "joints", "topic": "/j", "names": ["pan"]}}},
        "keys",
        "state.leg: no such key",
    ),
}


@pytest.mark.parametrize("difference", ROBOTS)
def test_a_dataset_of_another_robot_is_named(written, difference):
    """Rate, cameras and keys are compared with the embodiment file."""
    change, check, text = ROBOTS[difference]
    found, _ = findings(written["groot"], files.embodiment(**change))
    assert {finding.check for finding in found} == {check}
    assert any(text in finding.line() for finding in found), [f.line() for f in found]


def test_joints_outside_their_limits_are_named_in_the_robots_unit(tmp_path):
    """Degrees are guessed; a gripper's 0..1 is compared through its scale."""
    degrees = files.content(episodes=1)
    degrees[0].state[:, :2] *= 57.3
    degrees[0].action[:, 2] += 1.0
    found, _ = findings(files.write_groot(tmp_path / "set", degrees), files.embodiment())
    lines = [finding.line() for finding in found if finding.check == "joint_range"]
    assert len(lines) == 3 and all(finding.check == "joint_range" for finding in found)
    assert "(degrees?)" in lines[0] and "expected -2 to 2" in lines[0]
    assert "action.gripper: jaw at" in lines[2] and "expected 0 to 0.5" in lines[2]


# --- pictures, columns, time ---------------------------------------------------------------------


def test_frozen_and_black_pictures_are_named_with_their_rows(copied):
    """Frozen counts only while the state moves; black for half a second."""
    frozen, black = pictures(0), pictures(1, "wrist")
    frozen[20:45] = [frozen[20]] * 25
    black[30:40] = [np.zeros_like(black[0])] * 10
    folder = copied()
    files.encode(files.video_file(folder), frozen)
    files.encode(files.video_file(folder, 1, "wrist"), black)
    found, _ = findings(folder)
    got = {f.check: (f.episode, f.row, f.places) for f in found if f.is_error}
    assert got == {"picture_frozen": (0, 20, 25), "picture_black": (1, 30, 10)}


def test_pictures_of_a_robot_that_rests_are_not_frozen(tmp_path):
    """Nothing moves for two seconds: neither does the picture."""
    resting = files.content()
    for of in resting:
        of.state[20:40], of.action[20:40] = of.state[20], of.state[20]
        for camera_pictures in of.pictures.values():
            camera_pictures[20:40] = [camera_pictures[20]] * 20
    found, _ = findings(files.write_groot(tmp_path / "set", resting))
    assert [f.line() for f in found if f.is_error] == []


def test_a_constant_column_is_named(tmp_path):
    """By its key, its number and its name."""
    still = files.content()
    for of in still:
        of.state[:, 1] = 0.25
    found, _ = findings(files.write_groot(tmp_path / "set", still))
    (finding,) = (f for f in found if f.check == "constant_column")
    assert "state.arm: column 1 (tilt) is 0.25 in all rows" in finding.line()


def test_a_state_that_the_embodiment_calls_constant_is_none_to_warn_of(tmp_path):
    """The converter writes it, because the observation sends it."""
    still = files.content(episodes=2)
    for of in still:
        of.state[:, 2] = 0.5
    folder = files.write_groot(tmp_path / "set", still)
    mounted = {
        "arm": {"from": "joints", "topic": "/j", "names": ["pan", "tilt"]},
        "gripper": {"from": "constant", "values": [0.5]},
    }
    assert [f.check for f in findings(folder)[0]] == ["constant_column"]
    assert findings(folder, files.embodiment(state=mounted))[0] == []


LONGER = {"episodes": 4, "rows": 70}


@pytest.mark.parametrize("delay", [3, -3])
def test_pictures_three_frames_off_are_named_with_the_number(tmp_path, delay):
    """Of both cameras: late pictures, and early ones."""
    late = files.content(**LONGER, picture_delay_rows=delay)
    found, lags = findings(files.write_groot(tmp_path / "set", late))
    assert {f.check for f in found} == {"picture_lag"} and len(found) == 2
    assert lags["front"].rows == pytest.approx(delay, abs=0.6)
    assert lags["wrist"].rows == pytest.approx(delay, abs=0.6)
    side = "behind" if delay > 0 else "ahead of"
    assert all(
        f"rows (0.3 s) {side} the state" in f.line().replace(".30", ".3") for f in found
    ) or (all(side in f.line() for f in found))


@pytest.mark.parametrize(("ahead", "rows_behind"), [(4, 4.0), (-2, -2.0)])
def test_actions_three_frames_off_are_named_with_the_number(tmp_path, ahead, rows_behind):
    """The state is 3 rows later than where it was commanded to be 1 row ahead, or 3 earlier."""
    off = files.content(**LONGER, action_ahead_rows=ahead)
    found, lags = findings(files.write_groot(tmp_path / "set", off))
    assert {f.check for f in found} == {"action_lag"}
    assert lags["state"].rows == pytest.approx(rows_behind, abs=0.4)


def test_one_episode_off_among_good_ones_is_named(tmp_path):
    """Its pictures are late, those of the others are not."""
    mixed = files.content(**LONGER)
    late = files.content(**LONGER, picture_delay_rows=5)
    for name in files.CAMERAS:
        mixed[2].pictures[name] = late[2].pictures[name]
    found, _ = findings(files.write_groot(tmp_path / "set", mixed))
    assert {(f.check, f.episode) for f in found} == {("picture_lag", 2)}


def test_cameras_swapped_in_one_episode_are_named(copied):
    """Their files are exchanged; both have one size."""
    folder = copied()
    front, wrist = (files.video_file(folder, 2, name) for name in files.CAMERAS)
    other = front.with_suffix(".other")
    for source, target in ((front, other), (wrist, front), (other, wrist)):
        source.rename(target)
    found, _ = findings(folder)
    assert {(f.check, f.episode) for f in found} == {("camera_swapped", 2)}


def test_cameras_swapped_everywhere_are_named_by_their_motion(tmp_path):
    """The one that is called wrist is not the one that moves with the arm."""
    swapped = files.content()
    for of in swapped:
        of.pictures = {"front": of.pictures["wrist"], "wrist": of.pictures["front"]}
    found, _ = findings(files.write_groot(tmp_path / "set", swapped))
    assert {finding.check for finding in found} == {"camera_role"}


# --- the whole -----------------------------------------------------------------------------------


def test_the_number_of_workers_changes_nothing(copied):
    """Findings and lags are the same, in the same order."""
    folder = copied()
    for fault in ("1 video one frame short", "9 NaN", "13 id without a task"):
        FAULTS[fault][0](folder)
    one, two = findings(folder, files.embodiment()), findings(folder, files.embodiment(), 2)
    assert one == two and len(one[0]) == 3


def test_no_dataset_is_no_finding(tmp_path):
    """The folder is not one: that is an error of usage."""
    with pytest.raises(SettingsError, match="expected the folder of a dataset"):
        findings(tmp_path)


def test_each_check_of_the_table_is_planted_somewhere_or_named_here():
    """A check that nothing can find is none."""
    planted = set().union(*(expected or set() for _, expected in (FAULTS | V3_FAULTS).values()))
    planted |= {check for _, check, _ in ROBOTS.values()} | {"joint_range", "constant_column"}
    planted |= {"picture_frozen", "picture_black", "picture_lag", "action_lag"}
    planted |= {"camera_swapped", "camera_role"}
    assert set(CHECKS) - planted == set()
    assert {check.level for check in CHECKS.values()} == {ERROR, WARNING}
