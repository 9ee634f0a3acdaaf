"""What the measuring scripts share: the servers to measure, a small HTTP client, and the printed table.

The server runs on one core and the load on another. Only loopback addresses are used, with ports that were
free a moment ago; every process started here is ended here, by its process id.
"""

import argparse
import os
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
SERVER_CORE, LOAD_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
MB = 1_000_000
IP_BIND_ADDRESS_NO_PORT = 24


class Wrong(Exception):
    """A server did what a right one does not. Reported as a missed figure, never counted as a success."""


class Missing(Exception):
    """Something is not on this machine. The message says how to get it."""


# ---------------------------------------------------------------- the servers


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


def serve(program: Program, *flags: str, stderr: int | None = None) -> Server:
    """Runs the usual pair, server1 and server2, on two free ports."""
    ports = free_ports(2)
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


# ---------------------------------------------------------------- the client


def connect(port: int, number: int = 0, timeout: float = 15, receive_buffer: int = 0) -> socket.socket:
    """Connects as client `number`. Clients come from 127.0.0.2 and up, 4,000 to an address, so that ports do
    not run out, and so that a client can never meet itself on the port of a server that has gone."""
    sock = socket.socket()
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((f"127.0.0.{2 + number // 4000}", 0))
        sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def says_close(self) -> bool:
        return "close" in self.headers.get("connection", "").lower()

    def check_hello(self, name: str) -> None:
        if (self.status, self.body.strip()) != (200, b"Hello from " + name.encode()):
            raise Wrong(f"answered {self.status} {self.body[:80]!r} instead of 200 and the greeting of {name}")


class Client:
    """One HTTP/1.1 connection that trusts nothing it reads."""

    def __init__(self, port: int, number: int = 0, timeout: float = 15):
        self.socket = connect(port, number, timeout)
        self.received = 0
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str = "GET", headers: str = "") -> None:
        self.send(request(method, headers))

    def answer(self, method: str = "GET", on_continue: bytes = b"") -> Answer:
        status, headers = self._head()
        if status == 100:
            self.send(on_continue)
            status, headers = self._head()
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        elif "content-length" in headers:
            body = self._bytes(int(headers["content-length"]))
        else:
            body = self._file.read()
        return Answer(status, headers, body)

    def hello(self, name: str) -> Answer:
        self.ask()
        answer = self.answer()
        answer.check_hello(name)
        return answer

    def _head(self) -> tuple[int, dict[str, str]]:
        version, status, *_ = self._line().split(" ", 2) + [""]
        if version != "HTTP/1.1" or not status.isdigit():
            raise Wrong(f"not a status line: {version} {status}")
        headers = {}
        while line := self._line():
            name, colon, value = line.partition(":")
            if not colon:
                raise Wrong(f"not a header: {line}")
            headers[name.lower()] = value.strip()
        return int(status), headers

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().split(";")[0], 16):
            yield self._bytes(size)
            self._line()
        while self._line():
            pass

    def _line(self) -> str:
        line = self._file.readline(65536)
        if not line.endswith(b"\r\n"):
            raise Wrong("closed in the middle of an answer" if line else "closed without an answer")
        self.received += len(line)
        return line[:-2].decode("latin-1")

    def _bytes(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise Wrong(f"closed after {len(data)} of {count} body bytes")
        self.received += count
        return data


def request(method: str = "GET", headers: str = "") -> bytes:
    return f"{method} / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


# ---------------------------------------------------------------- the table


class Figure(NamedTuple):
    what: str
    must_be: str
    measured: str
    ok: bool | None = None  # None: nothing to hold it against


def exactly(what: str, wanted: str, measured: str) -> Figure:
    return Figure(what, wanted, measured, measured == wanted)


class Report:
    """Prints markdown tables, row by row as the figures come in, and remembers how they turned out."""

    def __init__(self):
        self._missed = self._left_out = 0

    def section(self, title: str, judged: bool = True) -> None:
        self._judged = judged
        say(f"\n## {title}\n\n| figure | must be | measured | ok |\n|---|---|---|---|")

    def add(self, figure: Figure) -> None:
        verdict = {None: "", True: "yes", False: "**no**"}[figure.ok]
        say(f"| {figure.what} | {figure.must_be} | {figure.measured} | {verdict} |")
        self._missed += figure.ok is False and self._judged

    def run(self, name: str, figures: Iterable[Figure]) -> None:
        """Adds an experiment's figures. One that goes wrong half-way is a missed figure; the rest go on."""
        try:
            for figure in figures:
                self.add(figure)
        except Missing as missing:
            self.add(Figure(name, "", f"left out: {missing}"))
            self._left_out += 1
        except (Wrong, OSError, ValueError) as error:
            self.add(Figure(name, "no error", f"{type(error).__name__}: {error}", False))

    def leave_out(self, missing: Missing) -> None:
        say(f"\nLeft out: {missing}.")
        self._left_out += 1

    def exit_code(self) -> int:
        return 1 if self._missed else 2 if self._left_out else 0


def say(text: str) -> None:
    print(text, flush=True)


def spread(values: list[float], unit: str, digits: int = 1) -> str:
    """The median, and of several values the lowest and the highest."""
    median, low, high = (f"{x:,.{digits}f}" for x in (statistics.median(values), min(values), max(values)))
    return f"{median}{unit}" + (f" ({low} to {high})" if len(values) > 1 else "")


def counted(values: Iterable) -> str:
    values = list(values)
    return ", ".join(f"{value}: {values.count(value):,}" for value in sorted(set(values))) or "none"


# ---------------------------------------------------------------- a script's frame


def arguments(doc: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=doc,
        epilog="Exits 1 if a figure of adieu misses its bound, 2 if something could not be measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", choices=[*PROGRAMS, "both"], default="both", help="which to measure")
    return parser


def prepare(choice: str, report: Report) -> list[Program]:
    """Readies this process to be the load, and returns the chosen programs that are there to be run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended all the same
    os.sched_setaffinity(0, {LOAD_CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    programs = []
    for name in PROGRAMS if choice == "both" else [choice]:
        try:
            programs.append(PROGRAMS[name]())
        except Missing as missing:
            report.leave_out(missing)
    return programs


def main(title: str, doc: str, *experiments: Callable[[Program], Iterable[Figure]]) -> None:
    """A script that puts each program through the same experiments, one table for each program."""
    options, report = arguments(doc).parse_args(), Report()
    for program in prepare(options.server, report):
        report.section(f"{title}: {program.title}", program.judged)
        for experiment in experiments:
            report.run(experiment.__name__.replace("_", " "), experiment(program))
    sys.exit(report.exit_code())
