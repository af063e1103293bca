"""The source plays a bag on its clock, does what the page asks, and commands no robot."""

import asyncio

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

import recorded_bag as rig  # noqa: E402
from recorded_bag import START_NS  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402

from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.web.bag.source import (  # noqa: E402
    ONLY_SHOWN,
    PlayClock,  # noqa: E402
    open_source,
)

SECOND = 1_000_000_000
BEFORE_S = 0.5
NODE = "/gr00t_policy"


class Clock:
    """Steady time that a test moves."""

    now_ns = 77 * SECOND

    def __call__(self):
        return self.now_ns

    def pass_s(self, seconds):
        """Let time pass."""
        self.now_ns += round(seconds * SECOND)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording of one episode that the policy commanded, with its status."""
    folder = tmp_path_factory.mktemp("recorded") / "recording"
    told = [rig.status(START_NS + n * SECOND // 2, "replaying") for n in range(4)]
    sources = [[START_NS, "policy"], [START_NS + SECOND, "human"]]
    messages = [*rig.streams(2.0), *rig.by_policy(2.0), *told]
    rig.write_episode(folder, 0, messages, sources=sources)
    return folder


@pytest.fixture
def clock():
    """The source's clock."""
    return Clock()


@pytest.fixture
def source(recording, clock):
    """The source at the beginning, without its thread."""
    source = open_source(recording, NODE, now_ns=clock)
    yield source
    source.close()


def ask(source, name, value=None):
    """What the source answers to a command."""
    return asyncio.run(source.command(name, value, "a test"))


def position(source):
    """Where it stands after a look at its clock."""
    source.refresh()
    return source.state()["position_s"]


def test_it_plays_holds_seeks_and_changes_speed_on_its_clock(source, clock):
    """The position follows the clock alone, to the end of the bag and not further."""
    assert position(source) == 0.0
    assert ask(source, "play") == (True, "plays at speed 1")
    clock.pass_s(0.75)
    assert position(source) == 0.75
    assert ask(source, "speed", 2) == (True, "speed 2")
    clock.pass_s(0.25)
    assert position(source) == 1.25
    assert ask(source, "pause_bag") == (True, "at 1.2 s")
    clock.pass_s(100)
    assert position(source) == 1.25 and source.state()["playing"] is False
    assert ask(source, "seek", 0.5)[0]
    assert position(source) == 0.5
    ask(source, "play")
    clock.pass_s(100)
    assert position(source) == source.facts()["duration_s"] == 2.5
    assert source.state()["playing"] is False
    ask(source, "play")
    assert position(source) == 0.0 and source.state()["playing"] is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("seek", value) for value in (None, "1", True, -0.1, 2.6, float("nan"), 10**400, [1])),
        *(("speed", value) for value in (0, -1, 100, float("inf"), None, "fast")),
    ],
)
def test_a_wrong_position_or_speed_changes_nothing(source, name, value):
    """The answer names what was got and what is expected."""
    done, text = ask(source, name, value)
    assert not done and "expected" in text
    assert position(source) == 0.0 and source.state()["speed"] == 1.0


@pytest.mark.parametrize(
    "name", ["pause", "resume", "reset", "estop", "instruction", "record_start"]
)
def test_a_command_to_a_robot_is_refused(source, name):
    """In clear words: a bag commands nothing."""
    assert ask(source, name, "lift it") == (False, ONLY_SHOWN)
    assert source.facts()["can_command"] is False


def test_it_shows_what_the_recorder_knew(source, clock):
    """Before the start no episode; then its seconds, and who commanded."""
    assert source.state()["recorder"]["state"] == "idle"
    found = []
    for seconds in (0.5, 1.5):
        ask(source, "seek", seconds + BEFORE_S)
        source.refresh()
        found.append(source.state()["recorder"])
    assert [(one["state"], one["seconds"], one["source"]) for one in found] == [
        ("recording", 0.5, "policy"),
        ("recording", 1.5, "human"),
    ]


def test_its_thread_plays_in_real_time(recording):
    """Started, it shows pictures and curves of later times, and ends when it is closed."""
    source = open_source(recording, NODE)
    try:
        assert source.cameras == ("front", "wrist")
        assert source.facts()["node"] == NODE and source.facts()["robot"] == "ramp"
        source.start()
        stamps = set()
        wait_until(
            lambda: (frame := source.frame("front")) and (stamps.add(frame[0]), len(stamps) > 2)[1],
            "three pictures",
        )
        wait_until(lambda: source.curves()["t"][-1:] and source.state()["connected"], "curves")
        assert source.events_since(0)[0]["text"] == "Moving by the policy"
    finally:
        source.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BagError("bag.mcap: cannot be read on: a hole"), "bag.mcap: cannot be read on: a hole"),
        (RuntimeError("cannot deserialize"), "RuntimeError: cannot deserialize"),
    ],
)
def test_a_bag_that_fails_while_it_plays_says_so(source, monkeypatch, error, reason):
    """The reason is shown, the bag stands, and the next position that can be read is shown."""
    ask(source, "play")

    def broken(_position_ns):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(source._view, "frames", broken)
        source.refresh()
    assert source.state()["reason"] == reason
    assert (source.state()["severity"], source.state()["playing"]) == ("error", False)
    ask(source, "seek", 1.0)
    source.refresh()
    assert source.state()["position_s"] == 1.0 and source.state()["reason"] == ""


def test_what_cannot_be_opened_is_named_in_one_line(recording, tmp_path):
    """No bag, a recording of several episodes or of none, and a broken embodiment file."""
    with pytest.raises(BagError, match="gone: no such bag, expected"):
        open_source(tmp_path / "gone", NODE)
    several = rig.write_recording(tmp_path / "several", episodes=2, seconds=0.2)
    with pytest.raises(BagError, match="with 2 episodes, expected one of them: .*000000 to .*001"):
        open_source(several, NODE)
    open_source(several / "episode_000001", NODE).close()
    (several / "embodiment.yaml").write_text("robot: [")
    with pytest.raises(BagError, match="give another file: --embodiment"):
        open_source(several / "episode_000001", NODE)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "embodiment.yaml").write_text("")
    with pytest.raises(BagError, match="a recording without an episode"):
        open_source(empty, NODE)


def test_a_clock_that_is_asked_twice_at_the_end_stands_there():
    """Past the end the position is the bag's length, whatever was done before."""
    clock = Clock()
    plays = PlayClock(SECOND, clock)
    plays.play()
    clock.pass_s(5)
    plays.pause()
    assert plays.position_ns == SECOND
    plays.set_speed(0.5)
    plays.play()
    clock.pass_s(1)
    assert plays.position_ns == SECOND // 2
