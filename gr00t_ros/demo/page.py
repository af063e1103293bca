"""The demo's --watch: the operator page (gr00t web) beside the simulated robot, and its address."""

from __future__ import annotations

import os
import re
import sys
import time
import webbrowser
from html import escape
from pathlib import Path
from typing import Final

from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.errors import NodeError

_ROLE: Final = "web"
_START_S: Final = 60.0
_ADDRESS: Final = re.compile(r"https?://\S+[?&]token=[^\s&]+")
_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def start_page(bringup: Bringup) -> None:
    """Start the page on a free port; start it first, so that it ends last."""
    bringup.folder.mkdir(parents=True, exist_ok=True)
    log = bringup.folder / f"{_ROLE}.log"
    log.touch(mode=0o600)
    log.chmod(0o600)  # it has the token: no other user may read it
    bringup.start(_ROLE, [sys.executable, "-m", "gr00t_ros.web", "--port", "0"])


def address_of(bringup: Bringup) -> str:
    """The page's address with its token, once it serves.

    Raises NodeError with the end of its log if it ends or is not there in time.
    """
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        ended = bringup.ended(_ROLE)
        found = _ADDRESS.search(bringup.log(_ROLE))
        if ended:
            break
        if found:
            return found[0]
        time.sleep(0.05)
    raise NodeError(f"gr00t web did not start:\n{bringup.log(_ROLE)[-2000:]}")


def show(address: str, folder: Path) -> None:
    """Print the address, and open it in a browser where there is a display.

    The browser gets a file of `folder` that leads there and that only its owner can read: other
    users see the arguments of every program. `gr00t web --report` does not serve its kind.
    """
    print(f"watch it: {address}", flush=True)
    if any(os.environ.get(name) for name in _DISPLAYS):
        file = folder / "web_address.htm"
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(f'<meta http-equiv="refresh" content="0; url={escape(address)}">')
        webbrowser.open(file.absolute().as_uri())
