#!/bin/bash
# Runs a command that runs tests with cargo and pytest, and closes with one line
# that adds up their results. Exits as the command does.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT

start=$SECONDS
"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

grep -E '^((---- |test ).* FAILED$|(FAILED|ERROR) [^ ]+\.py)' "$log" || true
awk -v status="$status" -v seconds="$((SECONDS - start))" '
    # cargo: "test result: ok. 3 passed; 0 failed; …"
    # pytest: "1 failed, 3 passed, 1 error in 4.20s"
    /^test result: / || /^(=+ )?[0-9]+ [a-z]+(, [0-9]+ [a-z]+)* in [0-9.]+s/ {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^(failed|errors?)/) failed += $i
            if ($(i + 1) ~ /^(ignored|skipped)/) ignored += $i
        }
    }
    END {
        printf "\ntest result: %s. %d passed; %d failed; %d ignored; 0 measured; 0 filtered out; finished in %d.00s\n",
            (status == 0 ? "ok" : "FAILED"), passed, failed, ignored, seconds
    }' "$log"
exit "$status"
