"""A policy in a server of its own answers as the server does, errors too."""

from dataclasses import dataclass

import pytest

from gr00t_ros.errors import RefusedError
from gr00t_ros.pool.served_policy import ServedPolicy
from gr00t_ros.supervise.profile import Overrides, Profile
from gr00t_ros.supervise.supervisor import Phase
from gr00t_ros.watch.server import Outlook, kind_of
from gr00t_ros.wire.client import Connection


@dataclass
class Ready:
    """The state of a server that answers."""

    host: str
    port: int
    phase: Phase = Phase.READY
    ready: bool = True
    profile: str = "test"


@pytest.fixture
def served(serve, monkeypatch):
    """A policy behind a server of this process, as if it had been started by a profile."""
    made = []

    def start(policy):
        server = serve(policy)

        class Started:
            def __init__(self, *_, **__):
                self.start = lambda: None
                self.stop = lambda _: None

            def state(self):
                return Ready("127.0.0.1", int(server.address.rpartition(":")[2]))

        monkeypatch.setattr("gr00t_ros.pool.served_policy.Supervisor", Started)
        profile = Profile("test", "test", ("true",), "none")
        made.append(ServedPolicy(profile, Overrides(), False, 10_000, print, False))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_an_error_keeps_the_servers_words(served, golden_policy, golden_observation):
    """The node decides by them whether a person is needed; some count at the text's beginning."""

    class Wrong:
        modality, reset = golden_policy.modality, golden_policy.reset

        def __call__(self, observation, options):
            raise ValueError("Action key 'arm' must be in action")

    policy = served(Wrong())
    with pytest.raises(Exception, match="^Action key 'arm' must") as error:
        policy(golden_observation, None)
    assert kind_of(str(error.value)).outlook is Outlook.PERSON
    assert served(golden_policy)(golden_observation, None)[0].keys() == golden_policy.action.keys()


def test_a_server_that_answers_twice_is_refused_and_its_connection_not_used_again(
    served, golden_policy, golden_observation, monkeypatch
):
    """Each further answer could be that to another robot's observation."""
    policy, listened = served(golden_policy), []

    def refuse(connection, where):
        listened.append(connection)
        if len(listened) == 1:
            raise RefusedError(where)

    monkeypatch.setattr(Connection, "listen_once", refuse)
    policy.reset(None)
    assert listened == []
    with pytest.raises(RefusedError):
        policy(golden_observation, None)
    policy(golden_observation, None)
    assert len(set(listened)) == 2
