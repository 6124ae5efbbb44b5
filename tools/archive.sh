#!/bin/bash
# Builds the release binary for this machine and packs it as target/archive/almanac-VERSION-HOST.tar.gz.
set -euo pipefail
cd "$(dirname "$0")/.."
"${CARGO:-cargo}" build --release --locked -p almanac
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=almanac-$version-$host
folder=target/archive
rm -rf "$folder"
mkdir -p "$folder/$name"
cp target/release/almanac LICENSE README.md CHANGELOG.md "$folder/$name/"
tar -C "$folder" -czf "$folder/$name.tar.gz" "$name"
rm -r "${folder:?}/$name"
ls -l "$folder"
