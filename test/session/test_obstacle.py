"""An arm in front of an obstacle waits, and after a while for a person."""

from session_rig import Rig

from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.session.mode import Mode

WALL = Ahead("hand comes within 4.0 mm of wall in 0.30 s", 0.004, ("hand", "wall"), 0.3, 4)


class Wall:
    """A check that finds no motion clear while the wall `stands`."""

    stands = True
    scene = 0

    def begin(self, _position):
        """Nothing is remembered."""

    def look(self, _rows, _knot_s, _reserve=False):
        """The same answer for every motion."""
        return WALL if self.stands else Ahead("", 0.2, ("hand", "wall"), 0.0, 2)


def before_wall():
    """A rig in which no motion is clear, and its wall."""
    rig, wall = Rig(), Wall()
    rig.session.replay.motion_check = wall
    return rig.activate(), wall


def ask(rig, ticks):
    """Tick, with a chunk every 20 ticks, as the policy goes on to be asked; the windows."""
    windows = []
    for _ in range(ticks // 20):
        if rig.session.query_due(rig.now_ns):
            rig.merge()
        windows += rig.tick(count=20)
    return windows


def test_no_window_is_sent_and_the_policy_is_asked_further():
    """Until something else is clear; then the arm moves by itself."""
    rig, wall = before_wall()
    assert ask(rig, 200) == []
    assert rig.mode in (Mode.BLENDING_IN, Mode.REPLAYING, Mode.HOLDING)
    assert rig.session.counts.accepted >= 2
    wall.stands = False
    assert ask(rig, 100)
    assert rig.session.replay.blocked_ns(rig.now_ns) == 0


def test_after_the_patience_the_arm_waits_for_a_person():
    """The reason names both, and ~/resume begins anew, with the whole patience."""
    rig, wall = before_wall()
    ask(rig, 360)
    assert rig.mode is Mode.PAUSED_BY_OPERATOR
    assert "hand comes within 4.0 mm of wall" in rig.session.reason
    assert "look at what is in the way, then call ~/resume" in rig.session.reason
    assert rig.tick(count=100) == []
    assert rig.mode is Mode.PAUSED_BY_OPERATOR
    assert rig.session.resume(rig.now_ns, rig.held, ()) == ""
    ask(rig, 200)
    assert rig.mode is not Mode.PAUSED_BY_OPERATOR
    wall.stands = False
    assert ask(rig, 60)


def test_a_plan_that_ends_in_front_of_an_obstacle_says_so():
    """Not that the server was late."""
    rig, _ = before_wall()
    rig.merge()
    rig.until(Mode.HOLDING)
    assert rig.session.reason == f"no chunk left to play: something is in the way: {WALL.why}"
