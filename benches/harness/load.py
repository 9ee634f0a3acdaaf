"""Load from wrk and h2load, and what it costs the server meanwhile."""

import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

from . import peers
from .client import Client
from .errors import Wrong
from .server import Server, tool

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """What one run of wrk saw, and what the server needed for it."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # a request
    rss: int  # the highest
    threads: int  # the most


class Watched(NamedTuple):
    """What a load generator has printed, and what the server needed meanwhile."""

    printed: str
    cpu: float  # seconds
    rss: int
    threads: int


def wrk(server: Server, connections: int, depth: int, seconds: int, exact: bool = False, timeout: int = 10) -> Load:
    """Requests of server1, so many in each write. `exact`: all answers have the size of the first one."""
    size = first_answer(server) if exact else None
    script = [HERE / "pipeline.lua", f"http://127.0.0.1:{server.ports[0]}/", "--", depth]
    return _wrk(server, 1, connections, seconds, timeout, script, size and (size, connections * depth))


def wrk_on_all(server: Server, connections: int, seconds: int) -> Load:
    """A thread of wrk for each service, as far as the connections go; all of them share one core. With 10,000
    connections an answer takes its time: that is no error here."""
    script = [HERE / "services.lua", f"http://127.0.0.1:{server.ports[0]}/", "--", *server.ports]
    return _wrk(server, min(len(server.ports), connections), connections, seconds, 10, script, None)


def _wrk(server: Server, threads: int, connections: int, seconds: int, timeout: int, script: list, exact) -> Load:
    command = [tool("wrk", "wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={timeout}s", "-s"]
    seen = watched(server, [*command, *map(str, script)])
    told = json.loads(seen.printed.splitlines()[-1])
    if told["errors"] or not told["requests"]:
        raise Wrong(f"{told['errors']} errors or bad statuses beside {told['requests']} answers")
    if exact:
        size, under_way = exact
        surplus = told["bytes"] - told["requests"] * size
        if abs(surplus) > under_way * size:  # that much may be under way at the end
            raise Wrong(f"{told['requests']} answers of {size} bytes came as {surplus:+} bytes")
    cpu_us = seen.cpu / told["requests"] * 1e6
    rate = told["requests"] / told["seconds"]
    return Load(rate, told["p50_ms"], told["p99_ms"], cpu_us, seen.rss, seen.threads)


def first_answer(server: Server) -> int:
    with Client(server.ports[0]) as client:
        client.hello("server1")
        return client.received


def watched(server: Server, command: list) -> Watched:
    """Runs a load generator, and looks at the server five times a second."""
    before, rss, threads = cpu_seconds(server), [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            rss.append(server.rss())
            threads.append(server.threads())
            time.sleep(0.2)
        printed = process.stdout.read()
    return Watched(printed, cpu_seconds(server) - before, max(rss), max(threads))


def cpu_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def h2load(port: int, path: str, *options: str) -> str:
    """What h2load prints. Every request must succeed."""
    command = [tool("h2load", "nghttp2-client"), *options, f"http://127.0.0.1:{port}{path}"]
    told = subprocess.run(command, capture_output=True, text=True)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", told.stdout)
    if not failed or any(int(count) for count in failed.groups()):
        raise Wrong(f"h2load says: {told.stdout}{told.stderr}")
    return told.stdout


@contextmanager
def unary_call() -> Iterator[list[str]]:
    """h2load's options for calls of Say("hello"): the message after its five bytes of gRPC framing."""
    with tempfile.NamedTemporaryFile() as message:
        message.write(b"\0" + len(peers.WORDS).to_bytes(4, "big") + peers.WORDS)
        message.flush()
        yield [f"--data={message.name}", "--header=content-type: application/grpc", "--header=te: trailers"]
