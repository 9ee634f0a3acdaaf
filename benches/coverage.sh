#!/usr/bin/env bash
# Line coverage of src/ by the tests, file by file, then of all, then of the core. Needs: apt-get install llvm-19
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="$PWD/target/coverage"
export RUSTFLAGS="-C instrument-coverage" CARGO_PROFILE_DEV_DEBUG=0
export LLVM_PROFILE_FILE="$CARGO_TARGET_DIR/profiles/%p-%m.profraw"

# What runs and drains services, and HTTP/1.1; not the binary, the sockets and the other protocols.
core='^((clock|error|group|service|shutdown|slot|stage|status|words)[.]rs|(http|register|report|server|supervisor)/.*)$'

rm -rf "$CARGO_TARGET_DIR/profiles"
# The binary and the examples are children of the tests.
cargo build --quiet --bins --examples "$@"
cargo test --tests --no-fail-fast "$@" >&2 || echo "Some tests failed; what ran is counted." >&2

llvm-profdata-19 merge -sparse "$CARGO_TARGET_DIR"/profiles/*.profraw -o "$CARGO_TARGET_DIR/all.profdata"
mapfile -t executables < <(
  cargo test --no-run --tests --message-format=json "$@" 2>/dev/null |
    grep -o '"executable":"[^"]*"' | cut -d'"' -f4
)
objects=()
for executable in "${executables[@]:1}"; do objects+=(-object "$executable"); done
mapfile -t sources < <(git ls-files 'src/*.rs')
llvm-cov-19 report "${executables[0]}" "${objects[@]}" -instr-profile="$CARGO_TARGET_DIR/all.profdata" \
  "${sources[@]/#/$PWD/}" | awk -v core="$core" '
    function row(name, lines, missed) {
      printf "%-28s %5d lines %6.2f%%\n", name, lines, 100 * (lines - missed) / lines
    }
    $8 ~ /^[0-9]+$/ { row($1, $8, $9) }
    $8 ~ /^[0-9]+$/ && $1 ~ core { lines += $8; missed += $9 }
    END { row("the core", lines, missed) }
  '
