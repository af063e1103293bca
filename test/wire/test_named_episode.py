"""A robot that names itself: the bytes, the proof at the check, servers that do not know the id."""

import threading
from contextlib import closing, contextmanager

import numpy as np
import pytest

from gr00t_ros.errors import RefusedError, RemoteError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.inpaint import Inpainting
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.serve.robots import MAX_ROBOTS, Robots
from gr00t_ros.serve.server import PolicyServer
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.sidecar.exchange import read_request
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.codec import decode
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.messages import Generation
from gr00t_ros.wire.rtc import RtcDialect, rtc_options
from gr00t_ros.wire.template import RequestTemplate

ROBOT = load_embodiment("franka_droid")
LEFT = "left arm"
OTHER_ROBOT = {"state": {s.key: np.ones((1, 1, s.width), np.float32) for s in ROBOT.state}}


class Told:
    """The hold policy; keeps the options of all calls, and answers resets with `reply`."""

    def __init__(self, reply=None):
        self._hold = HoldPolicy(ROBOT)
        self.modality = self._hold.modality
        self.reply = {} if reply is None else reply
        self.actions, self.resets = [], []

    def __call__(self, observation, options):
        self.actions.append(options)
        return self._hold(observation, options)

    def reset(self, options):
        self.resets.append(options)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


@contextmanager
def linked(policy, generation="B3", robot_id=LEFT, **settings):
    """A link to a real server of the policy."""
    server = PolicyServer(policy, generation, bind="tcp://127.0.0.1:0")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = PolicyServerClient("127.0.0.1", int(server.address.rpartition(":")[2]), 20_000)
    try:
        with closing(PolicyLink(client, ROBOT, None, robot_id=robot_id, **settings)) as link:
            yield link
    finally:
        server.stop()
        thread.join(20.0)
        server.close()


def fill(template):
    """Zeros will do."""


def options_in(template):
    """The options of the request in a template."""
    return decode(template.frame)["data"]["options"]


def test_the_id_is_beside_the_options_of_rtc_and_alone_without_them():
    """Whatever the instruction and the overlap; N1.5 has no options."""

    def made(generation=Generation.B3, **settings):
        language = {"language_key": "l", "key_style": "nested"}
        return RequestTemplate({}, {"a": (1, 2)}, generation=generation, **language, **settings)

    alone = made(robot_id=LEFT)
    alone.set_instruction("another, longer sentence")
    assert options_in(alone) == {"robot_id": LEFT} and options_in(made()) is None
    both = made(robot_id=LEFT, rtc=RtcDialect.MAP, horizon=16)
    for overlap in (Overlap(10, 6, 2), None):
        both.set_overlap(overlap)
        expected = rtc_options(RtcDialect.MAP, 16, overlap) | {"robot_id": LEFT}
        assert options_in(both) == expected
    assert bytes(made(Generation.A0, robot_id=LEFT).frame) == bytes(made(Generation.A0).frame)


@pytest.mark.parametrize("generation", ["B3", "A1"])
def test_a_server_that_repeats_the_id_is_asked_with_it_always(generation):
    """Each reset and each observation, those of the check and of a warm-up too."""
    policy = Told({"robot_id": LEFT})
    with linked(policy, generation) as link:
        link.check()
        assert link.named.text == f"{LEFT}: the server keeps an episode for it"
        link.query(fill, 1)
        link.query(fill, 1)
        link.warm()
        link.query(fill, 2)
    assert len(policy.resets) == 3, "at the check, and once an episode"
    assert all(one == {"robot_id": LEFT} for one in policy.resets + policy.actions)


def test_without_an_id_nothing_is_said_of_one():
    """As before: null options at a reset, at the check and at an episode."""
    policy = Told({"robot_id": LEFT})
    with linked(policy, robot_id="") as link:
        link.query(fill, 1)
    assert link.named is None and policy.resets == [None, None]
    assert all(one is None for one in policy.actions)


