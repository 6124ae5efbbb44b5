#!/bin/bash
# Measures which lines the tests run of `times`, `jq`, `events`, `steps`, `core` and `workflows`, and
# fails if it is less than PERCENT of the lines of one of these crates:
#
#   tools/coverage.sh PERCENT
#
# The end-to-end tests need the programs of `make tools`. The script itself needs `llvm-profdata`
# and `llvm-cov` of the LLVM release that rustc is built with: from `rustup component add
# llvm-tools`, or from the system's packages (on Debian: llvm-22).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
python=${PYTHON:-python3}
limit=$1
# Workflow code runs under the SDK only. These end-to-end tests run it on a real server, in their
# own process or in workers, or replay it.
modules=(replay:: reconcile_with_fake_workers:: run_definition:: manual_run_steps:: manual_runs:: suspension:: overrides:: adopting:: commands:: steps::)

version=$("${RUSTC:-rustc}" -vV)
release=$(sed -n 's/^LLVM version: \([0-9]*\).*/\1/p' <<<"$version")
host=$(sed -n 's/^host: //p' <<<"$version")
component=$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$host/bin
tool() {
    local found
    for found in "$component/$1" "$1-$release" "$1"; do
        if "$found" --version 2>/dev/null | grep -q "LLVM version $release\."; then
            echo "$found"
            return
        fi
    done
    echo "error: no $1 of LLVM $release (rustup component add llvm-tools)" >&2
    return 1
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

folder=$PWD/target/coverage
rm -rf "$folder"
mkdir -p "$folder"
# Only the workspace is compiled with coverage, beside the usual build and without replacing it.
export RUSTC_WORKSPACE_WRAPPER=$PWD/tools/coverage-rustc.sh
# All processes of a program count in one file (%m), from the start (%c): the tests kill workers.
export LLVM_PROFILE_FILE=$folder/%m%c.profraw
# The test `binary` brings the `almanac` binary, as the end-to-end tests build it.
build=(--locked --workspace --lib --test e2e --test binary)
"$cargo" test "${build[@]}" --no-run --message-format=json >"$folder/build.json"
"$cargo" test --locked --workspace --lib
"$cargo" test --locked --workspace --test e2e -- "${modules[@]}"
"$profdata" merge -sparse "$folder"/*.profraw -o "$folder/all.profdata"
"$python" tools/coverage.py objects "$folder/build.json" >"$folder/objects"
mapfile -t objects <"$folder/objects"
"$cov" export -format=lcov -instr-profile="$folder/all.profdata" \
    "${objects[0]}" "${objects[@]/#/--object=}" >"$folder/lines.info"
rm -f "$folder"/*.profraw
"$python" tools/coverage.py table "$folder/lines.info" "$limit"
