"""The experiments, each on one contestant at a time. What goes wrong becomes a note beside the figures."""

import json
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from signal import SIGTERM
from typing import Callable, NamedTuple

import contestants
import harness
import shutdown
from contestants import CONTESTANTS
from figures import LOST, Figures
from harness import LOAD_CORE, MB, SERVER_CORE, Client, Exit, Missing, Program, Server, Wrong, serve

HALF_HEAD = b"GET / HTTP/1.1\r\nHost: loc"
LOADS = {"1": (1, 1), "64": (64, 1), "512": (512, 1), "deep": (64, 16)}  # name: connections, depth
PIPELINE = contestants.HERE.parent / "pipeline.lua"
TICKS = os.sysconf("SC_CLK_TCK")
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
    wrk = contestants.wrk()
    loads = {(name, load) for name in servers for load in LOADS}
    for name, server in servers.items():
        if (answered := pipelined(server)) < 16:
            figures.note("rate_deep", name, f"{answered} of 16 answered")
            loads.remove((name, "deep"))
        run_wrk(wrk, server, *LOADS["64"], 1)  # to warm up
    for _ in range(effort.rounds):
        for load, (connections, depth) in LOADS.items():
            for name, server in servers.items():
                if (name, load) not in loads:
                    continue

                def experiment() -> None:
                    told = run_wrk(wrk, server, connections, depth, effort.seconds)
                    figures.add(f"rate_{load}", name, told["rate"])
                    figures.add(f"p50_{load}", name, told["p50_ms"])
                    figures.add(f"p99_{load}", name, told["p99_ms"])
                    if load == "64":
                        figures.add("cpu_full", name, told["cpu_us"])
                        figures.add("rss_load", name, told["rss"] / MB)

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


def run_wrk(wrk: Path, server: Server, connections: int, depth: int, seconds: int) -> dict:
    url = f"http://127.0.0.1:{server.ports[0]}/"
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", PIPELINE, url, "--", str(depth)]
    told = watched(server, command)
    return told | figures_of_wrk(told)


def figures_of_wrk(told: dict) -> dict:
    seen = json.loads(told["printed"].splitlines()[-1])
    if seen["errors"] or not seen["requests"]:
        raise Wrong(f"{seen['errors']} errors or bad statuses beside {seen['requests']} answers")
    return seen | {
        "rate": seen["requests"] / seen["seconds"],
        "cpu_us": told["cpu"] / seen["requests"] * 1e6,
    }


def watched(server: Server, command: list) -> dict:
    """Runs a load generator: what it printed, and the server's CPU time and highest memory meanwhile."""
    before, rss = cpu_seconds(server), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            rss.append(server.rss())
            time.sleep(0.2)
        printed = process.stdout.read()
    return {"printed": printed, "cpu": cpu_seconds(server) - before, "rss": max(rss)}


def cpu_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def half_load(figures: Figures, servers: dict[str, Server], effort: Effort) -> None:
    """Each server at half of its own requests/s, in turns. h2load sends in ticks of 1 ms, and measures from the
    moment it really sends; its log of every request gives the percentiles."""
    h2load = contestants.h2load()
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
    figures.add("cpu_half", name, told["cpu"] / len(times) * 1e6)


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
    harness.need_descriptors(10_000)
    with serve(program) as server, ExitStack() as stack:
        with Client(server.ports[0]) as client:
            client.hello("server1")
        time.sleep(0.5)
        before, clients = server.rss(), []
        figures.add("rss_idle", name, before / MB)
        for count in 1_000, 10_000:
            while len(clients) < count:
                clients.append(stack.enter_context(Client(server.ports[0], len(clients))))
                clients[-1].hello("server1")
            time.sleep(0.5)
            figures.add(f"each_{count}", name, (server.rss() - before) / count)
        for client in clients[::100]:
            client.hello("server1")


# ---------------------------------------------------------------- shutdown


def shutdowns(figures: Figures, programs: Programs, effort: Effort) -> None:
    """SIGTERM to the end of the process, in each state a connection can be in."""
    states = {
        "exit_nothing": lambda program: (shutdown.idle(program, used=0, silent=0), ""),
        "exit_new": lambda program: (shutdown.idle(program, used=0, silent=1), ""),
        "exit_half_head": half_head,
        "exit_idle": lambda program: (shutdown.idle(program, used=2000, silent=0), ""),
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
    with serve(program) as server, Client(server.ports[0]) as client:
        client.send(HALF_HEAD)
        time.sleep(0.2)
        return seen_out(server, client, "no answer")


def in_flight(program: Program) -> tuple[Exit, str]:
    with serve(program, "--delay=700ms") as server, Client(server.ports[0]) as client:
        client.ask()
        time.sleep(0.2)
        return seen_out(server, client, LOST)


def seen_out(server: Server, client: Client, otherwise: str) -> tuple[Exit, str]:
    """How the process ended after SIGTERM, and what the client saw of it: like any client it reads meanwhile,
    and closes when it has its answer."""
    seen = otherwise

    def read() -> None:
        nonlocal seen
        with client:
            try:
                seen = f"answered {client.answer().status}"
            except (Wrong, OSError, ValueError):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    server.signal(SIGTERM)
    exit = server.exit()
    reader.join()
    return exit, seen


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
    """Requests are written on open connections, and on new ones that wait in the accept queue, while the
    process is frozen; when it thaws it finds all of them, and SIGTERM. Which of them came first decides in
    some servers what is seen first."""
    with serve(program) as server:
        clients = [shutdown.client_of(server, number) for number in range(shutdown.OPEN)]
        for number, client in enumerate(clients):
            client.hello(shutdown.name_of(number))
        server.freeze()
        if not queue_first:
            ask_all(clients)
        queued = range(shutdown.OPEN, shutdown.OPEN + shutdown.QUEUED)
        clients += [shutdown.client_of(server, number) for number in queued]
        ask_all(clients if queue_first else clients[shutdown.OPEN :])
        server.signal(SIGTERM)
        server.thaw()
        gone = [was_lost(client, number) for number, client in enumerate(clients)]
        server.exit()
    figures.add("lost_wire", name, statistics.mean(gone[: shutdown.OPEN]) * 100)
    figures.add("lost_queue", name, statistics.mean(gone[shutdown.OPEN :]) * 100)


def ask_all(clients: list[Client]) -> None:
    for client in clients:
        client.ask()


def was_lost(client: Client, number: int) -> bool:
    with client:
        try:
            client.answer().check_hello(shutdown.name_of(number))
            return False
        except (Wrong, OSError):
            return True


def lost_when_connecting(figures: Figures, name: str, program: Program) -> None:
    figures.add("lost_connect", name, shutdown.lost_while_connecting(program) / shutdown.CONNECTING * 100)


def http_servers(programs: Programs) -> Programs:
    return {name: program for name, program in programs.items() if not CONTESTANTS[name].limit}


def without_variants(programs: Programs) -> Programs:
    return {name: program for name, program in programs.items() if not CONTESTANTS[name].variant}
