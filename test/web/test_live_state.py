"""What the source of a running node makes of single messages, beside no other process."""

import time

import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from sensor_msgs.msg import CompressedImage  # noqa: E402

from gr00t_ros.msg import EpisodeEvent, JointComparison, PolicyStatus, StreamStatus  # noqa: E402
from gr00t_ros.web.live import LiveSource  # noqa: E402
from gr00t_ros.web.snapshot import Curves  # noqa: E402
from gr00t_ros.web.view import CURVES_S  # noqa: E402


@pytest.fixture
def live(ros_domain):
    """A source in a domain of its own."""
    source = LiveSource("/gr00t_policy")
    yield source
    source.close()


def test_a_status_counts_for_less_than_one_second(live, monkeypatch):
    """Then the node is silent: its old reason is not shown, and the event says so once."""
    streams = [StreamStatus(name="video.wrist"), StreamStatus(name="state.arm")]
    now_s = time.monotonic()
    monkeypatch.setattr("gr00t_ros.web.live.time.monotonic", lambda: now_s)
    live._on_status(PolicyStatus(mode="replaying", reason="all is well", streams=streams))
    assert live.state()["connected"] and live.state()["reason"] == "all is well"
    assert live.cameras == ("wrist",)
    monkeypatch.setattr("gr00t_ros.web.live.time.monotonic", lambda: now_s + 0.95)
    state = live.state()
    assert not state["connected"] and state["severity"] == "error"
    assert "no status for" in state["reason"] and "hardware e-stop" in state["remedy"]


def test_an_unconfigured_node_counts_while_the_graph_has_it(live, monkeypatch):
    """It publishes its status only when it changes; here nobody publishes it."""
    live._on_status(PolicyStatus(mode="unconfigured"))
    assert not live.state()["connected"]
    monkeypatch.setattr(live._node, "count_publishers", lambda topic: 1)
    wait_until(lambda: live.state()["connected"], "the publisher in the graph")


def test_the_recorders_events_become_its_state(live, monkeypatch):
    """Recording with its seconds, then how it ended; none without a recorder."""
    begun = EpisodeEvent(event="start", episode=4, source="policy", text="lift the cup")
    begun.header.stamp.sec = int(time.time()) - 5
    live._on_episode(begun)
    assert live._recording() is None
    monkeypatch.setattr(live.commands, "recorder_is_there", lambda: True)
    wait_until(lambda: live.facts()["can_record"], "a recorder")
    assert live._recording()["state"] == "recording" and live._recording()["seconds"] >= 4.0
    live._on_episode(EpisodeEvent(event="source", episode=4, source="human"))
    assert live._recording()["source"] == "human"
    live._on_episode(EpisodeEvent(event="success", episode=4, source="human"))
    assert (live._recording()["state"], live._recording()["seconds"]) == ("success", None)
    texts = [event["text"] for event in live.events_since(0)]
    assert any("episode 4: start: lift the cup" in text for text in texts)


def test_a_recorder_that_comes_back_is_not_shown_as_recording(live, monkeypatch):
    """Its episode ended with it; no event says so."""
    monkeypatch.setattr(live.commands, "recorder_is_there", lambda: True)
    wait_until(lambda: live.facts()["can_record"], "a recorder")
    live._on_episode(EpisodeEvent(event="start", episode=4))
    assert live.state()["recorder"]["state"] == "recording"
    monkeypatch.setattr(live.commands, "recorder_is_there", lambda: False)
    wait_until(lambda: not live.facts()["can_record"], "its end")
    monkeypatch.setattr(live.commands, "recorder_is_there", lambda: True)
    wait_until(lambda: live.facts()["can_record"], "its return")
    assert live.state()["recorder"]["state"] == "ready"


def test_two_nodes_of_one_name_are_an_event(live, monkeypatch):
    """The details are folded, and the mode of the one hides that of the other."""
    monkeypatch.setattr(live._node, "count_publishers", lambda topic: 2)
    wait_until(lambda: len(live.events_since(0)) > 0, "the event")
    (event,) = live.events_since(0)
    assert event["level"] == "warn" and "2 nodes publish /gr00t_policy/status" in event["text"]


def test_a_picture_from_before_1970_is_shown(live):
    """Its stamp would not fit in front of the picture, and would close every connection."""
    picture = CompressedImage(data=b"\xff\xd8")
    picture.header.stamp.sec = -5
    live._on_picture("wrist", picture)
    assert live.frame("wrist") == (0, b"\xff\xd8")


def test_curves_are_the_last_seconds_and_unknown_numbers_are_null():
    """Samples whose columns do not fit are dropped; other joints begin anew."""
    curves, nan = Curves(), float("nan")

    def sample(*values, names=("a", "b")):
        columns = dict.fromkeys(("predicted", "commanded", "measured"), list(values))
        return JointComparison(names=list(names), **columns)

    curves.put(sample(0.0, 1.0), 0.0)
    curves.put(sample(2.0, nan), 5.0)
    curves.put(sample(2.0), 6.0)
    found = curves.at(CURVES_S + 1.0)
    assert found["names"] == ["a", "b"] and found["t"] == [-6.0]
    assert found["predicted"] == found["measured"] == [[2.0], [None]]
    curves.put(sample(7.0, names=("c",)), 6.0)
    assert curves.at(6.0) | {"t": 0} == {"names": ["c"], "t": 0} | dict.fromkeys(
        ("predicted", "commanded", "measured"), [[7.0]]
    )
