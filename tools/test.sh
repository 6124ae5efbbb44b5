#!/bin/sh
# Runs all tests, with the tools in $1: those of cargo, and beside them those in a browser. Both
# wait for servers and pages much of the time. Those of deploy/ take seconds, and come first. Runs
# all tests also if some fail, and fails if any does.
set -u
cargo=${CARGO:-cargo}
# First, so that the tests in a browser need not wait for cargo's lock.
$cargo test --locked --workspace --no-run || exit

browser_log=$(mktemp)
"$1/bin/python" -m pytest tests/browser >"$browser_log" 2>&1 &
browser=$!
trap 'rm -f "$browser_log"' EXIT
trap 'kill "$browser"; exit 130' INT TERM

status=0
"$1/bin/python" -m pytest tests/deploy || status=$?
$cargo test --locked --workspace --no-fail-fast || status=$?
echo "the tests in a browser:"
wait "$browser" || status=$?
cat "$browser_log"
exit "$status"
