#!/usr/bin/env python3
"""Builds and measures adieu beside what a user would pick instead, and writes benches/RESULTS.md and charts.

One run, on Linux: the servers on the first core, the load (wrk, h2load, and the Python clients of harness/) on
the last one. What is missing is named, with the way to get it, and the rest still runs. The program itself
needs nothing but Python 3.11; matplotlib and a recent Go are installed below target/compare.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import contestants
import growth
import harness
import measure
import results
import run_all
from contestants import BUILD, CONTESTANTS
from figures import Figures
from harness import Missing


def about() -> dict[str, str]:
    wrk, h2load = (run_all.first_line(tool, "--version") for tool in ("wrk", "h2load"))
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": run_all.machine(),
        "adieu": run_all.first_line("git", "describe", "--always", "--dirty"),
        "compilers": f"{run_all.first_line('rustc', '--version')}; {run_all.first_line('go', 'version')}",
        "load": f"{wrk.partition(' Copyright')[0]}; {h2load}; Python {platform.python_version()}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, into target/compare/quick")
    parser.add_argument("--only", choices=CONTESTANTS, action="append", help="measure this one; may be repeated")
    parser.add_argument("--out", type=Path, help="where RESULTS.md and charts/ go (default: benches)")
    options = parser.parse_args()
    effort = measure.QUICK if options.quick else measure.FULL
    out = options.out or (BUILD / "quick" if options.quick else HERE.parent)

    BUILD.mkdir(parents=True, exist_ok=True)
    figures, begin = Figures(), time.monotonic()

    def stage(what: str) -> None:
        harness.say(f"{time.monotonic() - begin:4.0f} s  {what}")

    stage("tools")
    try:
        tools = contestants.python_tools()
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    except Missing as missing:
        tools = None
        figures.leave_out(missing)
    stage("builds")
    chosen = options.only or list(CONTESTANTS)
    programs = {}
    for name in chosen:
        try:
            programs[name] = contestants.build(name)
        except Missing as missing:
            figures.leave_out(missing)
    figures.about = about()
    harness.prepare("adieu", figures)  # from here on, this process is the load
    figures.contestants = {
        name: {"title": program.title, "limit": CONTESTANTS[name].limit} for name, program in programs.items()
    }
    stage("under load")
    measure.under_load(figures, programs, effort)
    main_ones = measure.without_variants(programs)
    stage("weight")
    measure.weight(figures, main_ones, effort)
    servers = measure.http_servers(main_ones)
    stage("shutdowns")
    measure.shutdowns(figures, servers, effort)
    stage("lost requests")
    measure.lost(figures, servers, effort)
    if "adieu" in programs:
        stage("growth")
        rounds, seconds = (1, 1) if options.quick else (3, 2)
        try:
            growth.grow(figures, programs["adieu"], rounds, seconds)
        except Missing as missing:
            figures.leave_out(missing)
    figures.about["took"] = f"{(time.monotonic() - begin) / 60:.0f} minutes, builds included"
    stage("report")
    out.mkdir(parents=True, exist_ok=True)
    kept = BUILD / ("quick.json" if options.quick else "figures.json")
    figures.save(kept)
    (out / "RESULTS.md").write_text(results.markdown(figures))
    if tools:
        subprocess.run([tools / "python", HERE / "charts.py", kept, out / "charts"], check=True)
    stage(f"written: {out / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
