#!/usr/bin/env python3
"""What one request costs the process: instructions, allocations, copies, clock readings, system calls.

valgrind counts instructions and calls, so the figures are the same to a few in ten thousand whatever else the machine
does. A server is run twice, for 1,000 and for 3,000 requests; the difference, divided by 2,000, is the cost of one
request without start and end. Requests have the header lines that curl sends. With 64 connections all of them ask, and then all are read, again and again. System
calls are counted with strace, of the main thread, while 2,000 requests are answered.

`http` is target/release/adieu. The others are benches/peers/engines: hyper (HTTP/1.1), HTTP/2 and gRPC (one stream at a time,
from h2load), and raw TCP (an echo).
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

import harness
from harness import Client, Server, free_ports, load, peers, tool
from harness.strace import traced

FEW, MANY = 1_000, 3_000
ALLOCATIONS = ("malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign")
COLUMNS = ("instructions", "allocations", "frees", "copies", "clock readings", "system calls")


class Subject(NamedTuple):
    """A server to look at, and how so many requests are made of it over so many connections."""

    name: str
    command: Callable[[int], list]
    ask: Callable[[int, int, int], None]


class Cost(NamedTuple):
    """What a whole run has cost."""

    instructions: int
    calls: Counter


# ---------------------------------------------------------------- the load


CURL = "User-Agent: curl/8.14.1\r\nAccept: */*\r\n"


def hello(port: int, requests: int, connections: int) -> None:
    clients = [Client(port) for _ in range(connections)]
    for _ in range(requests // connections):
        for client in clients:
            client.ask(headers=CURL)
        for client in clients:
            client.answer().check_hello("server1")
    for client in clients:
        client.close()


def echo(port: int, requests: int, connections: int) -> None:
    sockets = [harness.connect(port) for _ in range(connections)]
    word = b"x" * 100
    for _ in range(requests // connections):
        for sock in sockets:
            sock.sendall(word)
        for sock in sockets:
            left = len(word)
            while left:
                left -= len(sock.recv(left)) or sys.exit("the echo was closed")
    for sock in sockets:
        sock.close()


def http2(port: int, requests: int, connections: int) -> None:
    load.h2load(port, "/", f"-n{requests}", f"-c{connections}", "-m1")


def grpc(port: int, requests: int, connections: int) -> None:
    with load.unary_call() as call:
        load.h2load(port, peers.SAY, f"-n{requests}", f"-c{connections}", "-m1", *call)


# ---------------------------------------------------------------- the subjects


def adieu(port: int) -> list:
    return [harness.adieu().path, f"--listen=server1=127.0.0.1:{port}"]


def peer(name: str) -> Callable[[int], list]:
    return lambda port: [peers.command(name), f"127.0.0.1:{port}"]


def subjects() -> list[Subject]:
    return [
        Subject("http", adieu, hello),
        Subject("hyper", peer("adieu-hyper"), hello),
        Subject("http2", peer("adieu-hyper"), http2),
        Subject("grpc", peer("adieu-grpc"), grpc),
        Subject("tcp", peer("adieu-tcp"), echo),
    ]


# ---------------------------------------------------------------- counting


def run_in_valgrind(subject: Subject, requests: int, connections: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"
        valgrind = [tool("valgrind", "valgrind"), "--tool=callgrind", f"--callgrind-out-file={profile}"]
        (port,) = free_ports(1)
        with Server([*valgrind, *subject.command(port)], [port], within=60) as server:
            subject.ask(port, requests, connections)
            server.signal(15)
            end = server.exit(within=60)
        if end.code != 0:
            raise harness.Wrong(f"{subject.name} ended with {end.code}: {end.log}")
        return read_profile(profile.read_text())


def read_profile(text: str) -> Cost:
    """callgrind's own format: `cfn=` names a callee, the `calls=` after it how often it was called from one place."""
    names: dict[str, str] = {}
    calls: Counter = Counter()
    callee = ""
    for line in text.splitlines():
        if line.startswith("cfn="):
            number, _, name = line[4:].partition(" ")
            callee = names.setdefault(number, name)
        elif line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls="):
            calls[re.sub(r"'\d+$", "", callee)] += int(line[6:].split()[0])
    totals = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    return Cost(int(totals[1]), calls)


def per_request(subject: Subject, connections: int) -> dict[str, float]:
    few, many = (run_in_valgrind(subject, requests, connections) for requests in (FEW, MANY))
    # What is asked of 64 connections is a whole number of rounds.
    requests = MANY // connections * connections - FEW // connections * connections

    def of(matches: Callable[[str], bool]) -> float:
        both = (sum(count for name, count in cost.calls.items() if matches(name)) for cost in (many, few))
        return (next(both) - next(both)) / requests

    return {
        "instructions": (many.instructions - few.instructions) / requests,
        "allocations": of(lambda name: name in ALLOCATIONS),
        "frees": of(lambda name: name in ("free", "cfree")),
        "copies": of(lambda name: name.startswith(("memcpy", "__memcpy", "memmove", "__memmove"))),
        "clock readings": of(lambda name: name.startswith("clock_gettime")),
        "system calls": system_calls(subject, connections),
    }


def system_calls(subject: Subject, connections: int) -> float:
    """Of the main thread, for 2,000 requests."""
    requests = 2_000 // connections * connections
    (port,) = free_ports(1)
    with Server(subject.command(port), [port]) as server:
        calls = traced(server, lambda: subject.ask(port, requests, connections))
    return calls.total() / requests


# ---------------------------------------------------------------- the table


def rows(chosen: list[Subject], connections: list[int]) -> Iterator[tuple[str, int, dict[str, float]]]:
    for subject in chosen:
        for count in connections:
            yield subject.name, count, per_request(subject, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[subject.name for subject in subjects()], action="append")
    parser.add_argument("--connections", type=int, action="append", help="default: 1 and 64")
    options = parser.parse_args()
    chosen = [subject for subject in subjects() if not options.only or subject.name in options.only]
    harness.say(f"| server | connections | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}")
    for name, count, costs in rows(chosen, options.connections or [1, 64]):
        figures = " | ".join(f"{costs[column]:,.{0 if column == 'instructions' else 1}f}" for column in COLUMNS)
        harness.say(f"| {name} | {count} | {figures} |")


if __name__ == "__main__":
    main()
