#!/bin/bash
# Fuzzes a target of tests/fuzz for a number of seconds, or all targets one after the other:
#
#   tools/fuzz.sh all|TARGET SECONDS
#
# Inputs that reach new code are kept in target/fuzz/corpus/TARGET, and an input that breaks a
# promise in target/fuzz/findings/TARGET. It needs a C++ compiler, and builds with a stable
# toolchain: the compiler's coverage pass is asked for by its name, as `cargo fuzz` does.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
targets=$1
seconds=$2
if [ "$targets" = all ]; then
    targets=$(ls tests/fuzz/corpus)
fi
for target in $targets; do
    [ -d "tests/fuzz/corpus/$target" ] || {
        echo "error: no target $target, only: $(ls tests/fuzz/corpus | xargs)" >&2
        exit 1
    }
done

folder=${CARGO_TARGET_DIR:-target}/fuzz
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -C passes=sancov-module -C codegen-units=1"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -C llvm-args=-sanitizer-coverage-$flag"
done
# Fast, with the checks of a debug build. With `--target`, the flags spare build scripts.
RUSTFLAGS="$flags" \
    CARGO_PROFILE_DEV_OPT_LEVEL=2 \
    CARGO_PROFILE_DEV_DEBUG=line-tables-only \
    CARGO_INCREMENTAL=0 \
    CARGO_TARGET_DIR="$folder" \
    "$cargo" build --locked -p almanac-fuzz --features fuzzer --bin fuzzer --target "$host"

failed=()
for target in $targets; do
    mkdir -p "$folder/corpus/$target" "$folder/findings/$target"
    echo "== $target, $seconds s"
    ALMANAC_FUZZ_TARGET=$target "$folder/$host/debug/fuzzer" \
        -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$folder/findings/$target/" \
        "$folder/corpus/$target" "tests/fuzz/corpus/$target" \
        || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "error: a promise is broken, see $folder/findings: ${failed[*]}" >&2
    exit 1
fi
