#!/bin/sh
# one.sh TARGET DIRECTORY: fuzzes with a built target for FUZZ_SECONDS (5), from its corpus in
# this folder and from FUZZ_SEED (1: the same inputs each time, so that what fails is of the
# change; 0: others each time). What it found and its log are left in DIRECTORY; says so in one
# line.
set -eu
target=$1 name=$(basename "$1") out=$2
name=${name#fuzz_}
corpus=$(dirname "$0")/corpus/$name
mkdir -p "$out/corpus/$name" "$out/findings"
[ -d "$corpus" ] || corpus=
if "$target" -max_total_time="${FUZZ_SECONDS:-5}" -seed="${FUZZ_SEED:-1}" -timeout=30 -rss_limit_mb=2048 \
	-print_final_stats=1 -artifact_prefix="$out/findings/$name-" \
	"$out/corpus/$name" $corpus >"$out/fuzz-$name" 2>&1; then
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/fuzz-$name")
	echo "ok      fuzz $name: $runs inputs"
else
	tail -n 60 "$out/fuzz-$name"
	echo "FAILED  fuzz $name: see $out"
fi
