#!/bin/sh
# Every test, on a fresh Debian 12: installs what is missing, builds (with sanitizers in
# build-test/, plain in build/, for fuzzing in build-fuzz/), runs unit tests, most of them again
# under valgrind, a short fuzz run and the integration tests. The last line is
# "N passed, N failed"; the exit status says the same. Arguments go to pytest:
#
#   sh tests/run.sh -k sandbox
set -eu
cd "$(dirname "$0")/.."
root=$PWD
log=$root/build-test/run
passed=0 failed=0

count() { # PASSED FAILED
	passed=$((passed + $1)) failed=$((failed + $2))
}

step() {
	printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - began))"
}

finish() {
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" = 0 ] && exit 0
	exit 1
}

# build DIRECTORY COMPILER MESON-OPTION... : configured where it is not yet
build() {
	dir=$1 compiler=$2
	shift 2
	[ -f "$dir/build.ninja" ] || CC=$compiler meson setup "$dir" "$@"
}

# A build that fails is one failed test, and there is nothing left to run.
must() {
	"$@" && return 0
	echo "failed: $*" >&2
	count 0 1
	finish
}

unit() { # BUILD MESON-TEST-OPTION...
	dir=$1
	shift
	code=0
	meson test -C "$dir" --no-rebuild --print-errorlogs "$@" >"$log/unit" 2>&1 || code=$?
	cat "$log/unit"
	good=$(awk '/^Ok:/ { print $2 }' "$log/unit")
	bad=$(awk '/^(Fail|Unexpected Pass|Timeout):/ { n += $NF } END { print n + 0 }' "$log/unit")
	[ "$code" = 0 ] || [ "$bad" -gt 0 ] || bad=1
	count "${good:-0}" "$bad"
}

fuzz() { # TARGET...: two at a time
	printf '%s\n' "$@" | xargs -P 2 -I '{}' sh tests/fuzz/one.sh '{}' "$log" >"$log/fuzz"
	cat "$log/fuzz"
	good=$(grep -c '^ok ' "$log/fuzz" || true)
	count "$good" $(($# - good))
}

integration() { # PYTEST-ARGUMENT...
	code=0
	STOWAGE_BUILD=$root/build-test STOWAGE_RELEASE=$root/build PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -m pytest -p no:cacheprovider -q -n 2 --dist loadfile --timeout 300 \
		--junitxml "$log/integration.xml" tests/integration "$@" || code=$?
	numbers=$(/usr/bin/python3 - "$log/integration.xml" <<-'PY' || true
		import sys, xml.etree.ElementTree as xml
		suites = list(xml.parse(sys.argv[1]).getroot().iter("testsuite"))
		total, bad, skipped = (sum(int(suite.get(name)) for suite in suites) for name in
		                       ("tests", "failures", "skipped"))
		bad += sum(int(suite.get("errors")) for suite in suites)
		print(total - bad - skipped, bad + skipped)  # nothing may be skipped
	PY
	)
	[ "$numbers" ] || numbers="0 1"
	[ "$code" = 0 ] || [ "${numbers#* }" -gt 0 ] || numbers="${numbers% *} 1"
	count $numbers
}

began=$(date +%s)
step packages
sh tests/packages.sh install build demo test radosgw swift postfix

step build
rm -rf "$log"
must build build-test gcc -Db_sanitize=address,undefined
must build build gcc
must build build-fuzz clang -Db_sanitize=address,undefined -Dfuzz=true
mkdir -p "$log"
must ninja -C build-test
must ninja -C build
sh tests/servers/busybox.sh build build-test/busybox || echo "busybox's sendmail is not there"
sh tests/servers/exim.sh unpack build-test/exim || echo "exim is not there"
fuzzers=$(meson introspect build-fuzz --targets | /usr/bin/python3 -c '
import json, sys
print(*(t["filename"][0] for t in json.load(sys.stdin) if t["name"].startswith("fuzz_")))')
ninja -C build-fuzz $(for target in $fuzzers; do echo "${target#"$root"/build-fuzz/}"; done) || {
	echo "the fuzz targets do not build" >&2
	fuzzers=
	count 0 1
}

step unit tests
unit build-test -t 3

step unit tests under valgrind
# those that take valgrind long, and those that are scripts, are left out
unit build $(meson test -C build --list 2>/dev/null | sed 's|.* / ||' |
	grep -vxE 'checker.*|client|crash|queue_command|relay(_.*)?|server') -t 10 --wrap "valgrind -q \
	--error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
	--suppressions=$root/tests/valgrind.supp"

step fuzzing
[ -z "$fuzzers" ] || fuzz $fuzzers

step integration tests
integration "$@"

step end
finish
