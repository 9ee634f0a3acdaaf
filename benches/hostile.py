#!/usr/bin/env python3
"""What hostile clients cost the server and its other clients.

Odd requests: 1,000 of each kind, 50 at a time, with memory and threads before (after 1,000 ordinary requests)
and after. Slow heads: 5,000 clients that each send one byte a second of a request head, and beside them one
well-behaved client, in a process of its own, that notes how long its answers take. Slow reader: takes one byte
a second of a 100 MB answer of the example `stream`; it counts as cut off when the server's socket is gone.

(A connection's bytes when idle are measured by memory.py, pipelining by throughput.py.)
"""

import multiprocessing
import random
import select
import socket
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Callable, Iterator

import harness
from harness import MB, RELEASE, Client, Figure, Program, Server, Wrong, connect, counted, exactly, serve, spread

ODD, AT_ONCE = 1000, 50
SLOW_HEADS = 5000
STREAMED = 100 * MB
WARM_UPS = 3


# ---------------------------------------------------------------- odd requests


def ordinary(port: int, number: int) -> str:
    with Client(port, number) as client:
        return str(client.hello("server1").status)


def expecting(port: int, number: int) -> str:
    """Announces a body, and sends it only when told to go on, or not at all if answered at once."""
    with Client(port, number) as client:
        client.ask("POST", "Content-Length: 4\r\nExpect: 100-continue\r\n")
        answer = client.answer(on_continue=b"ping")
        answer.check_hello("server1")
        return str(answer.status)


def utf8_header(port: int, number: int) -> str:
    with Client(port, number) as client:
        client.ask(headers=f"X-Name: Zażółć gęślą jaźń {number}\r\n")
        return str(client.answer().status)


def garbage(port: int, number: int) -> str:
    """Random bytes, a TLS hello or lines of nonsense, then the end of the stream."""
    noise = random.Random(number)
    kind = noise.choice(["bytes", "tls", "lines"])
    data = noise.randbytes(noise.randrange(1, 4000))
    if kind == "tls":
        data = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + data
    if kind == "lines":
        data = data.hex(" ", 8).replace(" ", "\r\n").encode() + b"\r\n\r\n"
    with Client(port, number, timeout=5) as client:
        try:
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            return str(client.answer().status)
        except TimeoutError:
            return "left hanging"
        except (Wrong, OSError):
            return "closed"


def odd_requests(program: Program) -> Iterator[Figure]:
    with serve(program) as server, ThreadPoolExecutor(AT_ONCE) as pool:

        def all_of(request: Callable[[int, int], str]) -> list[str]:
            return list(pool.map(partial(request, server.ports[0]), range(ODD)))

        all_of(ordinary)
        time.sleep(1)
        before, threads_before = server.rss(), server.threads()
        expected, named, noise = all_of(expecting), all_of(utf8_header), all_of(garbage)
        time.sleep(1)
        after, threads = server.rss(), server.threads()
        ordinary(server.ports[0], 0)
    yield exactly(f"{ODD:,} Expect: 100-continue", f"200: {ODD:,}", counted(expected))
    yield exactly(f"{ODD:,} UTF-8 header values", f"400: {ODD:,}", counted(named))
    refused = all(seen == "closed" or seen[0] in "45" for seen in noise)
    yield Figure(f"{ODD:,} garbage connections", "refused or closed", counted(noise), refused)
    yield Figure("threads after these", "at most 2", f"{threads} (before: {threads_before})", threads <= 2)
    grown = (after - before) / MB
    yield Figure("resident memory after these", "at most 1 MB more", f"{grown:+.2f} MB", grown <= 1)


# ---------------------------------------------------------------- slow heads


class Bystander:
    """A well-behaved client in a process of its own: asks every 5 ms and notes how long each answer took."""

    def __init__(self, port: int):
        fork = multiprocessing.get_context("fork")
        self._stop = fork.Event()
        self._told, tell = fork.Pipe(duplex=False)
        self._process = fork.Process(target=self._ask_on, args=(port, tell))

    def __enter__(self) -> "Bystander":
        self._process.start()
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.join()

    def _ask_on(self, port: int, tell) -> None:
        taken = []
        try:
            with Client(port) as client:
                while not self._stop.wait(0.005):
                    start = time.monotonic()
                    client.hello("server1")
                    taken.append(time.monotonic() - start)
            tell.send(taken)
        except (Wrong, OSError) as error:
            tell.send(f"the well-behaved client: {error}")

    def seconds(self) -> list[float]:
        self._stop.set()
        told = self._told.recv()
        if isinstance(told, str):
            raise Wrong(told)
        return told


