#!/usr/bin/env python3
"""Requests per second of this build beside another one's, in rounds that take turns.

    python3 benches/builds.py OLD/adieu                             beside target/release/adieu
    python3 benches/builds.py OLD/adieu-hyper --peer adieu-hyper    beside that program of benches/peers

wrk (1 thread, 64 connections) loads one of the two at a time. Ratios are taken within a round; the median is judged. The
machine moves by more than a version does: what a request costs in instructions (instructions.py) moves less.
"""

import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator

import harness
from harness import Figure, Program, Report, Server, free_ports, peers, serve, spread
from harness.load import wrk

CONNECTIONS = 64


def figures(servers: list[Server], rounds: int, seconds: int) -> Iterator[Figure]:
    for server in servers:
        wrk(server, CONNECTIONS, 1, 1)  # to warm up
    rates = [[wrk(server, CONNECTIONS, 1, seconds).rate for server in servers] for _ in range(rounds)]
    for title, column in zip(("this build", "the other"), zip(*rates)):
        yield Figure(f"{title}: requests/s", "", spread(list(column), "", 0))
    ratios = [ours / theirs for ours, theirs in rates]
    yield Figure("this build to the other", "at least 0.98 x", spread(ratios, " x", 2), statistics.median(ratios) >= 0.98)


if __name__ == "__main__":
    parser = harness.arguments(__doc__)
    parser.add_argument("other", type=Path, help="another build of the program")
    parser.add_argument("--peer", help="a program of benches/peers/engines in place of adieu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3, help="of each load in a round")
    options, report = parser.parse_args(), Report()
    report.section(f"Two builds: {options.rounds} x {options.seconds} s, {CONNECTIONS} connections")
    with ExitStack() as stack:
        if options.peer:
            binaries = [peers.command(options.peer), options.other.resolve(strict=True)]
            ports = free_ports(2)
            starts = [Server([binary, f"127.0.0.1:{port}"], [port]) for binary, port in zip(binaries, ports)]
            servers = [stack.enter_context(server) for server in starts]
        else:
            programs = [*harness.prepare("adieu", report), Program("other", options.other.resolve(strict=True), judged=False)]
            servers = [stack.enter_context(serve(program)) for program in programs]
        report.run("builds", figures(servers, options.rounds, options.seconds))
    raise SystemExit(report.exit_code())
