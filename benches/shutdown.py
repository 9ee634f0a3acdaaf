#!/usr/bin/env python3
"""What clients see of a shutdown, and how long it takes: each shutdown row of the promises.

Each row starts the real binary, puts connections into a state, sends real signals, and looks at every answer,
the exit code, the log and the time from the last signal to the end of the process. Of several tries the worst
must hold. That a second signal works while the thread is blocked is shown with stderr a full pipe.
"""

import os
import time
from contextlib import contextmanager
from signal import SIGINT, SIGTERM
from typing import Callable, Iterator

import harness
from harness import Exit, Figure, Program, Server, Wrong, client_of, exactly, experiments, name_of, serve, spread
from harness.experiments import OPEN, QUEUED, idle_at_the_end

TRIES = 3
ROUNDS = 20
BYE = "a graceful bye"


def ended(what: str, exits: list[Exit], code: int, at_most: float, at_least: float = 0) -> Figure:
    """One row on how a process ended. It says a graceful bye exactly when it exits 0."""
    span = f"within {in_words(at_most)}" if not at_least else f"after {in_words(at_least)} to {in_words(at_most)}"
    taken = [exit.seconds for exit in exits]
    codes = sorted({exit.code for exit in exits})
    lies = sum((BYE in exit.log) != (exit.code == 0) for exit in exits)
    measured = f"exit {'/'.join(map(str, codes))} after {spread([s * 1000 for s in taken], ' ms')}"
    if lies:
        measured += f', "{BYE}" {"said" if code else "missing"}'
    ok = codes == [code] and not lies and at_least <= min(taken) and max(taken) <= at_most
    return Figure(what, f"exit {code} {span}", measured, ok)