class SlowHeads:
    """Many clients that each send one byte a second of a head that never ends. Their turns are spread over the
    second, as strangers' would be."""

    TURNS = 100
    HEAD = harness.request(headers="X-Slow: " + "a" * 1000)

    def __init__(self, port: int, count: int):
        self.closed: list[tuple[str, float]] = []  # the status, and the seconds since the client's first byte
        self._open: dict[int, tuple[int, socket.socket]] = {}
        self._poll = select.epoll()
        self._turn = 0
        for number in range(count):
            sock = connect(port, number)
            self._open[sock.fileno()] = number, sock
            self._poll.register(sock, select.EPOLLIN)
        self._by_turn = [list(self._open)[turn :: self.TURNS] for turn in range(self.TURNS)]
        self._start = time.monotonic()

    def __enter__(self) -> "SlowHeads":
        return self

    def __exit__(self, *_) -> None:
        self._poll.close()
        for _, sock in self._open.values():
            sock.close()

    def run(self, seconds: float) -> None:
        """Goes on for so long, or until all have been closed."""
        until = time.monotonic() + seconds
        while self._open and time.monotonic() < until:
            byte = self.HEAD[self._turn // self.TURNS].to_bytes(1, "big")
            for descriptor in self._by_turn[self._turn % self.TURNS]:
                if descriptor in self._open:
                    self._send(self._open[descriptor][1], byte)
            self._turn += 1
            self._read_answers(until=self._start + self._turn / self.TURNS)

    def _send(self, sock: socket.socket, byte: bytes) -> None:
        try:
            sock.send(byte)
        except ConnectionError:
            pass  # closed a moment ago: what it was told is read next

    def _read_answers(self, until: float) -> None:
        for descriptor, _ in self._poll.poll(max(0, until - time.monotonic()), SLOW_HEADS):
            self._poll.unregister(descriptor)
            number, sock = self._open.pop(descriptor)
            first_byte = self._start + number % self.TURNS / self.TURNS
            with sock:
                self.closed.append((status_of(sock), time.monotonic() - first_byte))
        time.sleep(max(0, until - time.monotonic()))


def status_of(sock: socket.socket) -> str:
    try:
        words = sock.recv(4096).decode("latin-1").split()
    except ConnectionError:
        return "reset"
    return words[1] if words else "silence"


def slow_heads(limit: float, program: Program) -> Iterator[Figure]:
    harness.need_descriptors(SLOW_HEADS)
    with serve(program) as server, Bystander(server.ports[0]) as bystander:
        time.sleep(0.5)
        before = server.rss()
        with SlowHeads(server.ports[0], SLOW_HEADS) as clients:
            clients.run(3)
            each = (server.rss() - before) / SLOW_HEADS
            clients.run(limit + 2)
        p99 = 1000 * statistics.quantiles(bystander.seconds(), n=100)[-1]
    statuses, seconds = zip(*clients.closed) if clients.closed else ((), ())
    what = f"{SLOW_HEADS:,} clients, one byte a second of a head"
    yield exactly(f"{what}: closed with", f"408: {SLOW_HEADS:,}", counted(statuses))
    if seconds:
        on_time = limit - 1 <= min(seconds) and max(seconds) <= limit + 2
        yield Figure(f"{what}: closed after", f"{limit:g} s, to 2 s more", spread(seconds, " s"), on_time)
    yield Figure(f"{what}: p99 of another", "under 20 ms", f"{p99:.2f} ms", p99 < 20)
    yield Figure(f"{what}: memory", "at most 4,096 bytes each", f"{each:,.0f} bytes", each <= 4096)


# ---------------------------------------------------------------- a slow reader


def slow_reader(limit: float) -> Iterator[Figure]:
    binary = harness.built(RELEASE / "examples" / "stream", "cargo build --release --example stream")
    (port,) = harness.free_ports(1)
    with Server([binary, f"--listen=127.0.0.1:{port}"], [port]) as server:
        for number in range(WARM_UPS):
            read_it_all(port, number)
        time.sleep(0.5)
        before, sockets = server.rss(), server.sockets()
        received, most, start = b"", 0, time.monotonic()
        with connect(port, receive_buffer=4096) as sock:
            sock.send(harness.request())
            time.sleep(0.2)
            while server.sockets() > sockets and time.monotonic() < start + limit + 5:
                if time.monotonic() >= start + len(received):
                    received += next_byte(sock)
                most = max(most, server.rss())
                time.sleep(0.1)
            taken = time.monotonic() - start
            cut_off = server.sockets() <= sockets
        read_it_all(port, WARM_UPS)
    if not received or not b"HTTP/1.1 200 OK\r\n".startswith(received[:17]):
        raise Wrong(f"the slow reader was answered {received!r}")
    grown = (most - before) / 1024
    what = "one byte a second of a 100 MB answer"
    yield Figure(f"{what}: memory", "at most 64 KiB", f"{grown:,.0f} KiB", grown <= 64)
    seen = f"{'cut off' if cut_off else 'still served'} after {taken:.1f} s"
    on_time = cut_off and taken >= limit - 1
    yield Figure(f"{what}: progress limit", f"cut off after {limit:g} s, to 5 s more", seen, on_time)


def next_byte(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1)
    except ConnectionError:
        return b""  # cut off: the server's socket is about to be missed


def read_it_all(port: int, number: int) -> None:
    with Client(port, number) as client:
        client.ask()
        answer = client.answer()
    if answer.status != 200 or len(answer.body) < STREAMED:
        raise Wrong(f"{answer.status} with {len(answer.body):,} bytes instead of 200 with {STREAMED:,}")


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--head-limit", type=float, default=10, metavar="SECONDS", help="for a whole head")
    parser.add_argument("--progress-limit", type=float, default=30, metavar="SECONDS", help="for a stuck answer")
    options, report = parser.parse_args(), harness.Report()
    for program in harness.prepare(options.server, report):
        report.section(f"Hostile clients: {program.title}", program.judged)
        report.run("odd requests", odd_requests(program))
        report.run("slow heads", slow_heads(options.head_limit, program))
        if program.judged:
            report.run("slow reader", slow_reader(options.progress_limit))
    sys.exit(report.exit_code())


if __name__ == "__main__":
    main()
