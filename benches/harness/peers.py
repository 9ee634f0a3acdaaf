"""The programs of benches/peers/engines: adieu's other protocols, and the engines that they are measured beside."""

import argparse
import sys
from pathlib import Path
from typing import Callable, Iterable

from .server import ROOT, Server, built, free_ports
from .table import Figure, Report, arguments, prepare

WORKSPACE = ROOT / "benches" / "peers"
SAY = "/adieu.echo.Echo/Say"
REPEAT = "/adieu.echo.Echo/Repeat"
WORDS = b"\x0a\x05hello"

_built = WORKSPACE / "target" / "release"


def command(name: str) -> Path:
    return built(_built / name, f"cargo build --release --manifest-path {WORKSPACE.relative_to(ROOT)}/Cargo.toml -p engines")


def serve(name: str, *flags: str) -> Server:
    """Runs the program, which is server1, on a free port."""
    ports = free_ports(1)
    return Server([command(name), f"127.0.0.1:{ports[0]}", *flags], ports)


def options(doc: str, **defaults) -> argparse.Namespace:
    """The script's options: numbers with these defaults, and where the programs were built."""
    global _built
    parser = arguments(doc)
    for name, (default, what) in defaults.items():
        many = {"nargs": "*", "type": type(default[0])} if isinstance(default, list) else {"type": type(default)}
        parser.add_argument(f"--{name}", default=default, help=what, **many)
    parser.add_argument("--peers", type=Path, default=_built, help="where the programs were built")
    chosen = parser.parse_args()
    _built = chosen.peers
    return chosen


def main(title: str, *experiments: Callable[[], Iterable[Figure]]) -> None:
    """Makes the experiments, one table for all of them."""
    prepare("adieu", Report())
    report = Report()
    report.section(title)
    for experiment in experiments:
        report.run(experiment.__name__.replace("_", " "), experiment())
    sys.exit(report.exit_code())
