#!/usr/bin/env python3
"""The peers of HTTP/1.1 beside their rivals: the `hyper` and `grpc` features, and raw TCP.

Requests/s of HTTP/1.1 (wrk, 64 connections) against bare hyper on smol and on tokio, and of unary gRPC calls
(h2load, one connection, 50 streams) against tonic's own server on tokio; the servers take turns, and ratios are
taken within a round. What clients see of a SIGTERM under gRPC load is seen with PyPI's grpcio. The programs are
in benches/peers/engines.
"""

import os
import re
import signal
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Callable, Iterator

import harness
from harness import Figure, Missing, Server, experiments, peers, spread
from harness.load import h2load, unary_call, wrk
from harness.peers import REPEAT, SAY, WORDS, serve

STREAMS = 50
IDLE = 10_000


# ---------------------------------------------------------------- requests per second


def in_turns(names: list[str], measure: Callable[[Server], float]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serve(name)) for name in names}
        for server in servers.values():
            measure(server)  # to warm up
        for _ in range(options.rounds):
            for name in names:
                rates[name].append(measure(servers[name]))
    return rates


def compared(unit: str, rates: dict[str, list[float]], bounds: dict[str, float]) -> Iterator[Figure]:
    ours, *_ = rates
    for name, values in rates.items():
        yield Figure(f"{name}: {unit}", "", spread(values, "", 0))
    for name, bound in bounds.items():
        ratios = [this / that for this, that in zip(rates[ours], rates[name])]
        measured = spread(ratios, " x", 2)
        yield Figure(f"{ours} to {name}", f"at least {bound} x", measured, statistics.median(ratios) >= bound)


def http1() -> Iterator[Figure]:
    names = ["adieu-hyper", "bare-smol-hyper", "bare-tokio-hyper"]
    rates = in_turns(names, lambda server: wrk(server, 64, 1, options.seconds, exact=True, timeout=2).rate)
    yield from compared("HTTP/1.1 requests/s", rates, {"bare-smol-hyper": 0.95, "bare-tokio-hyper": 0.88})


def unary() -> Iterator[Figure]:
    with unary_call() as call:

        def measure(server: Server) -> float:
            told = h2load(server.ports[0], SAY, "-c1", f"-m{STREAMS}", f"--duration={options.seconds}", *call)
            return float(re.search(r"([\d.]+) req/s", told)[1])

        rates = in_turns(["adieu-grpc", "tokio-tonic"], measure)
    yield from compared(f"unary calls/s, {STREAMS} streams", rates, {"tokio-tonic": 0.9})


# ---------------------------------------------------------------- shutdown


def requests_on_the_wire() -> Iterator[Figure]:
    rounds = []
    for _ in range(options.rounds):
        with serve("adieu-hyper") as server:
            rounds.append(experiments.requests_on_the_wire(server))
    lost, total = (sum(of(seen.lost) for seen in rounds) for of in (sum, len))
    yield harness.exactly("requests on the wire when SIGTERM came: lost", f"0 of {total}", f"{lost} of {total}")
    yield Figure("from SIGTERM to the exit", "", spread([1000 * seen.exit.seconds for seen in rounds], " ms"))


def under_load(channels: int, *arguments: str) -> tuple[Counter[str], harness.Exit]:
    """How calls end, 100 unary ones a second for 2 s and 20 streams of 2 s, when SIGTERM comes in the middle."""
    # grpcio's fork handlers may wait for ever when the next server is started.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    try:
        import grpc
    except ImportError:
        raise Missing("grpcio is missing: run `pip install grpcio`") from None

    ends: Counter[str] = Counter()

    def call(make: Callable[[], object]) -> None:
        try:
            make()
            ends["OK"] += 1
        except grpc.RpcError as error:
            refused = error.code() is grpc.StatusCode.UNAVAILABLE and "connection refused" in error.details().lower()
            ends["not connected" if refused else f"{error.code().name}: {error.details()}"] += 1

    with serve("adieu-grpc", *arguments) as server, ExitStack() as stack:
        address, own = f"127.0.0.1:{server.ports[0]}", [("grpc.use_local_subchannel_pool", 1)]
        several = [stack.enter_context(grpc.insecure_channel(address, own)) for _ in range(channels)]
        for channel in several:
            channel.unary_unary(SAY)(WORDS)
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=220))
        for number in range(20):
            repeat = several[number % channels].unary_stream(REPEAT)
            pool.submit(call, lambda repeat=repeat: list(repeat(WORDS + b"\x10\x64\x18\x14")))  # 20, 100 ms apart

        def unary() -> None:
            began = time.monotonic()
            for number in range(200):
                time.sleep(max(0, began + number / 100 - time.monotonic()))
                say = several[number % channels].unary_unary(SAY)
                pool.submit(call, lambda say=say: say(WORDS + b"\x10\x32"))  # after 50 ms

        pace = threading.Thread(target=unary)
        pace.start()
        time.sleep(1)
        server.signal(signal.SIGTERM)
        ended = server.exit()
        pace.join()
        pool.shutdown()
    return ends, ended


def told(ends: Counter[str]) -> str:
    return ", ".join(f"{end}: {count}" for end, count in sorted(ends.items()))


def shutdown_under_load() -> Iterator[Figure]:
    for channels in (1, 5):
        ends: Counter[str] = Counter()
        exits = []
        for _ in range(options.rounds):
            these, ended = under_load(channels)
            ends += these
            exits.append(ended)
        bad = sum(count for end, count in ends.items() if end not in ("OK", "not connected"))
        what = f"{channels} channel{'s' * (channels > 1)}, 100 calls/s and 20 streams of 2 s, SIGTERM after 1 s"
        yield Figure(f"{what}: calls that fail, but for those that find nobody", "0", f"{bad} ({told(ends)})", bad == 0)
        yield harness.exactly("exit code", f"0: {len(exits)}", harness.counted(ended.code for ended in exits))
        yield Figure("from SIGTERM to the exit", "", spread([ended.seconds for ended in exits], " s", 2))


def streams_past_the_grace() -> Iterator[Figure]:
    ends, ended = under_load(1, "300")
    cut = sum(count for end, count in ends.items() if end.startswith("UNAVAILABLE: "))
    other = sum(count for end, count in ends.items() if end not in ("OK", "not connected")) - cut
    what = "a grace of 0.3 s: streams cut off as UNAVAILABLE"
    yield Figure(what, "20, nothing else", f"{cut} ({told(ends)})", (cut, other) == (20, 0))
    yield harness.exactly("exit code", "124", str(ended.code))


# ---------------------------------------------------------------- memory


def idle_connections() -> Iterator[Figure]:
    for name, bound in [("adieu-tcp", 1024), ("adieu-hyper", 1024)]:
        with serve(name) as server:
            each = experiments.idle_connections(server, IDLE, silent=True).each[IDLE]
        what = f"{name}: per connection that has sent nothing, of {IDLE:,}"
        yield Figure(what, f"at most {bound:,} bytes", f"{each:,.0f} bytes", each <= bound)


if __name__ == "__main__":
    options = peers.options(__doc__, rounds=(5, "of each experiment"), seconds=(3, "of each load in a round"))
    peers.main("Peers", http1, unary, requests_on_the_wire, shutdown_under_load, streams_past_the_grace, idle_connections)
