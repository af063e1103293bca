"""A bag shows at any time what the live page showed then, whichever way that time was reached."""

import random

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

import recorded_bag as rig  # noqa: E402
from bag_files import write_bag  # noqa: E402
from made_episode import number_of  # noqa: E402
from ramp_robot import robot  # noqa: E402
from recorded_bag import MS, START_NS, measured  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402

from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.msg import PolicyStatus  # noqa: E402
from gr00t_ros.web.bag.view import OLDEST_PICTURE_NS, BagView  # noqa: E402

NODE = "/gr00t_policy"
SECONDS, BEFORE_S = 6.0, 0.5


def status(at_s, mode, reason="", instruction="lift it"):
    """The node's status at a time after the start."""
    time_ns = START_NS + round(at_s * 1e9)
    message = PolicyStatus(mode=mode, reason=reason, instruction=instruction, robot="ramp")
    message.header.stamp = rig.to_time(time_ns)
    return f"{NODE}/status", time_ns, message


def told():
    """Half a second apart, as the node publishes; a pause, and another instruction after it."""
    for number in range(int(2 * SECONDS)):
        at_s = number / 2
        if at_s < 3.0:
            yield status(at_s, "replaying")
        elif at_s < 4.0:
            yield status(at_s, "paused", f"camera late by {at_s:.1f} s")
        else:
            yield status(at_s, "replaying", instruction="put it down")


def chunks():
    """A chunk each 300 ms; what is predicted for a joint is the time in s."""
    for ms in range(0, round(1000 * SECONDS), 300):
        time_ns = START_NS + ms * MS
        message = rig.chunk(robot(), time_ns)
        tool = next(one for one in message.groups if one.action_key == "tool")
        tool.data = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0] * tool.rows
        yield f"{NODE}/action_chunk", time_ns + 20 * MS, message


def messages():
    """Everything of the bag, in the order of time."""
    parts = (*rig.streams(SECONDS), *rig.by_policy(SECONDS), *told(), *chunks())
    return sorted(parts, key=lambda one: one[1])


@pytest.fixture(scope="module", params=["mcap", "sqlite3"])
def bag(request, tmp_path_factory):
    """The folder of the bag."""
    folder = tmp_path_factory.mktemp("bag") / "bag"
    return write_bag(folder, messages(), mcap=request.param == "mcap")


def view(bag, **changed):
    """The bag, opened."""
    return BagView(bag, **{"robot": robot(), "node": NODE} | changed)


def everything(view_, position_ns):
    """All that is shown at a position."""
    return (
        view_.state(position_ns),
        view_.frames(position_ns),
        view_.events_since(0, position_ns),
        view_.curves(position_ns),
    )


def at(seconds):
    """The position of a time after the start of the episode; the bag begins before it."""
    return round((seconds + BEFORE_S) * 1e9)


