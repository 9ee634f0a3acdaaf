#!/usr/bin/env python3
"""What the server weighs: resident memory, threads, and the size of the stripped binary.

A connection's bytes are the growth of resident memory over 10,000 keep-alive connections that have each done
one request and are now idle, divided by their number. Each must answer once more afterwards. Kernel memory
(socket buffers) is not in it.
"""

import time
from typing import Iterator

import harness
from harness import MB, Client, Figure, Program, serve

CONNECTIONS = 10_000


def idle_server(program: Program) -> Iterator[Figure]:
    with serve(program) as server:
        with Client(server.ports[0]) as client:
            client.hello("server1")
        time.sleep(1)
        rss = server.rss()
    what = "resident when idle, one request answered"
    yield Figure(what, "at most 3.5 MB", f"{rss / MB:.2f} MB", rss <= 3.5 * MB)


def idle_connections(program: Program) -> Iterator[Figure]:
    harness.need_descriptors(CONNECTIONS)
    with serve(program) as server:
        with Client(server.ports[0]) as client:
            client.hello("server1")
        before = server.rss()
        clients = []
        for number in range(CONNECTIONS):
            clients.append(Client(server.ports[0], number))
            clients[-1].hello("server1")
        time.sleep(1)
        each = (server.rss() - before) / CONNECTIONS
        threads = server.threads()
        for client in clients:
            client.hello("server1")
            client.close()
    what = f"per idle keep-alive connection, of {CONNECTIONS:,}"
    yield Figure(what, "at most 1,024 bytes", f"{each:,.0f} bytes", each <= 1024)
    yield Figure("threads while serving", "at most 2", str(threads), threads <= 2)


def binary(program: Program) -> Iterator[Figure]:
    size = program.path.stat().st_size
    yield Figure("stripped binary", "at most 1.25 MB", f"{size / MB:.2f} MB", size <= 1.25 * MB)


if __name__ == "__main__":
    harness.main("Memory", __doc__, idle_server, idle_connections, binary)
