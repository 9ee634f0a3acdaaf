"""The servers to measure: what they are, and a running one.

A server runs on one core and the load on another. Only loopback addresses are used, with ports that were free a
moment ago; every process started here is ended here, by its process id.
"""

import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

from .client import Client, connect
from .errors import Missing, Wrong

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASE = ROOT / "target" / "release"
SERVER_CORE, LOAD_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))


class Program(NamedTuple):
    """A server to measure: `judged` if its figures must hold, otherwise it is there to compare with."""

    title: str
    path: Path
    judged: bool


def adieu() -> Program:
    return Program("adieu", built(RELEASE / "adieu", "cargo build --release"), judged=True)


def go_original() -> Program:
    binary = ROOT / "target" / "go-original"
    build = [tool("go", "golang-go"), "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "."]
    if subprocess.run(build, cwd=ROOT / "benches" / "go-original").returncode:
        raise Missing("a build of benches/go-original is missing: see the errors of `go build`")
    return Program("the Go original", binary, judged=False)


def built(path: Path, command: str) -> Path:
    if not path.exists():
        raise Missing(f"{path.relative_to(ROOT)} is missing: run `{command}`")
    return path


def tool(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is missing: run `apt-get install {package}`")
    return path


PROGRAMS: dict[str, Callable[[], Program]] = {"adieu": adieu, "go": go_original}


class Exit(NamedTuple):
    code: int  # as a shell sees it: 128 + n after signal n
    seconds: float  # since the last signal that was sent
    log: str


class Server:
    """A running server process. Leaving the `with` block ends it, whatever state it is in."""

    def __init__(self, command: list, ports: list[int], stderr: int | None = None, within: float = 10):
        """Waits so many seconds, `within`, for all of the ports to be listened on."""
        self.ports = ports
        self._within = within
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log if stderr is None else stderr,
            env={k: v for k, v in os.environ.items() if k != "RUST_LOG"} | {"GOMAXPROCS": "1"},
            start_new_session=True,
            preexec_fn=_prepare_server,
        )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._signalled = 0.0

    def __enter__(self) -> "Server":
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._pidfd)
        self._log.close()

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + self._within
        for port in self.ports:
            while True:
                if self._process.poll() is not None:
                    raise Wrong(f"the server ended at the start: {self.log().strip()}")
                try:
                    connect(port).close()
                    break
                except ConnectionRefusedError:
                    if time.monotonic() > give_up:
                        raise Wrong(f"the server does not listen after {self._within:.0f} s")
                    time.sleep(0.01)
        time.sleep(0.1)  # so that it has seen these connections go

    def signal(self, number: int) -> None:
        self._signalled = time.monotonic()
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """Stops the process: whatever is sent now waits in the kernel until it thaws."""
        os.kill(self.pid, signal.SIGSTOP)
        while self._state() != "T":
            time.sleep(0.001)

    def wait_until_traced(self) -> None:
        while self._field("status", "TracerPid:") == "0":
            time.sleep(0.001)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def exit(self, within: float = 15) -> Exit:
        """Waits for the process to end, on a pidfd: a polling wait would be off by many milliseconds."""
        if not select.select([self._pidfd], [], [], within)[0]:
            raise Wrong(f"still running {within:.0f} s after the signal")
        seconds = time.monotonic() - self._signalled
        code = self._process.wait()
        return Exit(code if code >= 0 else 128 - code, seconds, self.log())

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def rss(self) -> int:
        """Resident memory in bytes, exact: the counter in /proc/PID/status is off by up to 256 KiB a core."""
        return 1024 * int(self._field("smaps_rollup", "Rss:"))

    def threads(self) -> int:
        return int(self._field("status", "Threads:"))

    def sockets(self) -> int:
        descriptors = Path(f"/proc/{self.pid}/fd")
        return sum(os.readlink(link).startswith("socket:") for link in descriptors.iterdir())

    def _field(self, file: str, name: str) -> str:
        for line in Path(f"/proc/{self.pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return line.split()[1]
        raise Wrong("the process is gone")

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]


def _prepare_server() -> None:
    os.sched_setaffinity(0, {SERVER_CORE})
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit it ignored


def serve(program: Program, *flags: str, stderr: int | None = None, services: int = 2) -> Server:
    """Runs server1, server2 and so on, each on a free port. Usually they are a pair."""
    ports = free_ports(services)
    listen = [f"--listen=server{i}=127.0.0.1:{port}" for i, port in enumerate(ports, 1)]
    return Server([program.path, *listen, *flags], ports, stderr)


def need_descriptors(connections: int) -> None:
    """The server and its clients, which are one process, each need one a connection."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < connections + 100:
        raise Missing(f"room for {connections:,} open files is missing: run `ulimit -Hn 20000` as root")


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def client_of(server: Server, number: int) -> Client:
    """Client `number`: they take turns between the ports of the server."""
    return Client(server.ports[number % len(server.ports)], number)


def name_of(server: Server, number: int) -> str:
    """Who greets client `number`."""
    return f"server{number % len(server.ports) + 1}"