def in_words(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def nothing_connected(program: Program) -> Iterator[Figure]:
    def attempt() -> Exit:
        with serve(program) as server:
            server.signal(SIGINT)
            return server.exit()

    yield ended("nothing connected, Ctrl-C", [attempt() for _ in range(TRIES)], 0, at_most=0.05)


def a_connection_that_never_sent_a_byte(program: Program) -> Iterator[Figure]:
    exits = [idle_at_the_end(program, used=0, silent=1) for _ in range(TRIES)]
    yield ended("a connection that never sent a byte", exits, 0, at_most=0.05)


def a_browser_tab(program: Program) -> Iterator[Figure]:
    exits = [idle_at_the_end(program, used=2, silent=2, signal=SIGINT) for _ in range(TRIES)]
    yield ended("a browser tab: 2 used connections, 2 preconnects", exits, 0, at_most=0.05)


def many_idle_connections(program: Program) -> Iterator[Figure]:
    for used, at_most in ((2000, 0.1), (10_000, 0.15)):
        exits = [idle_at_the_end(program, used=used, silent=0) for _ in range(TRIES)]
        yield ended(f"{used:,} idle keep-alive connections", exits, 0, at_most)


def half_sent_head(program: Program) -> Iterator[Figure]:
    exit, seen = experiments.half_head_at_the_end(program)
    yield exactly("half-sent head: answer", "408", seen or "none")
    yield ended("half-sent head", [exit], 0, at_most=2.2)


def a_connection_for_each_request(program: Program) -> Iterator[Figure]:
    rounds = 2 * ROUNDS
    lost = sum(experiments.lost_while_connecting(program) for _ in range(rounds))
    yield exactly("a connection for each request: accepted and not answered", f"0 in {rounds} shutdowns", f"{lost} in {rounds} shutdowns")


def requests_on_the_wire(program: Program) -> Iterator[Figure]:
    for frozen in (True, False):
        rounds = []
        for _ in range(ROUNDS):
            with serve(program) as server:
                rounds.append(experiments.requests_on_the_wire(server, frozen))
        lost = sum(sum(seen.lost) for seen in rounds)
        asked = sum(len(seen.lost) for seen in rounds)
        what = f"{OPEN} requests just sent + {QUEUED} {'in the accept queue' if frozen else 'on new connections'}"
        yield exactly(f"{what}: lost", f"0 of {asked}", f"{lost} of {asked}")
        if frozen:
            without_close = sum(seen.without_close for seen in rounds)
            yield exactly(f"{what}: answers without Connection: close", "0", str(without_close))
        yield ended(what, [seen.exit for seen in rounds], 0, at_most=1)


def a_slow_answer(program: Program) -> Iterator[Figure]:
    with serve(program, "--delay=3s") as server, client_of(server, 0) as client:
        client.ask()
        time.sleep(1)
        server.signal(SIGTERM)
        refused = [seconds_until_refused(server, number) for number in (0, 1)]
        answer = client.answer()
        exit = server.exit()
    answer.check_hello(name_of(server, 0))
    seen = "yes" if answer.says_close() else "without Connection: close"
    what = "--delay 3s, SIGTERM 1 s into the request"
    times = " and ".join(f"{seconds * 1000:.1f} ms" for seconds in refused)
    yield Figure(f"{what}: a new connect", "refused by both within 50 ms", times, max(refused) <= 0.05)
    yield Figure(f"{what}: answer", "full, with Connection: close", seen, seen == "yes")
    yield ended(what, [exit], 0, at_least=1.8, at_most=2.2)


def seconds_until_refused(server: Server, number: int) -> float:
    start = time.monotonic()
    while time.monotonic() < start + 5:
        try:
            client_of(server, number).close()
        except ConnectionError:
            return time.monotonic() - start
        time.sleep(0.005)
    raise Wrong("still accepts 5 s after the signal")


def a_straggler(program: Program) -> Iterator[Figure]:
    with serve(program, "--delay=30s", "--grace=1s") as server, client_of(server, 0) as client:
        peer = "{}:{}".format(*client.socket.getsockname())
        client.ask()
        time.sleep(0.3)
        server.signal(SIGTERM)
        exit = server.exit()
    what = "--delay 30s --grace 1s"
    yield ended(what, [exit], 124, at_least=0.95, at_most=1.2)
    named = peer in exit.log and name_of(server, 0) in exit.log
    yield exactly(f"{what}: the straggler's service and peer", "named", "named" if named else "not named")


@contextmanager
def pipe() -> Iterator[tuple[int, Callable[[], None]]]:
    """A pipe's end to write to, and what fills it up: after that, who writes to it is blocked."""
    reader, writer = os.pipe()

    def fill() -> None:
        os.set_blocking(writer, False)
        try:
            while os.write(writer, b"\n" * 4096):
                pass
        except BlockingIOError:
            os.set_blocking(writer, True)

    try:
        yield writer, fill
    finally:
        os.close(reader)
        os.close(writer)


def second_signal(program: Program, second: int, blocked: bool) -> Exit:
    with pipe() as (writer, fill):
        stderr = writer if blocked else None
        with serve(program, "--delay=30s", "--grace=5s", stderr=stderr) as server, client_of(server, 0) as client:
            client.ask()
            time.sleep(0.2)
            if blocked:
                fill()
            server.signal(SIGTERM)
            time.sleep(0.3)
            server.signal(second)
            return server.exit()


def second_signals(program: Program, what: str, blocked: bool) -> Iterator[Figure]:
    for second in (SIGTERM, SIGINT):
        exits = [second_signal(program, second, blocked)]
        yield ended(f"second signal, {second.name}, {what}", exits, 128 + second, at_most=0.05)


def second_signal_while_draining(program: Program) -> Iterator[Figure]:
    return second_signals(program, "while draining", blocked=False)


def second_signal_while_blocked(program: Program) -> Iterator[Figure]:
    return second_signals(program, "with the thread blocked", blocked=True)


if __name__ == "__main__":
    harness.main(
        "Shutdown",
        __doc__,
        nothing_connected,
        a_connection_that_never_sent_a_byte,
        a_browser_tab,
        many_idle_connections,
        half_sent_head,
        requests_on_the_wire,
        a_connection_for_each_request,
        a_slow_answer,
        a_straggler,
        second_signal_while_draining,
        second_signal_while_blocked,
    )
