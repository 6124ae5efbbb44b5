#!/bin/sh
# Runs all tests: those of cargo, then those in a browser, with the tools in $1.
# Runs the latter also if the former fail, and fails if either does.
set -u
status=0
${CARGO:-cargo} test --locked --workspace --no-fail-fast || status=$?
"$1/bin/python" -m pytest tests/browser || status=$?
exit "$status"
