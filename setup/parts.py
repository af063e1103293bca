"""The parts of ./dev test: which tests run at the same time without being late.

Tests that wait for simulated robots run in three parts, one after another. Behind all three, at the
lowest priority, run those that only compute: they take the processor time that the others leave.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prefix import PYTHON, ROOT, run_environment

ONCE_MORE = ("--reruns=1", "--only-rerun=discovery: waited .*in vain for")
"""On a busy machine DDS may lose discovery or an answer: such a test is run once more, and the
summary lists it.

All other failures count at once: a wrong mode, reason, motion or limit is never tried again.
"""
ONLY_COMPUTE = {
    "test/bags": "bag contact_thresholds schedule trace",
    "test/stream": "command_player low_cmd measured player player_recorded pose_player wbc_goal",
    "test/sim": "controller_recorded follower judge judge_commands physics record robots "
    "sensor_noise urdf vision",
    "test/sim/libero": "commands deltas motion pick policy sight",
    "test/demo": "next_steps watcher",
}
"""Files of these folders without a robot that moves in real time: test_NAME.py."""
ALONE = (
    *(
        str(file.relative_to(ROOT))
        for folder, names in ONLY_COMPUTE.items()
        for file in sorted((ROOT / folder).glob("test_*.py"))
        if file.stem.removeprefix("test_") not in names.split()
    ),
    *("test/sim/g1/test_faults.py", "test/web/test_page.py"),
    *("test/test_bench_alone.py", "test/test_bench_nodes.py"),
)
"""Simulated robots, bags and streamers run in real time, and a browser needs all processors."""
COMPUTED = (
    *(f"test/{room}" for room in "robot observe motion collide watch session".split()),
    *("test/dataset", "test/sim/franka", "test/sim/g1"),
    *(f"test/convert/test_{name}.py" for name in "broken_json episodes validate".split()),
    *(
        f"{folder}/test_{name}.py"
        for folder, names in ONLY_COMPUTE.items()
        for name in names.split()
        if folder != "test/demo"  # which watches topics
    ),
    *("test/test_imports.py", "test/test_package.py", "test/tools/test_embodiment_schema.py"),
    *("test/proxy/test_batching_core.py", "test/serve/test_wave.py"),
    "test/record/test_mcap_file.py",
)
"""These compute and wait for nobody, but for what is in ALONE."""
SIDE_BY_SIDE = (
    *("-n=4", "--dist=loadfile", "--no-loadscope-reorder"),
    *(f"--ignore={path}" for path in (*COMPUTED, *ALONE)),
)
"""The other tests mostly wait for other processes: four files at a time keep two cores busy."""
TWO_AT_A_TIME = (
    *(
        f"test/stream/test_{name}.py"
        for name in "streamer points command_streamer gripper_sender".split()
    ),
    *(
        f"test/bags/test_{name}.py"
        for name in "play record replayed_observations node_on_a_bag".split()
    ),
    *(f"test/sim/test_{name}.py" for name in "relay robot stand_in contact own_robot".split()),
    "test/test_bench_nodes.py",
)
"""Two of these fill two processors: a streamer waits for most of its time until it has proven where
the joints are, a bag is played as fast as it was recorded, and these robots render few pictures.
"""
IN_PAIRS = ("-n=2", "--dist=load", *TWO_AT_A_TIME)
ONE_BY_ONE = tuple(path for path in ALONE if path not in TWO_AT_A_TIME)
IN_FRONT = (SIDE_BY_SIDE, IN_PAIRS, ONE_BY_ONE)
"""One after another."""
BEHIND = (
    *("-n=2", "--dist=loadfile", "-o", "timeout=3600", "-p", "no:cacheprovider"),
    *(f"--ignore={path}" for path in ALONE),
    *COMPUTED,
)
"""A test behind may wait long for a processor; what has failed is noted by the parts in front."""

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOWEST = 19
"""The nice value that leaves the processors to all others."""
END_S = 20.0
"""How long tests may take to end after an interrupt, with the processes that they started."""


@contextlib.contextmanager
def compiled() -> Iterator[None]:
    """Compile all tests and what they import while the block runs, and wait for the end of it.

    Otherwise each of the workers compiles them, at the same time.
    """
    command = [str(PYTHON), "-m", "pytest", "-qq", "--collect-only"]
    environment = run_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as collecting:
        try:
            yield
        except BaseException:
            collecting.terminate()
            raise


def run_all() -> int:
    """Run all tests; returns the exit status. The tests behind are shown when all have ended."""
    with tempfile.TemporaryFile() as output:
        behind = subprocess.Popen(
            _pytest(BEHIND),
            env=run_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_step_back,
        )
        try:
            ended = [_run(part) for part in IN_FRONT]
            ended.append(behind.wait())
        except KeyboardInterrupt:
            print("\n./dev test: interrupted", file=sys.stderr)
            return 130
        finally:
            if behind.poll() is None:
                os.killpg(behind.pid, signal.SIGINT)
            _wait_or_kill(behind)
            output.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(output.read())
    return max(map(abs, ended))  # the status is negative after a signal: no success either


def _pytest(part: tuple[str, ...]) -> list[str]:
    return [str(PYTHON), "-m", "pytest", *ONCE_MORE, *part]


def _run(part: tuple[str, ...]) -> int:
    """Run one part of the tests and return its exit status."""
    with subprocess.Popen(_pytest(part), env=run_environment()) as tests:
        try:
            return tests.wait()
        except KeyboardInterrupt:
            _wait_or_kill(tests)  # the terminal has interrupted it too
            raise


def _step_back() -> None:
    """Take the processors only while no other process wants them, and end with ./dev.

    Runs in the child.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    os.nice(LOWEST)
    # Where the kernel shares out the processors between sessions, a nice value counts within one.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(LOWEST))


def _wait_or_kill(tests: "subprocess.Popen[bytes]") -> None:
    """Let an interrupted pytest end the processes that its tests have started."""
    try:
        tests.wait(END_S)
    except subprocess.TimeoutExpired:
        tests.kill()
        tests.wait()
