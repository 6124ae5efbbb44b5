"""The pages of the demonstration: tests read each of them, and `make screenshots` draws it."""

from __future__ import annotations

from dataclasses import dataclass

from .demonstration import BROKEN, LONG, RUNNING, STALE


@dataclass(frozen=True)
class PageOf:
    """A page, with a name that can be that of a file."""

    name: str
    path: str


PAGES = (
    PageOf("schedules", "/"),
    PageOf("definition-running", f"/definitions/{RUNNING}"),
    PageOf("definition-stale", f"/definitions/{STALE}"),
    PageOf("definition-broken", f"/definitions/{BROKEN}"),
    PageOf("definition-long-name", f"/definitions/{LONG}"),
    PageOf("errors", "/errors"),
    PageOf("timeline", "/timeline"),
    PageOf("timeline-week", "/timeline?span=week"),
    PageOf("plan", "/plan"),
    PageOf("activity", "/activity"),
    PageOf("form-pause", f"/definitions/{RUNNING}/pause"),
    PageOf("form-override", f"/definitions/{RUNNING}/override"),
    PageOf("form-backfill", f"/definitions/{RUNNING}/backfill"),
    PageOf("form-confirm", "/confirm"),
    PageOf("form-suspend", "/suspend"),
)
