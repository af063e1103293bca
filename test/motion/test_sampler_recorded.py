"""The controller's model commands the same as recordings of the real controller."""

from collections.abc import Callable

import numpy as np
import pytest
from recorded_controller import CYCLE_NS, Case, Floats, Message, all_cases

from gr00t_ros.motion.sampler import JtcSampler, Trajectory


def trajectory(message: Message) -> Trajectory:
    """The message as the model takes it: of its joints it knows the number alone."""
    times_ns = np.array([at_ns for at_ns, _ in message.points], dtype=np.int64)
    count = max((len(fields) for _, fields in message.points), default=1)
    rows = [np.array([fields[k] for _, fields in message.points]) for k in range(count)]
    if not message.points:
        rows = [np.zeros((0, len(message.joints)))]
    return Trajectory(message.stamp_ns, times_ns, *rows)


@pytest.mark.parametrize("case", all_cases())
def test_it_commands_what_the_real_controller_commanded(case: Callable[[], Case]) -> None:
    """To 1e-12 rad in every cycle; what was refused is refused."""
    of = case()
    jtc = JtcSampler(
        len(of.joints), of.desired, period_ns=CYCLE_NS, interpolate=of.method == "splines"
    )
    jtc.hold(of.initial)
    refused, count = [], 0

    def play(now_ns: int, seen: list[tuple[int, Message]]) -> Floats:
        nonlocal count
        for arrival_ns, message in seen:
            unknown = not set(message.joints) <= set(of.joints)  # names are not its business
            if unknown or jtc.accept(trajectory(message), arrival_ns, of.initial) is not None:
                refused.append(count)
            count += 1
        return jtc.sample(now_ns)[0]

    assert of.compare(play) < 1e-12
    assert refused == list(of.refused)
