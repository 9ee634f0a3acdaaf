"""Who is measured, and how each is built. Whatever cannot be built is named as missing; the rest go on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import harness
from harness import ROOT, Missing, Program

HERE = Path(__file__).resolve().parent
PEERS = ROOT / "benches" / "peers"
BUILD = ROOT / "target" / "compare"
PYTHON_TOOLS = BUILD / "python"
EVERY_CORE = ",".join(map(str, sorted(os.sched_getaffinity(0))))
QUIET = ["nice", "-n", "5"]


class Contestant(NamedTuple):
    """`member` names its crate in benches/peers. A `variant` is another one with a flag: it is
    only put under load. The `limit` is no HTTP server: what a shutdown costs means nothing for it."""

    title: str
    member: str | None = None
    variant: bool = False
    limit: bool = False


CONTESTANTS = {
    "adieu": Contestant("adieu"),
    "go": Contestant("Go net/http, 1 core"),
    "go-all-cores": Contestant("Go net/http, all cores", variant=True),
    "tokio-hyper": Contestant("tokio + hyper", "tokio-hyper"),
    "axum": Contestant("axum", "axum-graceful"),
    "smol-hyper": Contestant("smol + hyper", "smol-hyper-graceful"),
    "trillium": Contestant("trillium-smol", "trillium-server"),
    "async-h1": Contestant("async-h1, the obvious way", "async-h1-accept"),
    "async-h1-nodelay": Contestant("async-h1 + TCP_NODELAY", "async-h1-accept", variant=True),
    "raw-smol": Contestant("raw smol echo (the limit)", "raw-smol", limit=True),
}


def build(name: str) -> Program:
    contestant = CONTESTANTS[name]
    match name:
        case "adieu":
            cargo(ROOT, "--bin", "adieu")
            path = harness.adieu().path
        case "go":
            path = harness.go_original().path
        case "go-all-cores":
            # Go counts the cores it may use when it starts; `Server` grants only one.
            go = harness.go_original().path
            path = wrapper(name, "env", "-u", "GOMAXPROCS", "taskset", "-c", EVERY_CORE, go)
        case "async-h1-nodelay":
            path = wrapper(name, build("async-h1").path, "--nodelay")
        case _:
            cargo(PEERS, "--locked", "-p", contestant.member)
            path = PEERS / "target" / "release" / contestant.member
    return Program(contestant.title, path, judged=name == "adieu")


def cargo(where: Path, *arguments) -> None:
    """Each member is built in a run of its own: cargo would otherwise give each the features of all."""
    command = [harness.tool("cargo", "cargo"), "build", "--release", *map(str, arguments)]
    if subprocess.run([*QUIET, *command, "--quiet"], cwd=where).returncode:
        raise Missing(f"a build is missing: see the errors of `{' '.join(command[1:])}` in {where}")


def wrapper(name: str, *command) -> Path:
    path = BUILD / name
    path.write_text(f'#!/bin/sh\nexec {" ".join(map(str, command))} "$@"\n')
    path.chmod(0o755)
    return path


def crates(name: str) -> tuple[int, list[str]] | None:
    """How many crates the server pulls in, and which versions it names itself. Its own workspace does not
    count, nor does what only builds or tests need."""
    member = CONTESTANTS[name].member
    if member is None and name != "adieu":
        return None
    where, package = (PEERS, member) if member else (ROOT, "adieu")
    tree = ["cargo", "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "depth"]
    lines = subprocess.run(tree, cwd=where, capture_output=True, text=True, check=True).stdout.splitlines()
    foreign = [line.removesuffix(" (*)") for line in lines if "(/" not in line]
    direct = [line[1:] for line in foreign if line[0] == "1" and not line[1].isdigit()]
    return len({line.lstrip("0123456789") for line in foreign}), direct


# ---------------------------------------------------------------- the tools


def python_tools() -> Path:
    """A Python with matplotlib, and beside it a recent Go: both from PyPI, in a place of their own."""
    wanted, mark = HERE / "requirements.txt", PYTHON_TOOLS / "installed.txt"
    if not mark.exists() or mark.read_text() != wanted.read_text():
        harness.say("Installing matplotlib and Go into target/compare/python, once.")
        pip = [PYTHON_TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", wanted]
        if (
            subprocess.run([sys.executable, "-m", "venv", PYTHON_TOOLS]).returncode
            or subprocess.run(pip).returncode
        ):
            raise Missing(
                "matplotlib and Go are missing: run `apt-get install python3-venv` and "
                "`pip install -r benches/compare/requirements.txt` in a venv at target/compare/python"
            )
        mark.write_text(wanted.read_text())
    return PYTHON_TOOLS / "bin"
