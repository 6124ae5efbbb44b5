#!/bin/bash
# Measures which lines the tests run of `times`, `jq`, `steps` and `core`: 90 % at least; of
# `workflows`: 80 %. Fails below these limits. PERCENT is the limit of the first four:
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
packages=(-p almanac-times -p almanac-jq -p almanac-steps -p almanac-core -p almanac-workflows)
# Workflow code runs under the SDK only. These end-to-end tests run or replay it in their own
# process, on a real server and without the worker.
e2e=(-p almanac-tests --test e2e)
modules=(replay:: reconcile_workflow:: run_definition::)

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
export RUSTC_WORKSPACE_WRAPPER=$PWD/tools/rustc-coverage.sh
export LLVM_PROFILE_FILE=$folder/%p-%m.profraw
"$cargo" test --locked "${packages[@]}" --no-run --message-format=json >"$folder/build.json"
"$cargo" test --locked "${e2e[@]}" --no-run --message-format=json >>"$folder/build.json"
"$cargo" test --locked "${packages[@]}"
"$cargo" test --locked "${e2e[@]}" -- "${modules[@]}"
"$profdata" merge -sparse "$folder"/*.profraw -o "$folder/all.profdata"
"$python" tools/coverage.py objects "$folder/build.json" >"$folder/objects"
mapfile -t objects <"$folder/objects"
"$cov" export -format=lcov -instr-profile="$folder/all.profdata" \
    "${objects[0]}" "${objects[@]/#/--object=}" >"$folder/lines.info"
rm -f "$folder"/*.profraw
"$python" tools/coverage.py table "$folder/lines.info" "$limit"
