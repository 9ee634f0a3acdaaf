#!/usr/bin/env python3
"""The system calls of one request on one keep-alive connection, of this build and of others.

    python3 benches/syscalls.py                     target/release/adieu
    python3 benches/syscalls.py OLD/adieu           and the same program of another version

strace counts those of the main thread while 2,000 requests are answered, one after the other, after one that is not
counted. A request takes one recv(2): its own, and none to look for signals. Given another program, this build must need
no more calls than it.
"""

from pathlib import Path
from typing import Iterator

import harness
from harness import Client, Figure, Program, Report, serve
from harness.strace import traced

REQUESTS = 2_000


def per_request(program: Program) -> dict[str, float]:
    """How often each call was made, the most frequent first; what was made less than once in 100 requests is left out."""
    with serve(program) as server, Client(server.ports[0]) as client:
        client.hello("server1")
        calls = traced(server, lambda: [client.hello("server1") for _ in range(REQUESTS)])
    return {name: count / REQUESTS for name, count in calls.most_common() if count * 100 >= REQUESTS}


def figures(programs: list[Program]) -> Iterator[Figure]:
    ours, *others = [(program.title, per_request(program)) for program in programs]
    for title, calls in (ours, *others):
        told = ", ".join(f"{name} {count:.2f}" for name, count in calls.items())
        yield Figure(f"{title}: system calls a request", "", f"{sum(calls.values()):.2f} ({told})")
    receives = ours[1].get("recvfrom", 0)
    yield Figure("recv(2) a request", "at most 1.02", f"{receives:.2f}", receives <= 1.02)
    for title, calls in others:
        fewer = sum(calls.values()) - sum(ours[1].values())
        # A wake of the loop that two requests share, or none, is a hundredth here and there.
        yield Figure(f"fewer than {title}", "at least 0", f"{fewer:.2f}", fewer > -0.05)


if __name__ == "__main__":
    parser = harness.arguments(__doc__)
    parser.add_argument("others", type=Path, nargs="*", help="other builds of the program")
    options, report = parser.parse_args(), Report()
    programs = harness.prepare("adieu", report)
    if programs:
        programs += [Program(str(path), path.resolve(strict=True), judged=False) for path in options.others]
        report.section("System calls")
        report.run("system calls", figures(programs))
    raise SystemExit(report.exit_code())
