#!/usr/bin/env python3
"""Draws benches/timeline.svg from a real run: 30 idle clients, and 60 that come one after the other and are answered
after 2 s each. The deadline cuts off those that came last."""

import threading
import time
from pathlib import Path
from signal import SIGTERM

import harness
from harness import Client, Server, say

PICTURE = Path(__file__).parent / "timeline.svg"


def read(client: Client) -> None:
    try:
        client.answer()
    except harness.Wrong:
        pass  # it was cut off
    client.close()


def main() -> None:
    [port] = harness.free_ports(1)
    flags = ["--delay=2s", "--grace=1700ms", f"--timeline={PICTURE}"]
    with Server([harness.adieu().path, f"--listen=api=127.0.0.1:{port}", *flags], [port]) as server:
        clients = [Client(port) for _ in range(30)]
        busy = [Client(port) for _ in range(60)]
        for client in busy:
            client.ask()
            time.sleep(0.03)
        # Clients close once they are answered, or the server would wait for them a little.
        readers = [threading.Thread(target=read, args=[client]) for client in busy]
        for reader in readers:
            reader.start()
        server.signal(SIGTERM)
        say(f"exit {server.exit().code}, {PICTURE}")
        for reader in readers:
            reader.join()
        for client in clients:
            client.close()


if __name__ == "__main__":
    main()
