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


USUAL_S = {
    "": 0,  # nobody knows
    "venv": 4,
    "uv": 2,
    "packages": 6,
    "packages by pip": 38,
    "package": 27,
    "models": 7,
    "lock": 12,
}
"""Steps, and how long each takes on two idle cores beside a fast package index (measured)."""


class SetupError(Exception):
    """A step of the setup has failed; the message says what to do."""


_ahead: list[str] = []
"""The announced steps that have not ended."""


def announce(steps: Sequence[str]) -> None:
    """Say how long all these steps of USUAL_S usually take; `step` then shows what is left."""
    _ahead[:] = steps
    if steps:
        whole_s = sum(USUAL_S[name] for name in steps)
        text = f"about {whole_s} s where two processors and the package index are fast"
        print(f"setup: {len(steps)} steps, {text}", flush=True)


def step(
    name: str, command: Sequence[str | Path], environment: dict[str, str], usual: str = ""
) -> None:
    """Run a command quietly, showing its name, how long it has taken and how long it usually takes.

    usual: its name in USUAL_S. Raises SetupError with the end of its output when it fails.
    """
    usual_s = USUAL_S[usual]
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
            _show(name, process, start, usual_s, left_s(usual))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        tail = LOG.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise SetupError("\n".join([f"failed: {name}", *tail, f"whole output: {LOG}"]))
    _ahead[:] = _behind(usual)


def _behind(usual: str) -> list[str]:
    """The announced steps behind this one; those before it that were not needed are left out."""
    return _ahead[_ahead.index(usual) + 1 :] if usual in _ahead else list(_ahead)


def left_s(usual: str) -> int:
    """What the announced steps behind this one usually take."""
    return sum(USUAL_S[name] for name in _behind(usual))


def _show(
    name: str, process: subprocess.Popen[bytes], start: float, usual_s: int, behind_s: int
) -> None:
    then = f", then {behind_s} s more" if behind_s else ""
    usual = f" (usually {usual_s} s{then})" if usual_s else ""
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
