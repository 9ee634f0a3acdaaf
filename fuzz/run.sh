#!/usr/bin/env bash
# Fuzzes each target for a minute, or for as many seconds as the first argument says.
# Needs `cargo install cargo-fuzz`. A finding is left in fuzz/artifacts/ and ends the run with an error.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
# cargo-fuzz asks for a nightly compiler's flags; a stable one takes them too if told so. The crate has
# no unsafe code on these paths, so there is nothing for a sanitizer to find.
export RUSTC_BOOTSTRAP=1
for target in head destination framing connection proxy http2; do
  echo "== $target"
  # What is found to be new goes to fuzz/target/, not to the committed corpus.
  new=fuzz/target/corpus/$target
  mkdir -p "$new"
  cargo fuzz run --sanitizer none "$target" "$new" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
done
