#!/bin/bash
# Packs a release for this machine into target/archive:
#   almanac-VERSION-HOST.tar.gz    the binary, licenses, the SBOM, completions, manual pages, the
#                                  documentation, the examples, and the files for an installation
#   almanac-VERSION-HOST.cdx.json  the SBOM, in CycloneDX 1.5
#   almanac-VERSION.tgz            the chart, if there is one
#   SHA256SUMS
#
#   tools/release.sh [--binary PATH] [--out FOLDER]
#
# Without --binary, builds the release binary. Only files of the commit HEAD are packed. The same
# commit, binary and tools give the same bytes: entries are sorted, without an owner, and have the
# time of the commit (or SOURCE_DATE_EPOCH). Needs GNU tar (`gtar` on macOS). CARGO_ABOUT and
# CARGO_CYCLONEDX are the folders of these tools.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() {
    echo "error: $*" >&2
    exit 1
}

binary='' out=target/archive
while (($#)); do
    case $1 in
    --binary) binary=${2:?} ;;
    --out) out=${2:?} ;;
    *) fail "unknown argument: $1" ;;
    esac
    shift 2
done
: "${CARGO_ABOUT:?}" "${CARGO_CYCLONEDX:?}"
tar=tar
"$tar" --version | grep -q GNU || tar=gtar
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
name=almanac-$version-$host
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
if [[ -z $binary ]]; then
    tools/build-release.sh
    binary=${CARGO_TARGET_DIR:-target}/release/almanac
fi
[[ $("$binary" --version) == "almanac $version" ]] || fail "$binary is not almanac $version"

# pack FOLDER NAME ARCHIVE: packs the folder NAME in FOLDER.
pack() {
    "$tar" -C "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX --format=ustar -cf - "$2" | gzip -n -9 >"$3"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
work=$(cd "$work" && pwd -P)
content=$work/$name
mkdir -p "$content"/{completions,man} "$work/source"
git archive HEAD | "$tar" -C "$work/source" -xf -
# README.md links to all of these.
(cd "$work/source" && cp -R LICENSE README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs examples deploy "$content")
cp "$binary" "$content/almanac"
"$binary" man --out "$content/man"
for shell in bash elvish fish powershell zsh; do
    "$binary" completion "$shell" >"$content/completions/almanac.$shell"
done
"$CARGO_ABOUT/bin/cargo-about" generate --locked --fail --target "$host" --manifest-path worker/Cargo.toml \
    --config about.toml --output-file "$content/THIRD_PARTY_LICENSES.txt" tools/licenses.hbs
# cargo-cyclonedx writes beside each Cargo.toml, and the paths of these into the SBOM.
(cd "$work/source" && PATH=$CARGO_CYCLONEDX/bin:$PATH "${CARGO:-cargo}" cyclonedx --quiet --format json \
    --spec-version 1.5 --describe binaries --no-build-deps --target "$host" --manifest-path worker/Cargo.toml)
sed "s,file://$work/source,file:///almanac,g" "$work/source/worker/almanac_bin.cdx.json" >"$content/almanac.cdx.json"

rm -rf "$out"
mkdir -p "$out"
pack "$work" "$name" "$out/$name.tar.gz"
cp "$content/almanac.cdx.json" "$out/$name.cdx.json"
if [[ -d $content/deploy/chart ]]; then
    # A chart's archive has a folder with the name of the chart.
    cp -R "$content/deploy/chart" "$work/almanac"
    pack "$work" almanac "$out/almanac-$version.tgz"
fi
sums=(sha256sum)
command -v sha256sum >/dev/null || sums=(shasum -a 256)
(cd "$out" && "${sums[@]}" -- * >"$work/SHA256SUMS")
mv "$work/SHA256SUMS" "$out/"

# The archive works where it is unpacked.
rm -r "$content"
"$tar" -C "$work" -xzf "$out/$name.tar.gz"
(cd "$content" && ./almanac validate examples/definitions)
ls -l "$out"
