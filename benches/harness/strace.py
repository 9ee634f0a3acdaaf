"""The system calls of a server, counted by strace."""

import subprocess
import tempfile
from collections import Counter
from typing import Callable

from .server import Server, tool


def traced(server: Server, load: Callable[[], None]) -> Counter[str]:
    """How often the main thread makes each system call under this load."""
    with tempfile.NamedTemporaryFile("r") as trace:
        strace = [tool("strace", "strace"), "-qq", "-o", trace.name, "-p", str(server.pid)]
        with subprocess.Popen(strace, stderr=subprocess.DEVNULL) as tracer:
            server.wait_until_traced()
            load()
            tracer.terminate()
        return Counter(line.partition("(")[0] for line in trace if "(" in line)
