"""Figures, the printed table of them, and a script's frame."""

import argparse
import os
import resource
import signal
import statistics
import sys
from typing import Callable, Iterable, NamedTuple

from .errors import Missing, Wrong
from .server import LOAD_CORE, PROGRAMS, Program

MB = 1_000_000


class Figure(NamedTuple):
    what: str
    must_be: str
    measured: str
    ok: bool | None = None  # None: nothing to hold it against


def exactly(what: str, wanted: str, measured: str) -> Figure:
    return Figure(what, wanted, measured, measured == wanted)


class Report:
    """Prints markdown tables, row by row as the figures come in, and remembers how they turned out."""

    def __init__(self):
        self._missed = self._left_out = 0

    def section(self, title: str, judged: bool = True) -> None:
        self._judged = judged
        say(f"\n## {title}\n\n| figure | must be | measured | ok |\n|---|---|---|---|")

    def add(self, figure: Figure) -> None:
        verdict = {None: "", True: "yes", False: "**no**"}[figure.ok]
        say(f"| {figure.what} | {figure.must_be} | {figure.measured} | {verdict} |")
        self._missed += figure.ok is False and self._judged

    def run(self, name: str, figures: Iterable[Figure]) -> None:
        """Adds an experiment's figures. One that goes wrong half-way is a missed figure; the rest go on."""
        try:
            for figure in figures:
                self.add(figure)
        except Missing as missing:
            self.add(Figure(name, "", f"left out: {missing}"))
            self._left_out += 1
        except (Wrong, OSError, ValueError) as error:
            self.add(Figure(name, "no error", f"{type(error).__name__}: {error}", False))

    def leave_out(self, missing: Missing) -> None:
        say(f"\nLeft out: {missing}.")
        self._left_out += 1

    def exit_code(self) -> int:
        return 1 if self._missed else 2 if self._left_out else 0


def say(text: str) -> None:
    print(text, flush=True)


def spread(values: list[float], unit: str, digits: int = 1) -> str:
    """The median, and of several values the lowest and the highest."""
    median, low, high = (f"{x:,.{digits}f}" for x in (statistics.median(values), min(values), max(values)))
    return f"{median}{unit}" + (f" ({low} to {high})" if len(values) > 1 else "")


def counted(values: Iterable) -> str:
    values = list(values)
    return ", ".join(f"{value}: {values.count(value):,}" for value in sorted(set(values))) or "none"


# ---------------------------------------------------------------- a script's frame


def arguments(doc: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=doc,
        epilog="Exits 1 if a figure of adieu misses its bound, 2 if something could not be measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", choices=[*PROGRAMS, "both"], default="both", help="which to measure")
    return parser


def prepare(choice: str, report: Report) -> list[Program]:
    """Readies this process to be the load, and returns the chosen programs that are there to be run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended all the same
    os.sched_setaffinity(0, {LOAD_CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    programs = []
    for name in PROGRAMS if choice == "both" else [choice]:
        try:
            programs.append(PROGRAMS[name]())
        except Missing as missing:
            report.leave_out(missing)
    return programs


def main(title: str, doc: str, *experiments: Callable[[Program], Iterable[Figure]]) -> None:
    """A script that puts each program through the same experiments, one table for each program."""
    options, report = arguments(doc).parse_args(), Report()
    for program in prepare(options.server, report):
        report.section(f"{title}: {program.title}", program.judged)
        for experiment in experiments:
            report.run(experiment.__name__.replace("_", " "), experiment(program))
    sys.exit(report.exit_code())
