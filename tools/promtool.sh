#!/bin/sh
# Prometheus's promtool, for the tests of the alerts.
#   tools/promtool.sh install DIR  puts it into DIR/bin: a link to an installed one, or on Debian the
#                                  one of the package `prometheus`, which is not installed for it
# ALMANAC_PROMTOOL names another one.
set -eu

install() {
    target=$1/bin/promtool
    [ ! -e "$target" ] || return 0
    found=${ALMANAC_PROMTOOL:-$(command -v promtool || true)}
    if [ -n "$found" ]; then
        ln -sf "$found" "$target"
        return
    fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "no promtool for the tests of the alerts; hint: set ALMANAC_PROMTOOL to its path" >&2
        return
    fi
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    if download "$folder" >"$folder/log" 2>&1; then
        dpkg-deb --extract "$folder"/prometheus_*.deb "$folder/package"
        mv "$folder/package/usr/bin/promtool" "$target"
    else
        cat "$folder/log" >&2
        echo "no promtool for the tests of the alerts: the package prometheus cannot be downloaded" >&2
    fi
}

# The lists of packages may be missing or old.
download() {
    (cd "$1" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; })
}

case "${1-}" in
install) install "$2" ;;
*)
    echo "usage: tools/promtool.sh install DIR" >&2
    exit 2
    ;;
esac
