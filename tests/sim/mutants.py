#!/usr/bin/env python3
"""Breaks the drain in many ways, one at a time, and sees whether the simulation notices within 2,000 seeds.

    python3 tests/sim/mutants.py              all of mutants.toml, and writes tests/sim/MUTANTS.md
    python3 tests/sim/mutants.py linger       those whose name contains a word; writes nothing
    python3 tests/sim/mutants.py --check      only looks whether the text of each is still there

Works in a copy below target/, for about ten minutes. Exits 1 if a mutant survives, does not build, or if its text is
not in the source any more. Needs Python 3.11.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
COPY = ROOT / "target" / "mutants" / "copy"
MUTANTS = Path(__file__).with_name("mutants.toml")
RESULT = Path(__file__).with_name("MUTANTS.md")
SEEDS = 2_000


class Edit(NamedTuple):
    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    name: str
    file: str
    edits: list[Edit]


def read() -> list[Mutant]:
    def mutant(of: dict) -> Mutant:
        edits = [Edit(*edit) if len(edit) == 3 else Edit(of["file"], *edit) for edit in of["edits"]]
        return Mutant(of["name"], of["file"], edits)

    return [mutant(of) for of in tomllib.loads(MUTANTS.read_text())["mutant"]]


def missing(mutant: Mutant) -> list[str]:
    def is_there(edit: Edit) -> bool:
        path = ROOT / "src" / edit.file
        return path.exists() and edit.old in path.read_text()

    return [f"{edit.file} has no {edit.old!r} any more" for edit in mutant.edits if not is_there(edit)]


def main() -> int:
    words = [word for word in sys.argv[1:] if word != "--check"]
    wanted = [mutant for mutant in read() if all(word in mutant.name for word in words)]
    gone = [f"{mutant.name}: {what}" for mutant in wanted for what in missing(mutant)]
    print("\n".join(gone), end="\n" if gone else "")
    if "--check" in sys.argv:
        print(f"{len(wanted)} mutants, {len(gone)} texts missing")
        return int(bool(gone))
    copy()
    if verdict := simulate():
        print(f"The simulation fails already: {verdict}")
        return 1
    rows = []
    for mutant in wanted:
        verdict = try_out(mutant)
        rows.append((mutant, verdict))
        print(f"{mutant.name}: {verdict or 'SURVIVES'}", flush=True)
    caught = sum(bool(verdict) and not verdict.startswith("?") for _, verdict in rows)
    print(f"{caught} passed, {len(rows) - caught} failed")
    if len(sys.argv) == 1:
        RESULT.write_text(table(rows))
    return int(caught < len(rows))


def copy() -> None:
    """Only what has changed since the last time, so that cargo builds no more than it must."""
    list_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(list_files, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {name for name in files.splitlines() if (ROOT / name).exists()}
    for path in [path for path in (COPY / "src").rglob("*.rs") if str(path.relative_to(COPY)) not in names]:
        path.unlink()
    for name in names:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
            shutil.copyfile(ROOT / name, target)


def try_out(mutant: Mutant) -> str:
    """How the simulation caught it; "" if it did not; "? ..." if it could not be tried."""
    if gone := missing(mutant):
        return f"? {gone[0]}"
    paths = {COPY / "src" / edit.file for edit in mutant.edits}
    originals = {path: path.read_text() for path in paths}
    try:
        for edit in mutant.edits:
            path = COPY / "src" / edit.file
            path.write_text(path.read_text().replace(edit.old, edit.new))
        return simulate()
    finally:
        for path, text in originals.items():
            path.write_text(text)


def simulate() -> str:
    cargo = ["cargo", "test", "--quiet", "--test", "sim", "--no-default-features", "--features", "http"]
    target = ["--target-dir", str(COPY.parent)]
    built = subprocess.run([*cargo, *target, "--no-run"], cwd=COPY, capture_output=True, text=True)
    if built.returncode:
        return "? it does not build: " + built.stderr.strip()
    run = [*cargo, *target, "--", "--seeds", str(SEEDS), "--enough", "1"]
    # In a session of its own: what hangs is not cargo, but the simulation that it has started.
    with subprocess.Popen(
        run, cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as run:
        try:
            told, _ = run.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return "it hangs"
    if run.returncode == 0:
        return ""
    found = re.search(r"^seed (\d+):\n  (.*)", told, re.MULTILINE)
    return f"seed {found[1]}, {found[2]:.100}" if found else "it crashes"


def table(rows: list[tuple[Mutant, str]]) -> str:
    lines = [
        "# Mutants",
        "",
        "Each line breaks the drain in one way, and says what the simulation saw first. Written by `mutants.py`;",
        "seeds run on all cores, so which one comes first may differ by a few.",
        "",
        "| mutant | where | caught by |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | `src/{file}` | {verdict or '**survives**'} |" for (name, file, _), verdict in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
