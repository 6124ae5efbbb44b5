#!/bin/bash
# Builds the release binary for this machine and packs it as
# target/archive/almanac-VERSION-HOST.tar.gz, with the documentation, the examples and the files for
# an installation. Then unpacks the archive and runs the binary in it.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/build-release.sh
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=almanac-$version-$host
folder=target/archive
rm -rf "$folder"
mkdir -p "$folder/$name"
cp "${CARGO_TARGET_DIR:-target}/release/almanac" "$folder/$name/"
# README.md links to all of these.
cp -R LICENSE README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs examples deploy "$folder/$name/"
# Without the copies of attributes that macOS would add.
COPYFILE_DISABLE=1 tar -C "$folder" -czf "$folder/$name.tar.gz" "$name"
rm -r "${folder:?}/$name"

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -C "$unpacked" -xzf "$folder/$name.tar.gz"
cd "$unpacked/$name"
[ "$(./almanac --version)" = "almanac $version" ]
./almanac validate examples/definitions
cd "$OLDPWD"
ls -l "$folder"
