"""The experiments that several scripts make. They tell what was seen; the scripts judge it or compare it."""

import threading
import time
from contextlib import ExitStack
from signal import SIGTERM
from typing import NamedTuple

from .client import Answer, Client, connect
from .errors import Wrong
from .server import Exit, Program, Server, client_of, name_of, need_descriptors, serve

OPEN, QUEUED, CONNECTING = 50, 20, 24
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: loc"


class OnTheWire(NamedTuple):
    lost: list[bool]  # request by request, those on open connections first
    without_close: int  # answers that do not say Connection: close
    exit: Exit


def requests_on_the_wire(server: Server, frozen: bool = True, queue_first: bool = True) -> OnTheWire:
    """All requests are written before SIGTERM is sent: on open connections, and on new ones. Frozen, the process finds
    them, the connections that queue up at its listeners and the signal all at once when it thaws; running, it is
    interrupted half-way. Whether the requests or the queue came first decides in some servers what is seen first."""
    clients = [client_of(server, number) for number in range(OPEN)]
    for number, client in enumerate(clients):
        client.hello(name_of(server, number))
    if frozen:
        server.freeze()
    asked = 0 if queue_first else OPEN
    ask_all(clients[:asked])
    clients += [client_of(server, number) for number in range(OPEN, OPEN + QUEUED)]
    ask_all(clients[asked:])
    server.signal(SIGTERM)
    if frozen:
        server.thaw()
    answers = [answer_of(server, number, client) for number, client in enumerate(clients)]
    without_close = sum(answer is not None and not answer.says_close() for answer in answers)
    return OnTheWire([answer is None for answer in answers], without_close, server.exit())


def ask_all(clients: list[Client]) -> None:
    for client in clients:
        client.ask()


def answer_of(server: Server, number: int, client: Client) -> Answer | None:
    """The right answer, after which the client closes."""
    with client:
        try:
            answer = client.answer()
            answer.check_hello(name_of(server, number))
            return answer
        except (Wrong, OSError):
            return None


def lost_while_connecting(program: Program) -> int:
    """One shutdown under clients that connect, ask and close without a pause, until they are refused: how many
    were accepted and not answered."""
    lost = []

    def visit(number: int) -> None:
        while True:
            try:
                client = client_of(server, number)
            except OSError:
                return
            with client:
                try:
                    client.hello(name_of(server, number))
                except (Wrong, OSError):
                    lost.append(number)
                    return

    with serve(program) as server:
        threads = [threading.Thread(target=visit, args=(number,)) for number in range(CONNECTING)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        server.signal(SIGTERM)
        server.exit()
        for thread in threads:
            thread.join()
    return len(lost)


def idle_at_the_end(program: Program, used: int, silent: int, signal: int = SIGTERM) -> Exit:
    """Shuts down with so many keep-alive connections between requests, and so many that never sent a byte."""
    with serve(program) as server:
        clients = [client_of(server, number) for number in range(used + silent)]
        for number, client in enumerate(clients[:used]):
            client.hello(name_of(server, number))
        time.sleep(0.2)
        server.signal(signal)
        exit = server.exit()
        for client in clients:
            client.close()
        return exit


def half_head_at_the_end(program: Program) -> tuple[Exit, str]:
    with serve(program) as server, client_of(server, 0) as client:
        client.send(HALF_HEAD)
        time.sleep(0.2)
        return seen_out(server, client)


def seen_out(server: Server, client: Client) -> tuple[Exit, str]:
    """How the process ended after SIGTERM, and the status that the client saw, or "": like any client it reads
    meanwhile, and closes when it has its answer."""
    seen = ""

    def read() -> None:
        nonlocal seen
        with client:
            try:
                seen = str(client.answer().status)
            except (Wrong, OSError, ValueError):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    server.signal(SIGTERM)
    exit = server.exit()
    reader.join()
    return exit, seen


class Idle(NamedTuple):
    rss: int  # after one answered request
    each: dict[int, float]  # bytes a connection, with so many of them
    threads: int


def idle_connections(server: Server, *counts: int, silent: bool = False) -> Idle:
    """Resident memory, and how it grows over connections that each have done one request, or none if `silent`. Kernel
    memory (socket buffers) is not in it. Each connection must answer once more afterwards."""
    need_descriptors(max(counts))
    with ExitStack() as stack:
        with connect(server.ports[0]) if silent else Client(server.ports[0]) as client:
            if not silent:
                client.hello("server1")
        time.sleep(1)
        before, clients, each = server.rss(), [], {}
        for count in counts:
            while len(clients) < count:
                clients.append(stack.enter_context((connect if silent else Client)(server.ports[0], len(clients))))
                if not silent:
                    clients[-1].hello("server1")
            time.sleep(1)
            each[count] = (server.rss() - before) / count
        threads = server.threads()
        for client in [] if silent else clients:
            client.hello("server1")
    return Idle(before, each, threads)
