"""A peer of a ZeroMQ socket that is no ZeroMQ: it says what it likes and goes when it likes."""

import socket
import struct

LIMIT_S = 20.0


class RawPeer:
    """A peer that speaks just as much ZMTP 3.0 as it needs to misbehave."""

    def __init__(self, address):
        """Connect as a REQ socket does."""
        host, port = address.removeprefix("tcp://").split(":")
        self._shake_hands(socket.create_connection((host, int(port)), LIMIT_S), b"REQ")

    @classmethod
    def of(cls, listener):
        """Accept a client as a REP socket does."""
        peer = cls.__new__(cls)
        listener.settimeout(LIMIT_S)
        peer._shake_hands(listener.accept()[0], b"REP")
        return peer

    def _shake_hands(self, connection, kind):
        connection.settimeout(LIMIT_S)
        self.socket = connection
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
        self.receive(64)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + kind
        self.socket.sendall(bytes([4, len(ready)]) + ready)
        flags, size = self.receive(2)
        assert flags == 4 and self.receive(size).startswith(b"\x05READY"), "no handshake"

    def requests(self, count):
        """Send so many requests of one byte, each a message of REQ's: delimiter and body."""
        self.socket.sendall(b"\x01\x00\x00\x01x" * count)

    def ping(self):
        """Send ZMTP's PING, which the other side answers as soon as it reads it."""
        self.socket.sendall(b"\x04\x07\x04PING\0\0")

    def vanish(self):
        """End without a farewell: the other side sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def receive(self, size):
        """Exactly so many bytes."""
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "cut off too early"
            data += more
        return data

    def is_cut_off_while_sending(self, data, most):
        """Whether the other side hangs up before `most` bytes more have gone out."""
        self.socket.settimeout(LIMIT_S)
        for _ in range(most // len(data)):
            try:
                self.socket.sendall(data)
            except OSError:
                return True
        return False
