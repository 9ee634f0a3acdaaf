#!/usr/bin/env python3
"""Requests per second and latency, beside the Go original in the same run.

wrk (1 thread, 64 connections) loads one server at a time, in rounds that take turns between the servers, and
between one request and 16 pipelined requests per write. Ratios are taken within a round; their median is
judged. Resident memory and threads are the highest seen under load. A round with a bad status, a socket error
or answers of another size than the right one is an error, not a result; that pipelined answers come in order
is seen with GET and HEAD in turns on one connection.
"""

import statistics
import sys
from contextlib import ExitStack
from typing import Iterator

import harness
from harness import MB, Client, Figure, Program, Server, spread
from harness.load import Load, wrk

CONNECTIONS = 64
DEEP = 16


def load(server: Server, depth: int, seconds: int) -> Load:
    return wrk(server, CONNECTIONS, depth, seconds, exact=True, timeout=2)


def answered_in_order(server: Server) -> bool:
    methods = ["GET", "HEAD"] * (DEEP // 2)
    with Client(server.ports[0]) as client:
        client.send(b"".join(map(harness.request, methods)))
        answers = [client.answer(method) for method in methods]
    for answer in answers[::2]:
        answer.check_hello("server1")
    return all(answer.status == 200 for answer in answers)


Loads = dict[tuple[Program, int], list[Load]]


def figures(programs: list[Program], rounds: int, seconds: int) -> Iterator[Figure]:
    loads: Loads = {(program, depth): [] for depth in (1, DEEP) for program in programs}
    with ExitStack() as stack:
        servers = {program: stack.enter_context(harness.serve(program)) for program in programs}
        for program, server in servers.items():
            load(server, 1, 1)  # to warm up
            what = f"{program.title}: {DEEP} pipelined requests"
            yield Figure(what, "answered in order", "yes", answered_in_order(server))
        for _ in range(rounds):
            for program, depth in loads:
                loads[program, depth].append(load(servers[program], depth, seconds))
    for program in programs:
        yield from alone(program, loads[program, 1], loads[program, DEEP])
    if len(programs) == 2:
        yield from side_by_side(*(loads[program, 1] for program in programs))


def alone(program: Program, single: list[Load], deep: list[Load]) -> Iterator[Figure]:
    name = program.title
    yield Figure(f"{name}: requests/s", "", spread(column(single, "rate"), "", 0))
    yield Figure(f"{name}: p50", "", spread(column(single, "p50_ms"), " ms", 2))
    yield Figure(f"{name}: p99", "", spread(column(single, "p99_ms"), " ms", 2))
    yield Figure(f"{name}: resident under load", "", f"{max(column(single, 'rss')) / MB:.1f} MB")
    threads = max(column(single, "threads"))
    held = threads <= 2 if program.judged else None
    yield Figure(f"{name}: threads under load", "at most 2", str(threads), held)
    yield Figure(f"{name}: requests/s, {DEEP} deep", "", spread(column(deep, "rate"), "", 0))
    gain = ratios(deep, single, "rate")
    held = statistics.median(gain) >= 1.3 if program.judged else None
    yield Figure(f"{name}: requests/s, {DEEP} deep to 1 deep", "at least 1.3 x", spread(gain, " x", 2), held)


def side_by_side(ours: list[Load], theirs: list[Load]) -> Iterator[Figure]:
    rate, p99 = ratios(ours, theirs, "rate"), ratios(ours, theirs, "p99_ms")
    what = "adieu to the Go original"
    yield Figure(f"{what}: requests/s", "at least 1.0 x", spread(rate, " x", 2), statistics.median(rate) >= 1)
    yield Figure(f"{what}: p99", "at most 1.0 x", spread(p99, " x", 2), statistics.median(p99) <= 1)


def column(loads: list[Load], field: str) -> list[float]:
    return [getattr(load, field) for load in loads]


def ratios(these: list[Load], those: list[Load], field: str) -> list[float]:
    return [this / that for this, that in zip(column(these, field), column(those, field))]


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each load in a round")
    options, report = parser.parse_args(), harness.Report()
    programs = harness.prepare(options.server, report)
    if programs:
        report.section(f"Throughput: {options.rounds} x {options.seconds} s, {CONNECTIONS} connections")
        report.run("throughput", figures(programs, options.rounds, options.seconds))
    sys.exit(report.exit_code())


if __name__ == "__main__":
    main()
