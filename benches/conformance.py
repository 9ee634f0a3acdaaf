#!/usr/bin/env python3
"""HTTP/2 by the book: the `hyper` and `grpc` features, and hyper itself, before h2spec's cases.

h2spec (github.com/summerwind/h2spec) sends a server frames, right and wrong, and tells what came back. A few of
its cases race with the server's answer: here the request's path makes the service read the whole body first, and
what is counted are cases that a server passes in no round.
"""

import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as xml
from collections import Counter
from typing import Iterator

from harness import Figure, Missing, Wrong, peers

SECTIONS = ["generic", "http2"]

# Who is asked, and by which path, so that the service reads the body. Like adieu, the rival tells HTTP/2 from
# HTTP/1.1 on one port.
RIVAL, PATHS = "tokio-auto", {"adieu-hyper": "/read", "adieu-grpc": "/adieu.echo.Echo/Gather", "tokio-auto": "/read"}

Passed = Counter[tuple[str, str]]


def h2spec() -> str:
    found = shutil.which(options.h2spec)
    if found is None:
        raise Missing("h2spec is missing: get it from github.com/summerwind/h2spec, put it in PATH or say --h2spec FILE")
    return found


def passed(program: str, name: str) -> Passed:
    """How often the server passed each case."""
    counts: Passed = Counter()
    with peers.serve(name) as server:
        ask = [program, *SECTIONS, "--strict", f"--port={server.ports[0]}", f"--path={PATHS[name]}"]
        for _ in range(options.rounds):
            with tempfile.NamedTemporaryFile(suffix=".xml") as junit:
                told = subprocess.run([*ask, f"--junit-report={junit.name}"], capture_output=True, text=True)
                try:
                    found = list(xml.parse(junit).iter("testcase"))
                except xml.ParseError:
                    raise Wrong(f"h2spec says: {(told.stdout + told.stderr)[-200:]}") from None
            # A case that went well has no child; one that failed, or was skipped, says so in one.
            counts.update({(case.get("package"), case.get("classname")): not len(case) for case in found})
    return counts


def never(counts: Passed) -> set[str]:
    return {f"{section}: {case}" for (section, case), times in counts.items() if not times}


def named(cases: set[str]) -> str:
    return "; ".join(sorted(cases)) or "none"


def cases() -> Iterator[Figure]:
    program = h2spec()
    results = {name: passed(program, name) for name in PATHS}
    for name, counts in results.items():
        failed = never(counts)
        behind = failed - never(results[RIVAL])
        yield Figure(f"{name}: cases never passed", "", f"{len(failed)} of {len(counts)} ({named(failed)})")
        if name != RIVAL:
            yield Figure(f"{name}: never passed, and passed by {RIVAL}", "none", named(behind), not behind)


if __name__ == "__main__":
    options = peers.options(
        __doc__, rounds=(10, "of all cases"), h2spec=("h2spec", "the program, where it is not in PATH")
    )
    peers.main("HTTP/2 conformance, strict cases included", cases)
