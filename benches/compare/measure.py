"""The experiments, each on one contestant at a time. What goes wrong becomes a note beside the figures."""

import math
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, NamedTuple

import contestants
import harness
from contestants import CONTESTANTS
from figures import LOST, Figures
from harness import LOAD_CORE, MB, SERVER_CORE, Client, Exit, Missing, Program, Server, Wrong, experiments, serve
from harness.experiments import CONNECTING, OPEN
from harness.load import watched, wrk

LOADS = {"1": (1, 1), "64": (64, 1), "512": (512, 1), "deep": (64, 16)}  # name: connections, depth
SLOW = 1.0  # seconds; what takes longer is not tried again


class Effort(NamedTuple):
    """How often and how long."""

    rounds: int
    seconds: int
    starts: int
    tries: int
    lost_rounds: int
    connect_rounds: int


FULL = Effort(rounds=5, seconds=1, starts=15, tries=3, lost_rounds=10, connect_rounds=5)
QUICK = Effort(rounds=1, seconds=1, starts=3, tries=1, lost_rounds=2, connect_rounds=1)

Programs = dict[str, Program]


def noting(figures: Figures, metrics: list[str], name: str, experiment: Callable[[], None]) -> None:
    try:
        experiment()
    except Missing as missing:
        figures.leave_out(missing)
    except (Wrong, OSError, ValueError) as error:
        for metric in metrics:
            figures.note(metric, name, str(error) or type(error).__name__)


# ---------------------------------------------------------------- under load


