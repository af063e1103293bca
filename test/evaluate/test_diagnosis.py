"""Policies that are wrong in known ways get the diagnosis of their fault, and good ones none."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")

from made_episodes import Holds, Recorded, made_episode, with_changes

from gr00t_ros.evaluate.diagnosis import ADVICE, PROBLEM, diagnose
from gr00t_ros.evaluate.measures import measure
from gr00t_ros.evaluate.open_loop import OpenLoopSettings, predict_episode
from gr00t_ros.evaluate.report.page import TITLES

ROWS = 120
LATE = OpenLoopSettings(latency_ns=150_000_000)


@pytest.fixture(scope="module")
def episode(robot):
    """Six seconds of Desk6."""
    return made_episode(robot, rows=ROWS)


@pytest.fixture(scope="module")
def kinds(robot, episode, measured):
    """The kinds of problems that a policy is found to have, with the findings."""

    def of(change=None, settings=None, policy=None, shift=0, recording=episode):
        policy = policy or Recorded(robot, recording, change, shift)
        found = diagnose(measured(robot, recording, policy, settings))
        return {one.kind: one for one in found if one.level == PROBLEM}

    return of


def added(make):
    """A change that adds `make(query)` to every step of a chunk."""
    return lambda chunks, _, query: {key: rows + make(query) for key, rows in chunks.items()}


def switching(size):
    """Two modes, `size` to both sides; which one is drawn anew at each query."""
    side = np.random.default_rng(3).choice([-1.0, 1.0], 100)
    return added(lambda query: size * side[query])


def test_a_policy_that_predicts_the_recording_has_no_problem(kinds):
    """Nor one that is wrong by a little noise, with or without latency."""
    noise = np.random.default_rng(1)
    assert kinds() == {} and kinds(settings=LATE) == {}
    assert kinds(lambda c, *_: {"arm": c["arm"] + noise.normal(0.0, 0.002, (32, 6))}) == {}


def test_two_modes_are_found_and_not_taken_for_noise(kinds):
    """The distance of the modes is told; the arm would oscillate."""
    found = kinds(switching(0.05))
    assert {"modes", "oscillates"} <= found.keys() and not {"chatter", "alternates"} & found.keys()
    assert ": 0.1 rad" in found["modes"].text and len(found["modes"].parts) == 6


def test_a_small_error_that_alternates_explains_an_arm_that_oscillates(kinds):
    """The commonest complaint: the error is a few percent, and the arm swings."""
    found = kinds(added(lambda query: 0.02 * (-1) ** query))
    assert {"alternates", "oscillates"} <= found.keys() and "modes" not in found
    assert "at 1.2 Hz" in found["alternates"].text
    assert "the open-loop error is small (2" in found["oscillates"].text


def test_random_chunks_are_noise(kinds):
    """Each joint is off by its own amount at each query."""
    random = np.random.default_rng(5)
    found = kinds(added(lambda query: 0.06 * random.standard_normal(6)))
    assert "chatter" in found and "modes" not in found
    assert "reset between queries, or asked by two" in found["chatter"].advice


def test_a_policy_that_holds_the_state_is_named(robot, episode, kinds):
    """And its lag is no other fault."""
    found = kinds(policy=Holds(robot, episode))
    assert "holds" in found and not {"misaligned", "chatter", "no_better_than_hold"} & found.keys()


def test_chunks_of_a_policy_that_holds_are_refused_without_advice_on_joints(robot, measured):
    """The state is far behind the command: its chunks jump, and the joints are right."""
    behind = made_episode(robot, rows=ROWS, follows_rows=12)
    found = measured(robot, behind, Holds(robot, behind))
    kinds = {one.kind for one in diagnose(found)}
    assert found.deployed.guard.refused > 1 and "holds" in kinds and "guard" not in kinds


def test_a_lag_of_the_latency_is_told_from_a_misalignment(kinds):
    """Three rows are 150 ms: with that latency it is the latency, without it an alignment."""
    assert set(kinds(shift=-3, settings=LATE)) == {"lags_by_latency"}
    apart = kinds(shift=-3)
    assert set(apart) == {"misaligned"} and "3 rows (150 ms) behind" in apart["misaligned"].text
    assert "2 rows (100 ms) ahead" in kinds(shift=2)["misaligned"].text


def test_a_policy_that_goes_on_from_the_state_is_no_misalignment(robot, measured):
    """It is as late as the state is behind the command; a state that is too late is a problem."""
    for rows, kind in ((2, "follows_state"), (4, "misaligned")):
        episode = made_episode(robot, rows=ROWS, follows_rows=rows)
        found = diagnose(measured(robot, episode, Recorded(robot, episode, shift=-rows)))
        kinds = {one.kind for one in found}
        assert kind in kinds and ("state_late" in kinds) == (rows == 4)


def test_wrong_units_offsets_and_orders_are_told_apart(kinds):
    """Degrees, a constant, and two joints exchanged."""
    assert (
        "degrees in place of radians?"
        in kinds(lambda c, *_: {"arm": np.degrees(c["arm"])})["units"].text
    )
    assert "the sign is reversed?" in kinds(lambda c, *_: {"arm": -c["arm"]})["units"].text
    assert "+0.1 for" in kinds(added(lambda query: 0.1))["offset"].text
    order = kinds(lambda c, *_: {"arm": c["arm"][:, [3, 1, 2, 0, 4, 5]]})
    assert "desk6_joint1 follows the recorded arm: desk6_joint4" in order["order"].text


def test_wrong_units_are_refused_by_the_guard(kinds):
    """Its reason names the joint and the limit."""
    found = kinds(lambda c, *_: {"arm": np.degrees(c["arm"])})
    assert "limits" in found["guard"].text and "15 of 15 chunks" in found["guard"].text


def test_a_recording_whose_parts_are_apart_is_named(robot, kinds):
    """Whatever the policy: states before their actions, pictures after the states."""
    early = made_episode(robot, rows=ROWS, follows_rows=-2)
    assert "2 rows (100 ms) ahead" in kinds(recording=early)["state_leads"].text
    late = made_episode(robot, rows=ROWS, pictures_late=4)
    assert "pictures of front" in kinds(recording=late)["pictures_apart"].text


def test_chunks_that_are_not_finite_are_counted(kinds):
    """With row and joint."""

    def nan(chunks, _, query):
        chunks["arm"][5, 0] = np.nan if query % 5 == 1 else chunks["arm"][5, 0]
        return chunks

    assert "3 of 15 chunks; first at row 8" in kinds(nan)["not_finite"].text


class Sees:
    """Predicts the recording if the first camera shows what it should, else something else."""

    def __init__(self, robot, episode, trained_swapped=False, blind=False):
        self._inner = Recorded(robot, episode)
        self._episode, self._blind = episode, blind
        self._camera = robot.video[int(trained_swapped)].key
        self._expected = robot.video[0].key

    def begin(self):
        self._inner.begin()

    def predict(self, observation):
        action, taken = self._inner.predict(observation)
        expected = self._episode.video[self._expected][observation.row]
        seen = (observation.video[self._camera][-1] == expected).all()
        return (action if seen or self._blind else {k: v + 0.3 for k, v in action.items()}), taken


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({}, "cameras_matter"),
        ({"trained_swapped": True}, "cameras_swapped"),
        ({"blind": True}, "cameras_ignored"),
    ],
)
def test_exchanged_cameras_show_whether_the_policy_looks_at_them(droid, wrong, kind):
    """The error jumps, falls, or stays."""
    episode = made_episode(droid, rows=72)
    noisy = {
        k: v + np.float32(0.01) * np.sin(np.arange(72))[:, None] for k, v in episode.action.items()
    }
    recorded = with_changes(episode, action={k: v.astype("f4") for k, v in noisy.items()})
    swap = OpenLoopSettings(swap=tuple(view.key for view in droid.video))
    policy = Sees(droid, episode, **wrong)
    answers = [predict_episode(recorded, droid, one, policy) for one in (OpenLoopSettings(), swap)]
    found = diagnose(measure(recorded, droid, swap, *answers))
    assert kind in {one.kind for one in found}


def test_every_finding_has_a_title_and_an_advice():
    """On the page and in JSON."""
    assert ADVICE.keys() == TITLES.keys()
