#!/bin/sh
# Makes a virtual environment at $1 with the pinned tools of requirements.txt,
# schemathesis.txt, browser.txt and deploy.txt.
set -eu
dir=$1
python=${PYTHON:-python3}
here=$(dirname "$0")

install() {
    "$@" install --quiet --disable-pip-version-check --require-hashes \
        -r "$here/requirements.txt" -r "$here/schemathesis.txt" -r "$here/browser.txt" -r "$here/deploy.txt"
}

if "$python" -m venv "$dir"; then
    install "$dir/bin/python" -m pip
elif "$python" -m pip --version >/dev/null 2>&1; then
    # Debian splits ensurepip off; a system pip can still fill the environment.
    "$python" -m venv --without-pip "$dir"
    install "$python" -m pip --python "$dir/bin/python"
else
    echo "error: $python cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2
    exit 1
fi
"$dir/bin/temporal" --version
"$dir/bin/schemathesis" --version
"$dir/bin/playwright" --version
"$dir/bin/python" -c 'import helm_python; print("Helm", helm_python.helm_sdk_version())'
[ ! -e "$dir/bin/nats-server" ] || "$dir/bin/nats-server" --version
