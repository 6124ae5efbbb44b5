#!/bin/sh
# Makes a virtual environment at $1 with the pinned tools of requirements.txt.
set -eu
dir=$1
python=${PYTHON:-python3}
here=$(dirname "$0")

if ! "$python" -m venv "$dir"; then
    # Debian splits ensurepip off; a system pip can still fill the environment.
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip "$dir"
        "$python" -m pip --python "$dir/bin/python" install --quiet \
            --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
        exec "$dir/bin/temporal" --version
    fi
    echo "error: $python cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2
    exit 1
fi
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
"$dir/bin/temporal" --version
