"""Cost as work grows: adieu with more and more connections, spread over more and more services."""

import time
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL, SIGTERM

import contestants
import harness
import measure
from figures import Figures
from harness import MB, Client, Program, Server, Wrong

CONNECTIONS = [10, 100, 1_000, 10_000]
SERVICES = [1, 10, 100]
SPREAD = contestants.HERE / "services.lua"


def grow(figures: Figures, program: Program, rounds: int, seconds: int) -> None:
    harness.need_descriptors(max(CONNECTIONS))
    wrk = contestants.wrk()
    cells = [
        {"services": services, "connections": connections, "rate": [], "rss": [], "drain": [], "killed": []}
        for services in SERVICES
        for connections in CONNECTIONS
    ]
    for _ in range(rounds):
        for cell in cells:
            try:
                grown(cell, wrk, program, seconds)
            except (Wrong, OSError, ValueError) as error:
                what = f"{cell['connections']:,} connections, services: {cell['services']}"
                figures.leave_out(f"a round of growth with {what}: {error}")
    figures.growth = [cell for cell in cells if all(cell[key] for key in ("rate", "drain", "killed"))]


def grown(cell: dict, wrk: Path, program: Program, seconds: int) -> None:
    with serve(program, cell["services"]) as server:
        cell["rate"].append(rate(wrk, server, cell["connections"], seconds))
    for signal, end in (SIGTERM, "drain"), (SIGKILL, "killed"):
        with serve(program, cell["services"]) as server:
            rss, milliseconds = rest_and_leave(server, cell["connections"], signal)
        cell["rss"].append(rss)
        cell[end].append(milliseconds)


def serve(program: Program, services: int) -> Server:
    ports = harness.free_ports(services)
    listen = [f"--listen=server{i}=127.0.0.1:{port}" for i, port in enumerate(ports, 1)]
    return Server([program.path, *listen], ports)


def rate(wrk: Path, server: Server, connections: int, seconds: int) -> float:
    """A thread of wrk for each service, as far as the connections go; all of them share one core. With 10,000
    connections an answer takes its time: that is no error here."""
    threads = min(len(server.ports), connections)
    url = f"http://127.0.0.1:{server.ports[0]}/"
    command = [wrk, f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", SPREAD, url, "--"]
    told = measure.watched(server, [*command, *map(str, server.ports)])
    return measure.figures_of_wrk(told)["rate"]


def rest_and_leave(server: Server, connections: int, signal: int) -> tuple[float, float]:
    """Resident MB with so many connections between requests, and the milliseconds to see them all out. Killed,
    it is the kernel alone that closes them."""
    with ExitStack() as stack:
        for number in range(connections):
            which = number % len(server.ports)
            client = stack.enter_context(Client(server.ports[which], number))
            client.hello(f"server{which + 1}")
        time.sleep(0.2)
        rss = server.rss() / MB
        server.signal(signal)
        return rss, server.exit().seconds * 1000
