"""docs/without_ros2.md is true: its commands are run as they are written, from file to motion."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ros_fixtures import LATE_MACHINE, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("cv2", reason="the simulated cameras need OpenCV")
pytest.importorskip("rosbags", reason="bags need rosbags")

from gr00t_ros.robot.field import FILL_IN  # noqa: E402
from gr00t_ros.robot.files import find_embodiment  # noqa: E402
from gr00t_ros.supervise.launcher import free_port  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "without_ros2.md"
FILE, SHIPPED = "my_ur5e.yaml", "ur5e_2f85"
FENCE = re.compile(r"```bash\n(.*?)```", re.DOTALL)
ROW = re.compile(r"^\| `([\w.]+)` \| `([^`]+)` \|", re.MULTILINE)
SET_UP = ("./dev setup", ". .venv/bin/activate")
STARTED = {"robot": "stands for ", "server": "READY ", "recorder": "RECORDING"}
"""The line that shows that what stays in a terminal has started; the node reports by its status."""
BAG_BYTES = 2_000_000
LIMIT_S = 200.0


@dataclass(frozen=True)
class Step:
    """One block of the page. terminal: where it stays; ended: terminals that end before it."""

    commands: str
    terminal: str
    ended: tuple[str, ...]
    status: int
    before: str


def steps():
    """The blocks in their order, with what the text before each says about it."""
    parts = FENCE.split(PAGE.read_text())
    for text, commands in zip(parts[::2], parts[1::2], strict=False):
        paragraph = text.strip().rpartition("\n\n")[2]
        terminal = re.search(r"In terminal (\d)", paragraph)
        kept = [line for line in commands.splitlines() if not line.startswith(SET_UP)]
        yield Step(
            "\n".join(kept),
            terminal.group(1) if terminal else "",
            tuple(re.findall(r"Press Ctrl-C in terminal (\d)", text)),
            1 if "status 1" in paragraph else 0,
            text,
        )


class Walker:
    """Runs the steps in one folder: terminals stay open until the page says Ctrl-C."""

    def __init__(self, folder: Path, port: int) -> None:
        tools = folder / "bin"
        tools.mkdir()
        program = tools / "gr00t"
        # on a busy machine pictures come late: a pause would refuse the page's resume and reset
        late = {"max_camera_age_s": 2.0, "max_joint_age_s": 1.0, **LATE_MACHINE}
        more = " ".join(f"-p {name}:={value}" for name, value in late.items())
        # there DDS also discovers and answers late
        program.write_text(f"""#!/bin/sh
case " $* " in
    " policy "*|" doctor "*) set -- "$@" {more};;
    " operator "*) set -- "$@" --timeout 20;;
    " embodiment "*" --topics "*) set -- "$@" --seconds 12;;
esac
exec {sys.executable} -m gr00t_ros.tools.gr00t "$@"
""")
        program.chmod(0o755)
        path = f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = os.environ | {"PATH": path, "ROS_LOG_DIR": str(folder / "ros_log")}
        self._folder, self._port = folder, str(port)
        self._terminals: dict[str, subprocess.Popen[bytes]] = {}

    def take(self, step: Step) -> str:
        """One step; the output of what ran to its end."""
        for terminal in step.ended:
            self.end(terminal)
        command = ["bash", "-euc", step.commands.replace("5555", self._port)]
        where = {"cwd": self._folder, "env": self._environment}
        if step.terminal:
            command[-1] = f"exec {command[-1].strip()}"
            with self.log(step.terminal).open("wb") as log:
                self._terminals[step.terminal] = subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, **where
                )
            self._wait_until_started(step)
            return ""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=False, **where
        )
        told = done.stdout + done.stderr
        logs = "".join(f"\n--- {n}\n{self.log(n).read_text()[-2000:]}" for n in self._terminals)
        assert done.returncode == step.status, f"{step.commands}\n{told[-6000:]}{logs}"
        return told

    def log(self, terminal: str) -> Path:
        """The output of one terminal."""
        return self._folder / f"terminal{terminal}.log"

    def end(self, terminal: str) -> None:
        """Ctrl-C: what runs there ends by itself, with status 0."""
        if terminal == "4":
            bag = self._folder / "my_bag"
            size = lambda: sum(file.stat().st_size for file in bag.rglob("*.db3"))  # noqa: E731
            wait_until(lambda: size() > BAG_BYTES, "a recorded bag")
        process = self._terminals.pop(terminal)
        process.send_signal(signal.SIGINT)
        assert process.wait(30.0) == 0, self.log(terminal).read_text()[-3000:]

    def close(self) -> None:
        """End what a failure has left."""
        for process in self._terminals.values():
            process.kill()
            process.wait(10.0)

    def _wait_until_started(self, step: Step) -> None:
        verb = step.commands.split()[1]
        role = {"sim": "robot", "sidecar": "server", "bag": "recorder"}.get(verb, "")
        if role:
            log = self.log(step.terminal)
            wait_until(lambda: STARTED[role] in log.read_text(), f"{role}: {STARTED[role]}")


def fill_in(file: Path, page: str) -> int:
    """Give the open fields the values of the page's table, limits those of the shipped file."""
    content = yaml.safe_load(file.read_text())
    shipped = yaml.safe_load(find_embodiment(SHIPPED).read_text())
    filled = 0
    for place, value in ROW.findall(page):
        *path, last = place.split(".")
        part = content
        for key in path:
            part = part[key]
        assert part[last] == FILL_IN, f"{place} is not open: {part[last]}"
        part[last], filled = yaml.safe_load(value), filled + 1
    for joint, limits in content["limits"].items():
        for name, value in limits.items():
            if value == FILL_IN:
                limits[name] = shipped["limits"][joint][name]
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return filled


@pytest.fixture
def walker(tmp_path, ros_domain):
    """In a domain of its own, with a port of its own for the policy server."""
    walker = Walker(tmp_path, free_port("127.0.0.1"))
    yield walker
    walker.close()


@pytest.mark.timeout(900)
def test_the_page_leads_from_a_dataset_to_a_moving_arm_and_a_bag(walker, tmp_path):
    """Every command, in the page's order; only the fields that a person answers are filled in."""
    told = {}
    for number, step in enumerate(steps()):
        if "Only you can answer" in step.before:
            assert fill_in(tmp_path / FILE, step.before) == 5
        told[number] = walker.take(step)
    whole = "\n".join(told.values())
    assert "still to be filled in:\n- action_horizon\n- video.front.topic\n" in whole
    assert "shadow" in whole and "replaying" in whole
    assert "stop confirmed by /gr00t_policy" in whole
    assert "all topics" not in whole and "MISSING" in whole
