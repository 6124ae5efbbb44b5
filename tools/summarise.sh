#!/bin/bash
# Runs a `cargo test` command, and closes with one line that adds up its
# results. Exits as the command does.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT

start=$SECONDS
"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

grep -E '^(---- |test .* FAILED$)' "$log" | grep FAILED || true
awk -v status="$status" -v seconds="$((SECONDS - start))" '
    /^test result: / {
        for (i = 3; i < NF; i++) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^failed/) failed += $i
            if ($(i + 1) ~ /^ignored/) ignored += $i
        }
    }
    END {
        printf "\ntest result: %s. %d passed; %d failed; %d ignored; 0 measured; 0 filtered out; finished in %d.00s\n",
            (status == 0 ? "ok" : "FAILED"), passed, failed, ignored, seconds
    }' "$log"
exit "$status"
