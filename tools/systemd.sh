#!/bin/sh
# `systemd-analyze`, for the tests of the systemd unit.
#   tools/systemd.sh install  installs systemd, if it is missing: on Debian, as root. Nothing starts it
set -eu

command="apt-get update && apt-get install -y --no-install-recommends systemd"

is_root_on_debian() {
    [ "$(id -u)" = 0 ] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null
}

case ${1:-} in
install)
    command -v systemd-analyze >/dev/null ||
        { is_root_on_debian && DEBIAN_FRONTEND=noninteractive sh -c "$command" >/dev/null; } ||
        echo "no systemd-analyze for the tests of the systemd unit; hint: on Debian, run as root: $command" >&2
    ;;
*)
    echo "usage: tools/systemd.sh install" >&2
    exit 2
    ;;
esac
