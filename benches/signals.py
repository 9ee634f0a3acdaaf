#!/usr/bin/env python3
"""Signals that come in pairs, and ends that leave no time: how often each does what it should.

- `timeout 0.3 adieu --delay 400ms` with a request in flight, of the debug and of the release build: timeout(1) signals
  its child and then its whole process group, which must not be taken for a second request.
- Two signals 0 to 90 ms apart, of which the first may or may not have been heard.
- SIGQUIT, and a grace period of zero, on an idle server with an open connection.
"""

import argparse
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import Client, Figure, Program, Report, Wrong, built, exactly, free_ports, serve

PAIRS = [
    (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGTERM, signal.SIGHUP),
    (signal.SIGINT, signal.SIGTERM),
    (signal.SIGHUP, signal.SIGINT),
]


def under_timeout(binary: Path, runs: int) -> Figure:
    """A request is sent a tenth of a second before timeout(1) strikes, and takes 400 ms."""
    aborted = unanswered = 0
    for _ in range(runs):
        (port,) = free_ports(1)
        command = ["timeout", "0.3", binary, f"--listen=server1=127.0.0.1:{port}", "--delay=400ms"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            client = connect(port)
            client.ask()
            try:
                client.answer().check_hello("server1")
            except (Wrong, OSError):
                unanswered += 1
            client.close()
            said = process.stderr.read()
            # timeout(1) has a status of its own: what the server says tells how it ended.
            aborted += "a graceful bye" not in said
    what = f"timeout 0.3, {binary.parent.name} build, {runs} runs: aborted, unanswered"
    return exactly(what, "0, 0", f"{aborted}, {unanswered}")


def connect(port: int) -> Client:
    give_up = time.monotonic() + 10
    while True:
        try:
            return Client(port)
        except ConnectionRefusedError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.005)


def pairs(program: Program, runs: int) -> Figure:
    aborted = unanswered = done = 0
    for number, (first, second) in enumerate(itertools.cycle(PAIRS)):
        with serve(program, "--delay=200ms") as server, Client(server.ports[0]) as client:
            client.ask()
            time.sleep(0.01)
            began = time.monotonic()
            server.signal(first)
            time.sleep(0.09 * (number % 10) / 10)
            server.signal(second)
            was_pair = time.monotonic() - began < 0.099
            try:
                client.answer().check_hello("server1")
                answered = True
            except (Wrong, OSError):
                answered = False
            client.close()
            code = server.exit().code
        if not was_pair:
            continue  # this machine was too busy to send them in time
        aborted += code != 0
        unanswered += not answered
        done += 1
        if done == runs:
            break
    return exactly(f"two signals 0 to 81 ms apart, {runs} runs: aborted, unanswered", "0, 0", f"{aborted}, {unanswered}")


def idle(program: Program, number: int, *flags: str, runs: int) -> Figure:
    wrong = 0
    for _ in range(runs):
        with serve(program, *flags) as server, Client(server.ports[0]) as client, socket.socket() as new:
            client.hello("server1")
            new.connect(("127.0.0.1", server.ports[1]))
            server.signal(number)
            wrong += server.exit().code != 0
    what = " ".join([signal.Signals(number).name, *flags])
    return exactly(f"{what} on an idle server, {runs} runs: exits that are not 0", "0", str(wrong))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    options, report = parser.parse_args(), Report()
    for program in harness.prepare("adieu", report):
        report.section("Signals")
        for build in ("debug", "release"):
            binary = built(harness.ROOT / "target" / build / "adieu", "cargo build, with and without --release")
            report.run(build, [under_timeout(binary, options.runs)])
        report.run("pairs", [pairs(program, options.runs)])
        quarter = options.runs // 4
        report.run("quit", [idle(program, signal.SIGQUIT, runs=quarter)])
        report.run("grace", [idle(program, signal.SIGTERM, "--grace=0s", runs=quarter)])
    sys.exit(report.exit_code())


if __name__ == "__main__":
    os.environ.pop("RUST_LOG", None)
    main()
