#!/usr/bin/env python3
"""Soak and chaos: minutes of load from clients that behave and clients that do not, and everything must come back.

Eight threads of clients ask politely, pipeline, send half a request and go, reset, or only connect. Meanwhile one
server is taken its descriptors away now and then, and another is told to end and started again at random moments.
When the load is over, memory, descriptors and threads must be what they were before it, nothing may be open or in
flight by the metrics, and what the server has counted must be what the clients have done.
"""

import os
import random
import re
import resource
import socket
import struct
import sys
import threading
import time
from collections import Counter
from signal import SIGTERM
from typing import Callable, Iterator

import harness
from harness import MB, Client, Figure, Program, Report, Server, Wrong, counted, exactly, request

CLIENTS = 8
GREETING = "server1"
# The report of a run, with what each service has counted, is logged at level debug.
LOG = "RUST_LOG=error,adieu=debug,adieu::access=error"
# Memory that the allocator keeps, once everything is closed again.
SPARE = 1.5 * MB


def serve(program: Program, port: int, *flags: str) -> Server:
    command = ["env", LOG, program.path, f"--listen={GREETING}=127.0.0.1:{port}", "--grace=5s", *flags]
    return Server(command, [port])


class Load:
    """Clients on threads. Tells what they have done, and the first that went wrong."""

    def __init__(self, port: int, seed: int, restarts: bool = False):
        self.done = Counter()
        self.wrong: list[str] = []
        self._port, self._restarts = port, restarts
        self._over = threading.Event()
        self._lock = threading.Lock()
        dice = [random.Random(seed + number) for number in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._live, args=[d]) for d in dice]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _live(self, dice: random.Random) -> None:
        kinds = [polite, polite, polite, pipelining, half_a_head, half_a_body, resetting, silent]
        while not self._over.is_set():
            kind = dice.choice(kinds)
            try:
                self._visit(kind, dice)
            except OSError as error:  # of a server that restarts
                if not self._restarts:
                    self._complain(kind, error)
                time.sleep(0.01)
            except Wrong as wrong:
                # Between two answers a server that ends may close; in the midst of one it may not.
                if not (self._restarts and str(wrong) == "closed without an answer"):
                    self._complain(kind, wrong)

    def _visit(self, kind: Callable, dice: random.Random) -> None:
        count = lambda what: self._count(what)
        with Client(self._port, dice.randrange(40_000)) as client:
            count("connected")
            kind(client, dice, count)

    def _count(self, what: str) -> None:
        with self._lock:
            self.done[what] += 1

    def _complain(self, kind: Callable, error: Exception) -> None:
        self.wrong.append(f"{kind.__name__}: {type(error).__name__}: {error}")


def polite(client: Client, dice: random.Random, count: Callable) -> None:
    for _ in range(dice.randrange(1, 20)):
        client.ask()
        count("sent")
        answer = client.answer()
        answer.check_hello(GREETING)
        count("answered")
        if answer.says_close():
            return


def pipelining(client: Client, dice: random.Random, count: Callable) -> None:
    many = dice.randrange(2, 30)
    for _ in range(many):
        count("sent")
    client.send(request() * many)
    for _ in range(many):
        answer = client.answer()
        answer.check_hello(GREETING)
        count("answered")
        if answer.says_close():
            return


def half_a_head(client: Client, dice: random.Random, count: Callable) -> None:
    client.send(request()[: dice.randrange(1, 30)])
    time.sleep(dice.choice([0, 0, 0.05]))


def half_a_body(client: Client, dice: random.Random, count: Callable) -> None:
    count("sent")  # it may be answered before its body is missed
    client.send(request("POST", "Content-Length: 100000\r\n") + b"x" * dice.randrange(50_000))


def resetting(client: Client, dice: random.Random, count: Callable) -> None:
    count("sent")
    client.send(request())
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(client: Client, dice: random.Random, count: Callable) -> None:
    time.sleep(dice.choice([0, 0.01, 0.05]))


class State:
    """What a server holds when nobody is connected."""

    def __init__(self, server: Server):
        self.rss = server.rss()
        self.descriptors = descriptors(server)
        self.threads = server.threads()


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def settled(server: Server, wanted: int) -> State:
    """Once its connections are closed; they linger half a second."""
    give_up = time.monotonic() + 10
    while descriptors(server) > wanted and time.monotonic() < give_up:
        time.sleep(0.05)
    return State(server)


