"""Cost as work grows: adieu with more and more connections, spread over more and more services."""

import time
from contextlib import ExitStack
from signal import SIGKILL, SIGTERM

import harness
from figures import Figures
from harness import MB, Program, Server, Wrong, client_of, name_of, serve
from harness.load import wrk_on_all

CONNECTIONS = [10, 100, 1_000, 10_000]
SERVICES = [1, 10, 100]


def grow(figures: Figures, program: Program, rounds: int, seconds: int) -> None:
    harness.need_descriptors(max(CONNECTIONS))
    cells = [
        {"services": services, "connections": connections, "rate": [], "rss": [], "drain": [], "killed": []}
        for services in SERVICES
        for connections in CONNECTIONS
    ]
    for _ in range(rounds):
        for cell in cells:
            try:
                grown(cell, program, seconds)
            except (Wrong, OSError, ValueError) as error:
                what = f"{cell['connections']:,} connections, services: {cell['services']}"
                figures.leave_out(f"a round of growth with {what}: {error}")
    figures.growth = [cell for cell in cells if all(cell[key] for key in ("rate", "drain", "killed"))]


def grown(cell: dict, program: Program, seconds: int) -> None:
    with serve(program, services=cell["services"]) as server:
        cell["rate"].append(wrk_on_all(server, cell["connections"], seconds).rate)
    for signal, end in (SIGTERM, "drain"), (SIGKILL, "killed"):
        with serve(program, services=cell["services"]) as server:
            rss, milliseconds = rest_and_leave(server, cell["connections"], signal)
        cell["rss"].append(rss)
        cell[end].append(milliseconds)


def rest_and_leave(server: Server, connections: int, signal: int) -> tuple[float, float]:
    """Resident MB with so many connections between requests, and the milliseconds to see them all out. Killed,
    it is the kernel alone that closes them."""
    with ExitStack() as stack:
        for number in range(connections):
            stack.enter_context(client_of(server, number)).hello(name_of(server, number))
        time.sleep(0.2)
        rss = server.rss() / MB
        server.signal(signal)
        return rss, server.exit().seconds * 1000
