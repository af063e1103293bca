"""A `docker` that behaves as the real one where it matters: containers belong to a daemon.

Killing `docker run` leaves the container; a signal to it that can be caught is passed on; `stop`
is SIGTERM, then SIGKILL; `rm --force` is SIGKILL. `daemon FOLDER` serves, FOLDER/docker asks it.
"""

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

IMAGE = "gr00t-test"
CONTAINERS: dict[str, subprocess.Popen] = {}


def write_client(folder: Path) -> Path:
    """The `docker` executable in `folder`, for the PATH of a test."""
    path = folder / "docker"
    path.write_text(
        f'#!/bin/sh\nexec {sys.executable} -S {Path(__file__).resolve()} client {folder} "$@"\n'
    )
    path.chmod(0o755)
    return path


class Connection(socketserver.StreamRequestHandler):
    """One docker command: its arguments come in, output and exit code go out as JSON lines."""

    def handle(self):
        """Serve one command."""
        verb, *words = json.loads(self.rfile.readline())
        self.tell(exit=getattr(self, verb)(words))

    def tell(self, **event):
        """One line to the client, which may be gone."""
        try:
            self.wfile.write(json.dumps(event).encode() + b"\n")
        except OSError:
            self.gone = True

    def image(self, words):
        """`image inspect NAME`."""
        if words[-1] == IMAGE:
            return 0
        self.tell(err=f"Error response from daemon: No such image: {words[-1]}\n")
        return 1

    def run(self, words):
        """`run ... --name NAME ... IMAGE COMMAND`: the container is this daemon's child."""
        name, command = words[words.index("--name") + 1], words[words.index(IMAGE) + 1 :]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        CONTAINERS[name] = process
        threading.Thread(target=self.pass_signals_on, args=(process,), daemon=True).start()
        for line in process.stdout:
            self.tell(out=line.decode(errors="replace"))
        status = process.wait()
        del CONTAINERS[name]
        return 128 - status if status < 0 else status

    def pass_signals_on(self, process):
        """What the client catches comes as a number a line."""
        for line in self.rfile:
            process.send_signal(int(line))

    def stop(self, words):
        """`stop -t SECONDS NAME`."""
        process = CONTAINERS.get(words[-1])
        if process is None:
            return 1
        process.terminate()
        try:
            process.wait(float(words[1]))
        except subprocess.TimeoutExpired:
            process.kill()
        return 0

    def rm(self, words):
        """`rm --force NAME`."""
        process = CONTAINERS.get(words[-1])
        if process is not None:
            process.kill()
        return 0


def client(folder: str, *words: str) -> int:
    """Ask the daemon, show what it says, exit as it says."""
    if words[0] == os.environ.get("DOCKER_STAND_IN_FAILS"):
        return 1
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(os.path.join(folder, "docker.sock"))
        except OSError:
            print("Cannot connect to the Docker daemon. Is it running?", file=sys.stderr)
            return 1
        signal.signal(signal.SIGTERM, lambda number, _: link.sendall(b"%d\n" % number))
        link.sendall(json.dumps(words).encode() + b"\n")
        for line in link.makefile("rb"):
            event = json.loads(line)
            print(event.get("out", ""), end="", flush=True)
            print(event.get("err", ""), end="", file=sys.stderr)
            if "exit" in event:
                return event["exit"]
    return 1


def daemon(folder: str) -> int:
    """Serve until killed; its containers die with the test that kills it."""
    server = socketserver.ThreadingUnixStreamServer(os.path.join(folder, "docker.sock"), Connection)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_kill_all()))
    print("SERVING", flush=True)
    server.serve_forever()
    return 0


def _kill_all() -> int:
    for process in list(CONTAINERS.values()):
        process.kill()
    return 0


if __name__ == "__main__":
    sys.exit({"client": client, "daemon": daemon}[sys.argv[1]](*sys.argv[2:]))