def picture_number(jpeg):
    """The number that a picture shows."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return number_of(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def test_a_time_is_the_same_played_and_sought(bag):
    """Playing up to each time, jumping about, and opening the bag anew show the same."""
    random_ = random.Random(5)
    played, jumping = view(bag), view(bag)
    positions = sorted(random_.randrange(played.duration_ns + 1) for _ in range(25))
    positions += [0, at(3.0), at(3.0) - 1, played.duration_ns]
    positions.sort()
    by_playing = {position: everything(played, position) for position in positions}
    random_.shuffle(positions)
    by_jumping = {position: everything(jumping, position) for position in positions}
    assert by_jumping == by_playing
    for position in positions[:3]:
        fresh = view(bag)
        assert everything(fresh, position) == by_playing[position]
        fresh.close()
    assert len({str(one) for one in by_playing.values()}) == len(by_playing)


def test_each_time_shows_its_own_picture_status_and_joints(bag):
    """Values that follow from their time: picture numbers, the pause, and lines of joints."""
    shown = view(bag)
    for seconds in (0.51, 2.26, 5.72):
        frames = shown.frames(at(seconds))
        stamp_ns, jpeg = frames["front"]
        number = 2 * (int(seconds * 1000) // 100)  # every second picture is in it
        assert picture_number(jpeg) == number
        assert stamp_ns == START_NS + number * rig.FRAME_MS * MS
        assert picture_number(frames["wrist"][1]) == number + 1000
    state = shown.state(at(3.2))
    assert (state["mode"], state["reason"]) == ("paused", "camera late by 3.0 s")
    assert (state["severity"], state["connected"], state["age_s"]) == ("warn", True, 0.2)
    assert state["history"] == ["lift it"]
    assert shown.state(at(4.6))["history"] == ["put it down", "lift it"]


def test_the_curves_are_those_of_the_last_seconds(bag):
    """Measured, commanded ahead of it, and the prediction; nothing of the future."""
    curves = view(bag).curves(at(4.0))
    times = np.array(curves["t"])
    assert curves["names"] == list(robot().joint_names)
    assert times[-1] == 0.0 and times[0] == -4.5 and (np.diff(times) > 0).all()
    for row, name in enumerate(curves["names"]):
        values = [np.array(curves[key][row], float) for key in ("measured", "commanded")]
        slope = rig.SLOPES[name]
        line = np.array([measured(name, START_NS + round((4.0 + t) * 1e9)) for t in times])
        later = times > -3.5
        # a joint state is up to 20 ms old
        np.testing.assert_allclose(values[0][later], line[later], atol=abs(slope) * 0.021)
        np.testing.assert_allclose(values[1][later], line[later] + slope * 0.25, atol=2e-3)
    pan = np.array(curves["predicted"][0], float)
    np.testing.assert_allclose(pan[times > -3.5], 4.0 + times[times > -3.5], atol=0.06)


def test_events_are_the_changes_so_far(bag):
    """Numbers count, a reason in which only a number changes is no event, nothing comes early."""
    shown = view(bag)
    texts = [(one["number"], one["level"], one["text"]) for one in shown.events_since(0, at(9))]
    assert texts == [
        (1, "info", "Moving by the policy"),
        (2, "warn", "Paused by a watch: camera late by 3.0 s"),
        (3, "info", "Moving by the policy"),
    ]
    assert [one["number"] for one in shown.events_since(1, at(3.1))] == [2]
    assert shown.events_since(0, at(0.0) - 1) == []
    assert shown.events_since(0, at(3.1))[1]["time_s"] == pytest.approx(START_NS * 1e-9 + 3.0)


def test_before_the_first_status_and_after_a_silent_camera_nothing_is_invented(tmp_path):
    """No status, no picture: the page says so and shows none of another time."""
    late = START_NS + 5 * OLDEST_PICTURE_NS
    one = status(1.0, "replaying")
    parts = [("/front", START_NS, rig.image(0)), one, ("/joint_states", late, rig.joints(late))]
    shown = view(write_bag(tmp_path / "bag", parts))
    assert shown.state(0)["connected"] is False and shown.state(0)["mode"] == ""
    assert set(shown.frames(OLDEST_PICTURE_NS)) == {"front"}
    assert shown.frames(OLDEST_PICTURE_NS + 1) == {}
    later = shown.state(shown.duration_ns)
    assert (later["connected"], later["mode"], later["age_s"]) == (False, "replaying", 49.0)
    known = {v for row in shown.curves(30_000 * MS)["measured"] for v in row}
    assert known == {None}


def test_pictures_that_were_recorded_as_sent_are_shown_as_they_are(tmp_path):
    """The bytes of ~/observation/<camera>/compressed go to the page unchanged, without a file."""
    sent = CompressedImage(format="jpeg", data=b"\xff\xd8 as it was sent")
    sent.header.stamp = rig.to_time(START_NS)
    topic = f"{NODE}/observation/front/compressed"
    bag = write_bag(tmp_path / "bag", [(topic, START_NS, sent), ("/front", START_NS, rig.image(3))])
    for known in (robot(), None):
        shown = view(bag, robot=known)
        assert shown.frames(0) == {"front": (START_NS, b"\xff\xd8 as it was sent")}
        assert shown.cameras == ("front",)
    assert "--embodiment" in shown.missing[-1]
    assert [one["text"] for one in shown.events_since(0, 0)] == list(shown.missing)


def test_the_status_of_the_one_other_node_is_found(tmp_path):
    """A bag of a node with another name needs no option; of two nodes one must be named."""
    _, time_ns, message = status(0.0, "ready")
    parts = [(f"/{name}/status", time_ns, message) for name in ("left", "right")]
    assert view(write_bag(tmp_path / "one", parts[:1])).node == "/left"
    both = write_bag(tmp_path / "both", parts)
    assert view(both, node="/right").node == "/right"
    with pytest.raises(BagError, match="--node: got /gr00t_policy, expected .*: /left, /right"):
        view(both)


def test_a_bag_that_was_cut_off_is_named(tmp_path):
    """One line: which file, and what to do."""
    bag = write_bag(tmp_path / "bag", messages()[:200], mcap=True)
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(BagError, match=r"bag\.mcap: cannot be read .*mcap recover"):
        view(bag)
