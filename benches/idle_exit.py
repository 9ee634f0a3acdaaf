#!/usr/bin/env python3
"""What a client sees that connects in the very moment in which an idle server ends.

The script keeps a listening socket, as systemd does for a socket unit: when somebody waits and no server runs, it
starts `adieu --exit-idle` and hands the socket over. In each round a client makes the server busy, goes, waits for the
idle time less or more a millisecond, and connects: every one must be answered, by this process or by the next.
adieu must be built with `cargo build --release`.
"""

import argparse
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from harness import Client, Figure, Program, Report, Wrong, exactly

NAME = "server1"
IDLE = 0.1
AROUND = 0.001


class Parent(threading.Thread):
    """Starts the program when somebody waits on the socket and none runs."""

    def __init__(self, program: Program, listener: socket.socket):
        super().__init__(daemon=True)
        self._listener = listener
        self._command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", str(program.path)]
        self._command += [f"--listen={NAME}=127.0.0.1:0", f"--exit-idle={round(IDLE * 1000)}ms"]
        self._over = False
        self._process: subprocess.Popen | None = None
        self.codes: list[int] = []

    def run(self) -> None:
        while not self._over:
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            self._process = self._start()
            said = self._process.communicate()[1]
            self.codes.append(self._process.returncode)
            if not self._over and b"idleness begins the shutdown" not in said:
                self.codes.append(-1)

    def _start(self) -> subprocess.Popen:
        def prepare() -> None:
            os.sched_setaffinity(0, {harness.SERVER_CORE})
            os.dup2(self._listener.fileno(), 3)

        env = {k: v for k, v in os.environ.items() if k != "RUST_LOG"}
        env |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": NAME}
        return subprocess.Popen(
            self._command, stderr=subprocess.PIPE, pass_fds=(3,), preexec_fn=prepare, env=env
        )

    def end(self) -> None:
        self._over = True
        self.join(10)
        if self.is_alive() and self._process:
            self._process.send_signal(signal.SIGKILL)


def measure(program: Program, rounds: int):
    answered, next_process, slowest, faults = 0, 0, 0.0, []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        parent = Parent(program, listener)
        parent.start()
        for number in range(rounds):
            try:
                with Client(port) as client:
                    client.hello(NAME)
                # From the close on nobody is there.
                moment = time.monotonic() + IDLE + random.uniform(-AROUND, AROUND)
                ended = len(parent.codes)
                time.sleep(max(0.0, moment - time.monotonic() - 0.002))
                while time.monotonic() < moment:
                    pass
                began = time.monotonic()
                with Client(port, number) as client:
                    client.hello(NAME)
                slowest = max(slowest, time.monotonic() - began)
                answered += 1
                next_process += len(parent.codes) > ended
            except (Wrong, OSError) as fault:
                faults.append(f"{type(fault).__name__}: {fault}")
        parent.end()
    told = f"{answered}" + "".join(f", {fault}" for fault in faults[:3])
    yield exactly(f"{rounds} clients within a millisecond of the moment: answered", str(rounds), told)
    yield Figure("of these, by the next process", "", str(next_process))
    yield Figure("the slowest answer", "", f"{slowest * 1000:.0f} ms")
    ends = harness.counted(parent.codes)
    yield Figure("how the servers ended (-1: not for being idle)", "0 alone", ends, set(parent.codes) == {0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    options, report = parser.parse_args(), Report()
    for program in harness.prepare("adieu", report):
        report.section("The end of an idle server")
        report.run("the moment", measure(program, options.rounds))
    sys.exit(report.exit_code())


if __name__ == "__main__":
    main()
