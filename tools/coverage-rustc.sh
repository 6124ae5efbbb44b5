#!/bin/sh
# The compiler with coverage, for the crates of the workspace: see coverage.sh. With the second
# option, a program counts in a file that it maps into memory, so that a killed program counts too.
exec "$@" -C instrument-coverage -C llvm-args=-runtime-counter-relocation