def test_a_server_that_ignores_the_id_is_refused_before_an_observation_and_asked_once():
    """Each question would be a reset of the robots that it does serve."""
    policy = Told()
    with linked(policy) as link:
        for _ in range(3):
            with pytest.raises(RefusedError, match=r"robot_id 'left arm': got .* clear the id"):
                link.check()
        with pytest.raises(RefusedError, match="does not repeat it"):
            link.query(fill, 1)
        link._client._drop()  # a busy server that answered too late: the next connection is new
        with pytest.raises(RefusedError, match="configure again"):
            link.check()
        assert link._client.counts.connections == 2
        assert link.checked is None and link.named.text.endswith("the server does not know it")
    assert policy.actions == [] and len(policy.resets) == 1


def test_a_server_that_repeats_another_id_has_proven_nothing():
    """Such as the id of the robot before."""
    with linked(Told({"robot_id": "right arm"})) as link, pytest.raises(RefusedError):
        link.check()


def test_n15_is_refused_without_a_question():
    """Its requests have no options."""
    policy = Told()
    with linked(policy, "A0") as link, pytest.raises(RefusedError, match="does not repeat it"):
        link.check()
    assert policy.actions == policy.resets == []


def test_a_pool_or_batching_proxy_needs_no_id():
    """Nothing behind it has a memory; a query without the id can be in one batch with others'."""
    policy = Told({"skipped": "several robots share this server"})
    with linked(policy) as link:
        link.query(fill, 1)
        assert "not needed" in link.named.text
    assert all(one is None for one in policy.actions)


@pytest.mark.parametrize("reply", [{}, RuntimeError("no memory left"), {"skipped": "a pool"}])
def test_another_server_behind_the_same_connection_is_found_at_the_next_episode(reply):
    """As behind a proxy: no observation is sent to it."""
    policy = Told({"robot_id": LEFT})
    with linked(policy) as link:
        link.query(fill, 1)
        before, policy.reply = len(policy.actions), reply
        with pytest.raises((RefusedError, RemoteError), match="robot_id 'left arm'"):
            link.query(fill, 2)
    assert len(policy.actions) == before


def test_an_error_of_the_reset_is_no_reason_to_try_flat_keys():
    """It is the server's own text, asked for once a check; the key style is not in question."""
    policy = Told(RuntimeError("a text that nobody knows"))
    with linked(policy) as link, pytest.raises(RemoteError, match="a text that nobody knows"):
        link.check()
    assert policy.actions == [] and len(policy.resets) == 1


def test_a_server_without_room_says_so_and_is_asked_again():
    """A place may become free; the text is the server's own."""
    shared = Robots(lambda: HoldPolicy(ROBOT))
    for number in range(MAX_ROBOTS):
        shared.reset({"robot_id": f"arm {number}"})
    with linked(shared) as link:
        for _ in range(2):
            with pytest.raises(RemoteError, match=f"expected at most {MAX_ROBOTS} that asked"):
                link.check()
        del shared._robots["arm 3"]
        link.check()


def test_a_server_that_began_anew_behind_a_proxy_does_not_begin_in_the_middle_of_an_episode():
    """Its memory of the episode is gone; the next episode is one again."""
    shared = Robots(lambda: HoldPolicy(ROBOT))
    with linked(shared) as link:
        link.query(fill, 1)
        shared._robots.clear()
        with pytest.raises(RemoteError, match="expected its reset before"):
            link.query(fill, 1)
        link.query(fill, 2)


def test_rtc_is_proven_and_kept_beside_another_robot():
    """Each robot continues its own chunk: with one memory for all, the comparison would fail."""
    shared = Robots(lambda: Inpainting(HoldPolicy(ROBOT)))
    with linked(shared, wants_rtc=True) as link:
        link.check()
        assert link.rtc.dialect is RtcDialect.MAP

        def continued(template):
            template.state["joint_position"][:] += 0.1
            template.set_overlap(Overlap(10, 10, 4) if link.can_continue else None)

        for _ in range(3):
            link.query(continued, 1)
            shared(OTHER_ROBOT, None)
        assert link.rtc.applied == link.rtc.asked == 2


def test_a_dump_of_a_request_is_without_the_id():
    """Who sends it again must not act in the robot's own episode."""
    policy = Told({"robot_id": LEFT})
    with linked(policy) as link:
        link.query(fill, 1)
        seen = read_request(bytes(link.exchanged.frame), Generation.B2)
    assert dict(seen.options) == {} and policy.actions[-1] == {"robot_id": LEFT}
