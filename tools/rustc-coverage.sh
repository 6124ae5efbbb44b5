#!/bin/sh
# The compiler with coverage, for the crates of the workspace: see coverage.sh.
exec "$@" -C instrument-coverage
