#!/usr/bin/env python3
"""What clients see of restarts: failed requests of a steady load while the server is replaced again and again.

200 clients keep their connections, 50 connect for each request. A request that finds its kept connection closed
by the server, before any byte of an answer, is sent once more; whatever else goes wrong is a failed request.
The server is replaced with a listening socket handed over (stop, then start), and with --reuse-port (start, then
stop). With --network also between two network namespaces with a delay of 20 ms each way, at a fifth of the load;
that needs root. The delay is made here, between two TUN devices: tc-netem is not in every kernel.
adieu must be built with `cargo build --release`.
"""

import asyncio
import concurrent.futures
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Iterator

import harness
from harness import Figure, Program, Wrong
from harness.delayed_link import DelayedLink

KEEPERS, CONNECTORS = 200, 50
NAME = "server1"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONNECTING = concurrent.futures.ThreadPoolExecutor(KEEPERS + CONNECTORS)


class Closed(Exception):
    """The server has closed the connection before any byte of an answer."""


class Load:
    """The clients. They stop when `stop` is set."""

    def __init__(self, address: tuple[str, int], pause: float):
        self.address, self.pause, self.stop = address, pause, asyncio.Event()
        self.done, self.retried, self.failed, self.slowest = 0, 0, [], 0.0

    async def run(self, body) -> None:
        clients = [asyncio.create_task(self.keep(i / KEEPERS)) for i in range(KEEPERS)]
        clients += [asyncio.create_task(self.connect(i / CONNECTORS)) for i in range(CONNECTORS)]
        try:
            await body
            await asyncio.sleep(1)
        finally:
            self.stop.set()
            await asyncio.gather(*clients)

    async def keep(self, phase: float) -> None:
        await asyncio.sleep(phase * 2 * self.pause)
        stream = None
        while not self.stop.is_set():
            began, kept = time.monotonic(), stream is not None
            try:
                try:
                    stream = await self.ask(stream)
                except Closed:
                    if not kept:
                        raise
                    self.retried += 1
                    stream = await self.ask(None)
                self.count(began)
            except (Closed, Wrong, OSError, asyncio.TimeoutError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                stream = None
            await asyncio.sleep(2 * self.pause)
        if stream:
            stream[1].close()

    async def connect(self, phase: float) -> None:
        await asyncio.sleep(phase * self.pause)
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                stream = await self.ask(None)
                self.count(began)
                if stream:
                    stream[1].close()
            except (Closed, Wrong, OSError, asyncio.TimeoutError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self.pause)

    def count(self, began: float) -> None:
        self.done += 1
        self.slowest = max(self.slowest, time.monotonic() - began)

    async def ask(self, stream):
        """One request, on `stream` or on a new connection. Returns the stream if it can be used again."""
        async with asyncio.timeout(10):
            sent = stream is None
            if stream is None:
                stream = await connect_and_send(self.address)
            reader, writer = stream
            again = False
            try:
                if not sent:
                    writer.write(REQUEST)
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (ConnectionResetError, BrokenPipeError) as error:
                    raise Closed(str(error)) from error
                except asyncio.IncompleteReadError as error:
                    raise (Wrong("half a head") if error.partial else Closed("no answer")) from error
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if not head.startswith(b"HTTP/1.1 200") or not length:
                    raise Wrong(f"not an answer: {head[:60]!r}")
                body = await reader.readexactly(int(length[0].split(b":")[1]))
                if body.strip() != b"Hello from " + NAME.encode():
                    raise Wrong(f"not the greeting: {body!r}")
                again = b"connection: close" not in head.lower()
                return stream if again else None
            finally:
                if not again:
                    writer.close()


async def connect_and_send(address: tuple[str, int]):
    """Writes the request as soon as the handshake is done, as a client does that is not busy with 249 others."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(address)
        try:
            sock.send(REQUEST)  # on loopback the handshake is done by now
        except BlockingIOError:
            await asyncio.get_running_loop().run_in_executor(CONNECTING, finish_and_send, sock)
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


def finish_and_send(sock: socket.socket) -> None:
    """In a thread of its own: the loop may be busy for longer than a server should wait for a first byte."""
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    if not poller.poll(10_000):
        raise TimeoutError("connecting took more than 10 s")
    if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))
    sock.send(REQUEST)


# ---------------------------------------------------------------- the servers


class Server:
    def __init__(self, command: list, pass_fd: int | None = None):
        def prepare() -> None:
            os.sched_setaffinity(0, {harness.SERVER_CORE})
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if pass_fd is not None:
                os.dup2(pass_fd, 3)

        env = {k: v for k, v in os.environ.items() if k != "RUST_LOG"} | {"GOMAXPROCS": "1"}
        fds = ()
        if pass_fd is not None:
            fds = (3,)
            env |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": NAME}
            command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            [str(part) for part in command], stderr=subprocess.PIPE, pass_fds=fds, preexec_fn=prepare, env=env
        )

    async def listening(self) -> None:
        line = await asyncio.to_thread(self.process.stderr.readline)
        if b"listening" not in line:
            raise Wrong(f"the server did not start: {line.decode().strip()}")

    async def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.communicate)
        return self.process.returncode


def command(program: Program, host: str, port: int, *flags: str) -> list:
    # The second server of the pair is not part of this; the Go original always has both.
    second = [f"--listen=server2={host}:{port + 1}"] if not program.judged else []
    return [program.path, f"--listen={NAME}={host}:{port}", *second, *flags]


async def handed_over(place, program: Program, rounds: int, codes: list) -> None:
    with place.socket() as listener:
        for _ in range(rounds):
            server = Server(place.enter + command(program, place.host, place.port), listener.fileno())
            await server.listening()
            await asyncio.sleep(0.2)
            codes.append(await server.end())
        server = Server(place.enter + command(program, place.host, place.port), listener.fileno())
        await server.listening()
        place.last = server


async def reuse_port(place, program: Program, rounds: int, codes: list) -> None:
    flags = place.enter + command(program, place.host, place.port, "--reuse-port")
    server = Server(flags)
    await server.listening()
    for _ in range(rounds):
        successor = Server(flags)
        await successor.listening()
        await asyncio.sleep(0.1)
        codes.append(await server.end())
        server = successor
        await asyncio.sleep(0.1)
    place.last = server


async def stop_and_start(place, program: Program, rounds: int, codes: list) -> None:
    for number in range(rounds + 1):
        server = Server(place.enter + command(program, place.host, place.port))
        await server.listening()
        await asyncio.sleep(0.2)
        if number < rounds:
            codes.append(await server.end())
    place.last = server


# ---------------------------------------------------------------- the places


class Here:
    title, host, enter = "loopback", "127.0.0.1", []
    pause = 0.1  # of a connector between two requests; a keeper takes twice as long

    def __init__(self):
        self.port, self.last = harness.free_ports(1)[0], None

    def socket(self) -> socket.socket:
        return socket.create_server((self.host, self.port), backlog=4096)


class Namespace(Here):
    """The server is in a network namespace, and each packet takes 20 ms, each way."""

    title, host, pause = "two namespaces, 40 ms round trip", DelayedLink.HOST, 0.5

    def __init__(self, link: DelayedLink):
        super().__init__()
        self.port, self.enter, self._link = 8080, link.enter, link

    def socket(self) -> socket.socket:
        with self._link.inside():
            return super().socket()


@contextmanager
def place(network: bool) -> Iterator[Here]:
    if network:
        with DelayedLink() as link:
            yield Namespace(link)
    else:
        yield Here()


def measure(where: Here, program: Program, way, rounds: int) -> Iterator[Figure]:
    async def experiment() -> tuple[Load, list]:
        load, codes = Load((where.host, where.port), where.pause), []
        begun = asyncio.create_task(way(where, program, rounds, codes))
        while not begun.done():  # until the first one listens
            try:
                _, writer = await asyncio.open_connection(where.host, where.port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.02)
        await load.run(begun)
        return load, codes

    try:
        load, codes = asyncio.run(experiment())
    finally:
        if where.last:
            where.last.process.kill()
            where.last.process.communicate()
    what = f"{where.title}: {rounds} restarts, {way.__name__.replace('_', ' ')}"
    seen = f"{len(load.failed)} of {load.done:,} ({load.retried} retried, the slowest took {load.slowest:.2f} s)"
    yield Figure(f"{what}: failed requests", "0", seen, not load.failed)
    for kind in sorted(set(load.failed))[:3]:
        harness.say(f"<!-- {load.failed.count(kind)} x {kind} -->")
    yield Figure(f"{what}: exit codes", "0", harness.counted(codes), set(codes) == {0})


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="restarts in each experiment")
    parser.add_argument("--network", action="store_true", help="also between two network namespaces")
    options, report = parser.parse_args(), harness.Report()
    sys.setswitchinterval(0.0005)  # of two threads the one that connects must not wait
    for program in harness.prepare(options.server, report):
        report.section(f"Restarts: {program.title}", program.judged)
        ways = [handed_over, reuse_port] if program.judged else [stop_and_start]
        for network in [False, True] if options.network else [False]:
            for way in ways:

                def figures():
                    with place(network) as where:
                        yield from measure(where, program, way, options.rounds)

                report.run(way.__name__, figures())
    sys.exit(report.exit_code())


if __name__ == "__main__":
    main()
