#!/bin/sh
# The browser of the browser tests: Chromium's headless shell, which is Chromium without windows, or
# any Chromium or Chrome. A page in a window takes more processor time.
#   tools/chromium.sh install  installs the headless shell, if it is missing: on Debian, as root
#   tools/chromium.sh path     prints its path; ALMANAC_CHROMIUM names another one
# Without a browser, `path` fails and names the command that installs one.
set -eu

# Fonts too: without any, a page has no text.
command="apt-get update && apt-get install -y --no-install-recommends chromium-headless-shell fonts-liberation"

path() {
    if [ -n "${ALMANAC_CHROMIUM:-}" ]; then
        echo "$ALMANAC_CHROMIUM"
    else
        command -v chromium-headless-shell || command -v chromium || command -v chromium-browser ||
            command -v google-chrome
    fi
}

missing() {
    cat >&2 <<END
no Chromium for the browser tests; hint: on Debian, run as root
    $command
or set ALMANAC_CHROMIUM to the path of a Chromium or Chrome
END
}

install() {
    DEBIAN_FRONTEND=noninteractive sh -c "$command" >/dev/null
}

has_shell() {
    [ -n "${ALMANAC_CHROMIUM:-}" ] || command -v chromium-headless-shell >/dev/null
}

is_root_on_debian() {
    [ "$(id -u)" = 0 ] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null
}

case ${1:-} in
install)
    # The other tests need no browser, so its absence ends nothing here.
    has_shell || { is_root_on_debian && install; } || path >/dev/null || missing
    ;;
path)
    path || { missing; exit 1; }
    ;;
*)
    echo "usage: tools/chromium.sh install|path" >&2
    exit 2
    ;;
esac