class Metrics:
    """What the server says of itself, on its admin port."""

    def __init__(self, admin: int):
        with Client(admin) as client:
            client.send(b"GET /metrics HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
            self._text = client.answer().body.decode()

    def sum(self, name: str) -> int:
        """The samples of this name, of all states or status classes."""
        sample = rf'^adieu_{name}{{service="{GREETING}"[^}}]*}} (\d+)$'
        samples = re.findall(sample, self._text, re.MULTILINE)
        if not samples:
            raise Wrong(f"no adieu_{name} in the metrics")
        return sum(map(int, samples))


def starve(server: Server, dice: random.Random) -> None:
    """For a while there are no more descriptors than are open already, and some more clients come."""
    _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (descriptors(server) + dice.randrange(3), most))
    try:
        time.sleep(dice.uniform(0.1, 1))
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))


def chaos(program: Program, seconds: float, seed: int) -> Iterator[Figure]:
    """One server, that is to serve to the end."""
    dice = random.Random(seed)
    port, admin = harness.free_ports(2)
    with serve(program, port, f"--admin=127.0.0.1:{admin}") as server:
        Metrics(admin)  # once, so that what this costs is not counted as growth
        fresh = descriptors(server)
        with Load(port, seed) as warm_up:
            time.sleep(min(5, seconds / 4))
        before = settled(server, fresh)
        starved = 0
        with Load(port, seed + 100) as load:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(dice.uniform(0.5, 3))
                starve(server, dice)
                starved += 1
        after = settled(server, fresh)
        metrics = Metrics(admin)
        server.signal(SIGTERM)
        exit = server.exit()
    done, wrong = warm_up.done + load.done, warm_up.wrong + load.wrong
    yield Figure(f"answers in {seconds:.0f} s", "all whole and right", f"{done['answered']:,}; wrong: {wrong[:1] or 'none'}", not wrong)
    yield Figure("without descriptors", "it goes on", f"{starved} times")
    grown = after.rss - before.rss
    yield Figure("memory after, against before", "at most 1.5 MB more", f"{grown / MB:+.2f} MB of {before.rss / MB:.1f} MB", grown <= SPARE)
    yield exactly("descriptors after", str(before.descriptors), str(after.descriptors))
    yield exactly("threads after", str(before.threads), str(after.threads))
    yield exactly("exit code", "0", str(exit.code))
    counts = re.search(rf"{GREETING}: finished; (\d+) accepted, (\d+) requests", exit.log)
    if counts is None:
        raise Wrong(f"no counts in the log: {exit.log[-300:]!r}")
    accepted, requests = map(int, counts.groups())
    # The harness itself connects once to see that the server is there.
    yield exactly("connections that the server has counted", f"{done['connected'] + 1:,}", f"{accepted:,}")
    busy = metrics.sum("connections_open") + metrics.sum("in_flight")
    yield exactly("open or in flight, by the metrics", "0", str(busy))
    accounts = {
        "connections": (metrics.sum("connections_accepted_total"), accepted),
        "requests": (metrics.sum("requests_total"), requests),
        "requests timed": (metrics.sum("request_duration_seconds_count"), requests),
    }
    differ = [what for what, (metric, reported) in accounts.items() if metric != reported]
    yield exactly("metrics that differ from the report", "none", ", ".join(differ) or "none")
    low, high = done["answered"], done["sent"] + done["connected"]
    yield Figure("requests that it has counted", f"{low:,} (seen) to {high:,}", f"{requests:,}", low <= requests <= high)


def restarts(program: Program, seconds: float, seed: int) -> Iterator[Figure]:
    """One server after another on the same port, each told to end under load."""
    dice = random.Random(seed)
    [port] = harness.free_ports(1)
    codes, times = [], []
    server = serve(program, port).__enter__()
    try:
        with Load(port, seed, restarts=True) as load:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(dice.uniform(0.2, 2))
                server.signal(SIGTERM)
                exit = server.exit()
                codes.append(exit.code)
                times.append(exit.seconds)
                server.__exit__()
                server = serve(program, port).__enter__()
    finally:
        server.__exit__()
    yield Figure("exit codes", "0", counted(codes), set(codes) == {0})
    yield Figure("the longest shutdown", "at most 1 s", f"{max(times):.2f} s", max(times) <= 1)
    wrong = load.wrong
    yield Figure("answers", "none cut or wrong", f"{load.done['answered']:,}; wrong: {wrong[:1] or 'none'}", not wrong)


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="how long it takes in all (default: 2)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the clients' dice")
    options, report = parser.parse_args(), Report()
    seconds = options.minutes * 60
    for program in harness.prepare("adieu", report):
        report.section(f"Soak of {options.minutes:g} min, seed {options.seed}: {program.title}")
        report.run("chaos", chaos(program, seconds * 0.65, options.seed))
        report.run("restarts", restarts(program, seconds * 0.25, options.seed))
    sys.exit(report.exit_code())


if __name__ == "__main__":
    main()
