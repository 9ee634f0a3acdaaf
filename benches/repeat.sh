#!/usr/bin/env bash
# Runs the test suite again and again, in the ways in which a suite that depends on luck or on its surroundings
# fails: with a busy loop on one core, under nohup and timeout, without standard input, as another user, and
# twice at the same time. What fails is named; all that was said is in target/repeat/.
#
#   benches/repeat.sh [RUNS]     20 runs with the busy loop, then one of each; about 15 minutes
set -uo pipefail
cd "$(dirname "$0")/.."
runs=${1:-20}
logs=target/repeat
mkdir -p "$logs"
suite=(cargo test --locked --all-features --no-fail-fast)
# What a suite that hangs is given.
bound=(timeout --kill-after=10 600)

# Once, so that no run waits for a compiler.
"${suite[@]}" --no-run --quiet || exit 2
good=0 bad=0

# One run: its name, and its command.
run() {
  local log=$logs/$1.log began=$SECONDS
  "${@:2}" >"$log" 2>&1
  local code=$?
  local skipped
  skipped=$(grep -c '^skipped: ' "$log")
  echo "$1: exit $code, $((SECONDS - began)) s, $skipped skipped"
  grep -E '^test .*FAILED|panicked at|^error: ' "$log" | sort -u
  return "$code"
}

note() { if [ "$1" -eq 0 ]; then good=$((good + 1)); else bad=$((bad + 1)); fi; }

sh -c 'while :; do :; done' &
loop=$!
trap 'kill "$loop" 2>/dev/null' EXIT
taskset -pc 0 "$loop" >/dev/null
for number in $(seq "$runs"); do
  run "busy-$number" "${bound[@]}" "${suite[@]}"
  note $?
done
kill "$loop"

run nohup "${bound[@]}" nohup "${suite[@]}"
note $?
run stdin-closed "${bound[@]}" "${suite[@]}" <&-
note $?

run twice-1 "${bound[@]}" "${suite[@]}" &
first=$!
run twice-2 "${bound[@]}" "${suite[@]}"
note $?
wait "$first"
note $?

# Another user cannot use root's cargo: the test programs are run as they were built.
if [ "$(id -u)" = 0 ]; then
  mapfile -t programs < <("${suite[@]}" --no-run 2>&1 | sed -n 's/.*(\(target[^)]*\)).*/\1/p')
  code=0
  for program in "${programs[@]}"; do
    run "nobody-$(basename "$program")" "${bound[@]}" \
      setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/ PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin \
      "$program" || code=1
  done
  note $code
else
  echo "another user: skipped, needs root"
fi

echo "$good runs passed, $bad failed"
[ "$bad" -eq 0 ]
