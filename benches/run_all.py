#!/usr/bin/env python3
"""Runs the scripts that measure the binary alone and have bounds, one after the other: one markdown report."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import harness

SCRIPTS = ["memory", "shutdown", "hostile", "throughput"]


def first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=harness.ROOT)
    except FileNotFoundError:
        return f"no {command[0]}"
    return (done.stdout or done.stderr or "-").splitlines()[0]


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    model, cores = (models or [platform.machine()])[0], len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, Linux {platform.release()}"


def main() -> None:
    options = harness.arguments(__doc__).parse_args()
    harness.say(f"# Measured on {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC\n")
    harness.say(f"- machine: {machine()}")
    harness.say(f"- commit: {first_line('git', 'describe', '--always', '--dirty')}")
    harness.say(f"- {first_line('rustc', '--version')}; {first_line('go', 'version')}")
    codes = []
    for script in SCRIPTS:
        path = Path(__file__).with_name(f"{script}.py")
        codes.append(subprocess.run([sys.executable, path, "--server", options.server]).returncode)
    missed = [script for script, code in zip(SCRIPTS, codes) if code not in (0, 2)]
    harness.say(f"\nBounds that adieu missed are in: {', '.join(missed) or 'none'}.")
    sys.exit(1 if missed else max(codes))


if __name__ == "__main__":
    main()
