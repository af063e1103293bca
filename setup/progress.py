"""Runs the steps of the setup: one line for each step, and the end of the log if it fails."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from prefix import ROOT

LOG = ROOT / ".cache" / "setup.log"
TAIL_LINES = 30
SIGN_OF_LIFE_S = 30.0  # without a terminal: period of a progress line, for readers of a CI log
QUICK_S = 2.0  # a step that takes no longer had nothing to do, and prints nothing


class SetupError(Exception):
    """A step of the setup has failed; the message says what to do."""


def step(
    name: str, command: Sequence[str | Path], environment: dict[str, str], usual_s: float = 0.0
) -> None:
    """Run a command quietly, showing its name, how long it has taken and how long it usually takes.

    `usual_s` was measured on two idle cores beside a fast package index; 0: nobody knows.
    Raises SetupError with the end of its output when it fails.
    """
    LOG.parent.mkdir(exist_ok=True)
    start = time.monotonic()
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment,
            close_fds=False,  # the step inherits the setup's lock
        ) as process,
    ):
        try:
            _show(name, process, start, usual_s)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        tail = LOG.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise SetupError("\n".join([f"failed: {name}", *tail, f"whole output: {LOG}"]))


def _show(name: str, process: subprocess.Popen[bytes], start: float, usual_s: float) -> None:
    usual = f" (usually {usual_s:.0f} s)" if usual_s else ""
    terminal = sys.stdout.isatty()
    shown = start if terminal else start - SIGN_OF_LIFE_S + QUICK_S
    while True:
        try:
            process.wait(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            if terminal:
                print(f"\rsetup: {name} ... {now - start:.0f} s{usual}", end="", flush=True)
            elif now - shown > SIGN_OF_LIFE_S:
                print(f"setup: {name} ... {now - start:.0f} s{usual}", flush=True)
                shown = now
    took = time.monotonic() - start
    if took > QUICK_S or process.returncode:
        print(
            f"{chr(13) if terminal else ''}setup: {name}: {took:.0f} s{' ' * len(usual)}    ",
            flush=True,
        )
