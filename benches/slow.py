#!/usr/bin/env python3
"""Answers of 4 MB, handed over in one piece, to clients that take 5 s and 90 s for them.

Over HTTP/2, as a unary call of gRPC, and over HTTP/1.1 of either engine; with SIGTERM in the middle, and without.
Each answer must come whole; or the server must say whom it has cut off, and exit with 124. The clients take their
answers at a steady pace, side by side: over HTTP/2 by windows, over HTTP/1.1 with a small receive buffer. The
programs are in benches/peers/engines.
"""

import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterator, NamedTuple

from harness import Figure, connect, exactly, peers

BIG = 4_000_000
GRACE = 10  # seconds, which the programs have by default
STEPS = 10  # a second, in which a client takes its share

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


class Pace:
    """A share of the answer at a time; half-way through, something may happen."""

    def __init__(self, seconds: float, half_way: Callable[[], None]):
        self.share = int(BIG / (seconds * STEPS)) + 1
        self._half_way = half_way
        self._next = time.monotonic()

    def wait(self, taken: int) -> None:
        self._next += 1 / STEPS
        time.sleep(max(0, self._next - time.monotonic()))
        if taken > BIG / 2:
            half_way, self._half_way = self._half_way, lambda: None
            half_way()


class Http2:
    """One stream of one connection, frame by frame."""

    def __init__(self, port: int, window: int, fields: list[tuple[str, str]], body: bytes = b""):
        self.socket = connect(port)
        self.taken, self.ended = 0, False
        self._bytes, self._body, self._room = b"", body, [65_535, 65_535]
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._send(SETTINGS, 0, 0, struct.pack("!HI", 4, window))
        # Literals without indexing, and without Huffman's code.
        texts = [[bytes([len(text)]) + text.encode() for text in field] for field in fields]
        block = b"".join(b"\0" + name + value for name, value in texts)
        self._send(HEADERS, END_HEADERS | (0 if body else END_STREAM), 1, block)

    def widen(self, by: int) -> None:
        for stream in (0, 1):
            self._send(WINDOW_UPDATE, 0, stream, struct.pack("!I", by))

    def turn(self, seconds: float) -> None:
        """Reads what comes within the time, and sends what there is room for."""
        until = time.monotonic() + seconds
        while not self.ended and (left := until - time.monotonic()) > 0:
            while self._body and (room := min(self._room)) > 0:
                piece, self._body = self._body[: min(room, 16_384)], self._body[min(room, 16_384) :]
                self._room = [room - len(piece) for room in self._room]
                self._send(DATA, 0 if self._body else END_STREAM, 1, piece)
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(65_536)
            except TimeoutError:
                return
            if not more:
                raise EOFError
            self._bytes += more
            self._frames()

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.socket.settimeout(15)
        self.socket.sendall(struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload)

    def _frames(self) -> None:
        while len(self._bytes) >= 9 and len(self._bytes) >= 9 + (length := int.from_bytes(self._bytes[:3], "big")):
            kind, flags, stream = self._bytes[3], self._bytes[4], int.from_bytes(self._bytes[5:9], "big")
            payload, self._bytes = self._bytes[9 : 9 + length], self._bytes[9 + length :]
            if kind == DATA:
                self.taken += length
            elif kind == WINDOW_UPDATE:
                self._room[min(stream, 1)] += int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                settings = dict(struct.iter_unpack("!HI", payload))
                self._room[1] += settings.get(4, 65_535) - 65_535
                self._send(SETTINGS, ACK, 0, b"")
            elif kind == PING and not flags & ACK:
                self._send(PING, ACK, 0, payload)
            elif kind == RST_STREAM:
                raise EOFError
            self.ended |= stream == 1 and kind in (DATA, HEADERS) and bool(flags & END_STREAM)


def head(method: str, path: str) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]


def over_http2(port: int, pace: Pace, fields: list[tuple[str, str]], body: bytes = b"") -> tuple[int, bool]:
    client = Http2(port, pace.share, fields, body)
    try:
        while not client.ended:
            client.turn(1 / STEPS / 2)
            pace.wait(client.taken)
            client.widen(pace.share)
    except (EOFError, OSError):
        pass
    client.socket.close()
    return client.taken, client.ended


def http2(port: int, pace: Pace) -> bool:
    taken, ended = over_http2(port, pace, head("GET", "/big"))
    return ended and taken == BIG


def grpc(port: int, pace: Pace) -> bool:
    length, rest = bytearray(), BIG
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    message = b"\x0a" + bytes(length + bytes([rest])) + b"x" * BIG
    message = b"\0" + struct.pack("!I", len(message)) + message
    fields = head("POST", peers.SAY) + [("content-type", "application/grpc"), ("te", "trailers")]
    taken, ended = over_http2(port, pace, fields, message)
    return ended and taken == len(message)


def http1(port: int, pace: Pace) -> bool:
    with connect(port, receive_buffer=64 * 1024) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        taken, answer = 0, b""
        try:
            while more := client.recv(pace.share, socket.MSG_WAITALL):
                answer = (answer + more)[:1000]
                taken += len(more)
                pace.wait(taken)
        except OSError:
            pass
        before = len(answer.partition(b"\r\n\r\n")[0]) + 4
        return taken - before == BIG


class Client(NamedTuple):
    what: str
    program: str
    take: Callable[[int, Pace], bool]


CLIENTS = [
    Client("HTTP/2, Hyper", "adieu-hyper", http2),
    Client("gRPC, unary", "adieu-grpc", grpc),
    Client("HTTP/1.1, Hyper", "adieu-hyper", http1),
    Client("HTTP/1.1, Http", "adieu-http", http1),
]


def served(client: Client, seconds: float, terminated: bool) -> Figure:
    with peers.serve(client.program) as server:
        end = lambda: server.signal(signal.SIGTERM)
        began = time.monotonic()
        whole = client.take(server.ports[0], Pace(seconds, end if terminated else lambda: None))
        took = time.monotonic() - began
        if not terminated:
            end()
        code, _, log = server.exit(GRACE + 5)
    told = f"{'whole' if whole else 'cut'} after {took:.0f} s, exit {code}"
    graceful = code == 0 and "cut off" not in log
    named = code == 124 and "cut off: " in log
    silent = not (graceful if whole else named)
    what = f"{client.what}, {seconds:.0f} s, {'SIGTERM in the middle' if terminated else 'no signal'}"
    must = "whole, exit 0" if not terminated or seconds < GRACE else "whole, or named and 124"
    return Figure(what, must, told, not silent and (whole or terminated and seconds > GRACE))


def answers() -> Iterator[Figure]:
    cases = [(client, seconds, terminated) for client in CLIENTS for seconds in options.seconds for terminated in (False, True)]
    with ThreadPoolExecutor(max_workers=len(cases)) as pool:
        figures = list(pool.map(lambda case: served(*case), cases))
    yield from figures
    silent = sum(figure.ok is False for figure in figures)
    yield exactly("cut in silence, or not as it must be", f"0 of {len(figures)}", f"{silent} of {len(figures)}")


if __name__ == "__main__":
    options = peers.options(__doc__, seconds=([5.0, 90.0], "that clients take for an answer"))
    peers.main("Answers of 4 MB to slow clients", answers)
