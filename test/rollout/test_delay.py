"""The relay forwards what it gets, in order, and the server's bytes not before the delay."""

import os
import socket
import threading
import time

from child_process import Child

DELAY_S = 0.2


def echo(listener):
    """Answer each connection with its own bytes, until it closes."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.close()


def test_answers_come_whole_in_order_and_late(tmp_path):
    """A megabyte and a byte, over two connections one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        words = ("--to", place, "--delay-ms", f"{1e3 * DELAY_S:g}")
        module = "-m", "gr00t_ros.rollout.delay"
        relay = Child((*module, *words), tmp_path / "log", os.environ)
        port = int(relay.wait_for_line(r"^READY .*:(\d+)")[1])
        for sent in (bytes(range(256)) * 4096, b"x"):
            with socket.create_connection(("127.0.0.1", port), 20.0) as client:
                client.settimeout(20.0)
                began_s = time.monotonic()
                threading.Thread(target=client.sendall, args=(sent,)).start()
                got = client.recv(65536)
                assert time.monotonic() - began_s >= DELAY_S
                while len(got) < len(sent):
                    got += client.recv(65536)
                assert got == sent
        assert relay.stop() == 0
