#!/usr/bin/env python3
"""What the server weighs: resident memory, threads, and the size of the stripped binary.

A connection's bytes are the growth of resident memory over 10,000 keep-alive connections that have each done
one request and are now idle, divided by their number. Each must answer once more afterwards. Kernel memory
(socket buffers) is not in it.
"""

from typing import Iterator

import harness
from harness import MB, Figure, Program, experiments, serve

CONNECTIONS = 10_000


def idle_connections(program: Program) -> Iterator[Figure]:
    with serve(program) as server:
        rss, each, threads = experiments.idle_connections(server, CONNECTIONS)
    what = "resident when idle, one request answered"
    yield Figure(what, "at most 3.6 MB", f"{rss / MB:.2f} MB", rss <= 3.6 * MB)
    what = f"per idle keep-alive connection, of {CONNECTIONS:,}"
    yield Figure(what, "at most 1,024 bytes", f"{each[CONNECTIONS]:,.0f} bytes", each[CONNECTIONS] <= 1024)
    yield Figure("threads while serving", "at most 2", str(threads), threads <= 2)


def binary(program: Program) -> Iterator[Figure]:
    size = program.path.stat().st_size
    yield Figure("stripped binary", "at most 1.3 MB", f"{size / MB:.2f} MB", size <= 1.3 * MB)


if __name__ == "__main__":
    harness.main("Memory", __doc__, idle_connections, binary)
