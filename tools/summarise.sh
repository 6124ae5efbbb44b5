#!/bin/bash
# Runs a command that runs tests with cargo and pytest. Closes with each failed
# test, the first lines of its reason, and one line that adds up the results.
# Exits as the command does.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT

start=$SECONDS
"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

grep -E '^(FAILED|ERROR) [^ ]+\.py' "$log" | cut -c 1-500 || true
awk -v lines=6 '
    /^test .* \.\.\. FAILED$/ { failed[++count] = $2 }
    # cargo prints the reasons last: a line with the name, the output, an empty line
    /^---- .* stdout ----$/ { name = $2; left = lines; told = 0; next }
    /^failures:$/ { name = "" }
    /^(Error: |thread .* panicked at |proptest: |Test failed: )/ { told = 1 }
    name != "" && told && left > 0 && NF { reason[name] = reason[name] "    " substr($0, 1, 500) "\n"; left-- }
    END { for (i = 1; i <= count; i++) printf "test %s ... FAILED\n%s", failed[i], reason[failed[i]] }
' "$log"
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
