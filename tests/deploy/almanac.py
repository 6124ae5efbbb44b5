"""The flags and the variables of the built program."""

from __future__ import annotations

import re
from functools import cache

from harness.processes import almanac_binary, run


@cache
def flags(command: str) -> set[str]:
    """Returns the flags of a command, without those of every program."""
    text = run([almanac_binary(), command, "--help"])
    found = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))
    assert "--project" in found
    return found - {"--help", "--version"}


@cache
def binary() -> bytes:
    """Returns the program itself."""
    return almanac_binary().read_bytes()


def reads(command: str, variable: str) -> bool:
    """Returns true if a command reads this variable.

    The SDK reads those of the connection, which no command lists: their names are in the program.
    """
    if variable.startswith("TEMPORAL_"):
        return variable.encode() in binary()
    flag = variable.removeprefix("ALMANAC_").lower().replace("_", "-")
    return variable.startswith("ALMANAC_") and f"--{flag}" in flags(command)
