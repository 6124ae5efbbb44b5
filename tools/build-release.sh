#!/bin/bash
# Builds the release binary, target/release/almanac, without the paths of this machine: rustc writes
# the path of a source file into the binary for each place that can panic or log. Then checks that
# the binary has none of these paths.
set -euo pipefail
cd "$(dirname "$0")/.."
workspace=$(pwd -P)
target=${CARGO_TARGET_DIR:-target}
[[ $target == /* ]] || target=$workspace/$target
home=${HOME:-}
home=${home%/}
# In a container the home may be the root, which is the beginning of every path.
home=${home:-/root}
cargo_home=${CARGO_HOME:-$home/.cargo}

# Cargo reads one of two variables, so the flags of the caller are taken over. Flags in a
# configuration file of Cargo are not. The last prefix that matches decides, so the most general one
# comes first.
flags=()
if [[ -n ${CARGO_ENCODED_RUSTFLAGS:-} ]]; then
    IFS=$'\x1f' read -ra flags <<<"$CARGO_ENCODED_RUSTFLAGS"
elif [[ -n ${RUSTFLAGS:-} ]]; then
    read -ra flags <<<"$RUSTFLAGS"
fi
flags+=(
    "--remap-path-prefix=$home=/home"
    "--remap-path-prefix=$cargo_home=/cargo"
    "--remap-path-prefix=$workspace=/almanac"
    "--remap-path-prefix=$target=/almanac/target"
)
# Some distributions for 64-bit ARM have memory pages of 64 KiB: docs/adr/0020-allocator.md.
export AARCH64_UNKNOWN_LINUX_GNU_JEMALLOC_SYS_WITH_LG_PAGE=16
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo -n "${flags[*]}") \
    "${CARGO:-cargo}" build --release --locked -p almanac

texts=$(LC_ALL=C tr -cs '[:print:]' '\n' <"$target/release/almanac")
for folder in "$home" "$cargo_home/registry" "$workspace/worker" "$target/release"; do
    # With a slash, since a short path may be the beginning of another text.
    status=0
    found=$(LC_ALL=C grep -F "$folder/" <<<"$texts") || status=$?
    if ((status == 0)); then
        echo "error: the binary has paths of this machine, such as $folder:" >&2
        head -n 10 <<<"$found" | cut -c 1-200 >&2
        exit 1
    elif ((status > 1)); then
        echo "error: cannot search the binary for $folder" >&2
        exit 1
    fi
done
