"""Waiting for conditions, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Maximum time in seconds for anything that should happen soon. A machine that builds
#: other things beside the tests may take this long for what else takes a second.
SOON = 60.0


class NotYet(Exception):
    """A condition that does not hold yet, with the reason."""


def until(what: str, check: Callable[[], T], timeout: float = SOON) -> T:
    """Waits until `check` returns a true value, and returns that value.

    A check that fails is tried again. The last failure is part of the error.
    """
    deadline = time.monotonic() + timeout
    pause = 0.02
    while True:
        failure: Exception | None = None
        try:
            value = check()
            if value:
                return value
        except (NotYet, OSError, AssertionError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s for: {what}") from failure
        time.sleep(pause)
        pause = min(pause * 2, 0.25)
