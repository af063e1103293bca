"""Fixtures of the tests that run the policy node as a process."""

import pytest


@pytest.fixture
def rig(processes, ros_node):
    """A node under test with robot and server, none of them started."""
    from node_robot import Rig

    rig = Rig(processes, ros_node)
    yield rig
    rig.close()