def under_load(figures: Figures, programs: Programs, effort: Effort) -> None:
    """All servers run; one at a time is loaded, and they take turns in each round."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serve(program)) for name, program in programs.items()}
        for load in full_load, half_load:
            try:
                load(figures, servers, effort)
            except Missing as missing:
                figures.leave_out(missing)


def full_load(figures: Figures, servers: dict[str, Server], effort: Effort) -> None:
    loads = {(name, load) for name in servers for load in LOADS}
    for name, server in servers.items():
        if (answered := pipelined(server)) < 16:
            figures.note("rate_deep", name, f"{answered} of 16 answered")
            loads.remove((name, "deep"))
        wrk(server, *LOADS["64"], 1)  # to warm up
    for _ in range(effort.rounds):
        for load, (connections, depth) in LOADS.items():
            for name, server in servers.items():
                if (name, load) not in loads:
                    continue

                def experiment() -> None:
                    told = wrk(server, connections, depth, effort.seconds)
                    figures.add(f"rate_{load}", name, told.rate)
                    figures.add(f"p50_{load}", name, told.p50_ms)
                    figures.add(f"p99_{load}", name, told.p99_ms)
                    if load == "64":
                        figures.add("cpu_full", name, told.cpu_us)
                        figures.add("rss_load", name, told.rss / MB)

                noting(figures, [f"rate_{load}"], name, experiment)


def pipelined(server: Server) -> int:
    """How many of 16 requests in one write are answered."""
    answered = 0
    with Client(server.ports[0], timeout=2) as client:
        try:
            client.send(harness.request() * 16)
            while answered < 16:
                client.answer().check_hello("server1")
                answered += 1
        except (Wrong, OSError):
            pass
    return answered


def half_load(figures: Figures, servers: dict[str, Server], effort: Effort) -> None:
    """Each server at half of its own requests/s, in turns. h2load sends in ticks of 1 ms, and measures from the
    moment it really sends; its log of every request gives the percentiles."""
    h2load = harness.tool("h2load", "nghttp2-client")
    for _ in range(effort.rounds):
        for name, server in servers.items():
            if name in figures.measured("rate_64"):
                rate = figures.value("rate_64", name) / 2
                metrics = ["half_rate", "half_p50", "half_p99", "half_p999"]
                noting(figures, metrics, name, lambda: run_h2load(figures, h2load, name, server, rate, effort))


def run_h2load(figures: Figures, h2load: Path, name: str, server: Server, rate: float, effort: Effort) -> None:
    connections, _ = LOADS["64"]
    url = f"http://127.0.0.1:{server.ports[0]}/"
    with tempfile.NamedTemporaryFile("r", dir=contestants.BUILD) as log:
        command = [h2load, "--h1", "-t1", f"-c{connections}", f"-D{effort.seconds}"]
        told = watched(server, [*command, f"--rps={rate / connections:.2f}", f"--log-file={log.name}", url])
        requests = [line.split() for line in log]
    if bad := sum(status != "200" for _, status, _ in requests):
        raise Wrong(f"{bad} errors or bad statuses beside {len(requests)} answers")
    times = sorted(int(microseconds) / 1000 for _, _, microseconds in requests)
    figures.add("half_rate", name, len(times) / effort.seconds)
    for metric, share in ("half_p50", 0.5), ("half_p99", 0.99), ("half_p999", 0.999):
        figures.add(metric, name, times[min(math.ceil(len(times) * share), len(times)) - 1])
    figures.add("cpu_half", name, told.cpu / len(times) * 1e6)


# ---------------------------------------------------------------- weight


def weight(figures: Figures, programs: Programs, effort: Effort) -> None:
    for name, program in programs.items():
        figures.add("size", name, program.path.stat().st_size / MB)
        if (tree := contestants.crates(name)) is not None:
            figures.add("crates", name, tree[0])
            figures.contestants[name]["versions"] = tree[1]
    for _ in range(effort.starts):
        for name, program in programs.items():
            noting(figures, ["start"], name, lambda: figures.add("start", name, start(program) * 1000))
    for name, program in programs.items():
        metrics = ["rss_idle", "each_1000", "each_10000"]
        noting(figures, metrics, name, lambda: memory(figures, name, program))


def start(program: Program) -> float:
    """Seconds from the start of the process to the end of its first answer. The server is pinned by what it
    inherits, for anything else would have to be run before it."""
    (port,) = harness.free_ports(1)
    command = [program.path, f"--listen=server1=127.0.0.1:{port}"]
    environment = os.environ | {"GOMAXPROCS": "1"}
    os.sched_setaffinity(0, {SERVER_CORE})
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        while time.monotonic() < begin + 10:
            try:
                client = Client(port)
            except ConnectionRefusedError:
                time.sleep(0.0001)
                continue
            with client:
                client.hello("server1")
            return time.monotonic() - begin
        raise Wrong("no answer after 10 s")
    finally:
        process.kill()
        process.wait()


def memory(figures: Figures, name: str, program: Program) -> None:
    """Resident memory after one answered request, and how it grows over connections that each did one."""
    with serve(program) as server:
        idle = experiments.idle_connections(server, 1_000, 10_000)
    figures.add("rss_idle", name, idle.rss / MB)
    for count, each in idle.each.items():
        figures.add(f"each_{count}", name, each)


# ---------------------------------------------------------------- shutdown


def shutdowns(figures: Figures, programs: Programs, effort: Effort) -> None:
    """SIGTERM to the end of the process, in each state a connection can be in."""
    states = {
        "exit_nothing": lambda program: (experiments.idle_at_the_end(program, used=0, silent=0), ""),
        "exit_new": lambda program: (experiments.idle_at_the_end(program, used=0, silent=1), ""),
        "exit_half_head": half_head,
        "exit_idle": lambda program: (experiments.idle_at_the_end(program, used=2000, silent=0), ""),
        "exit_in_flight": in_flight,
    }
    slow = set()
    for _ in range(effort.tries):
        for metric, state in states.items():
            for name, program in programs.items():
                if (metric, name) in slow:
                    continue

                def experiment() -> None:
                    exit, note = state(program)
                    figures.add(metric, name, exit.seconds * 1000)
                    if note:
                        figures.note(metric, name, note)

                begin = time.monotonic()
                noting(figures, [metric], name, experiment)
                if time.monotonic() - begin > SLOW + 1:
                    slow.add((metric, name))


def half_head(program: Program) -> tuple[Exit, str]:
    exit, seen = experiments.half_head_at_the_end(program)
    return exit, f"answered {seen}" if seen else "no answer"


def in_flight(program: Program) -> tuple[Exit, str]:
    with serve(program, "--delay=700ms") as server, Client(server.ports[0]) as client:
        client.ask()
        time.sleep(0.2)
        exit, seen = experiments.seen_out(server, client)
    return exit, f"answered {seen}" if seen else LOST


# ---------------------------------------------------------------- lost requests


def lost(figures: Figures, programs: Programs, effort: Effort) -> None:
    for number in range(effort.lost_rounds):
        for name, program in programs.items():

            def experiment() -> None:
                lost_when_frozen(figures, name, program, queue_first=number % 2 == 0)

            noting(figures, ["lost_wire", "lost_queue"], name, experiment)
    for _ in range(effort.connect_rounds):
        for name, program in programs.items():
            noting(figures, ["lost_connect"], name, lambda: lost_when_connecting(figures, name, program))


def lost_when_frozen(figures: Figures, name: str, program: Program, queue_first: bool) -> None:
    with serve(program) as server:
        lost = experiments.requests_on_the_wire(server, queue_first=queue_first).lost
    figures.add("lost_wire", name, statistics.mean(lost[:OPEN]) * 100)
    figures.add("lost_queue", name, statistics.mean(lost[OPEN:]) * 100)


def lost_when_connecting(figures: Figures, name: str, program: Program) -> None:
    figures.add("lost_connect", name, experiments.lost_while_connecting(program) / CONNECTING * 100)


def http_servers(programs: Programs) -> Programs:
    return {name: program for name, program in programs.items() if not CONTESTANTS[name].limit}


def without_variants(programs: Programs) -> Programs:
    return {name: program for name, program in programs.items() if not CONTESTANTS[name].variant}
