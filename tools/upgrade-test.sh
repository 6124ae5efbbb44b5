#!/bin/bash
# Builds the release at the git revision $1, and tests that this version takes over from it while runs
# are in progress. Without $1, the release is the last tag before this commit.
set -euo pipefail
cd "$(dirname "$0")/.."
from=${1:-$(git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null || true)}
if [ -z "$from" ]; then
	echo "no tag of an earlier release; hint: FROM=REVISION names the one to upgrade from" >&2
	exit 1
fi
cargo=${CARGO:-cargo}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree"' EXIT
git worktree add --detach "$tree" "$from"
(cd "$tree" && CARGO_TARGET_DIR="$target/upgrade" $cargo build --locked -p almanac)
ALMANAC_PREVIOUS_BINARY=$target/upgrade/debug/almanac \
	$cargo test --locked --workspace --test e2e -- --ignored upgrades::
