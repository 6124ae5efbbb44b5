"""The pages of the demonstration: tests read each of them, and `make screenshots` draws it."""

from __future__ import annotations

from dataclasses import dataclass

from .demonstration import BROKEN, EVENTS, LONG, RUNNING, STALE
from .projects import Worker


@dataclass(frozen=True)
class PageOf:
    """A page, with a name that can be that of a file."""

    name: str
    #: `{delivery}` stands for the id of the delivery that was refused.
    path: str

    def address(self, worker: Worker) -> str:
        """Returns the path of the page on a worker."""
        if "{delivery}" not in self.path:
            return self.path
        refused = worker.json("/api/v1/events?state=refused")["deliveries"]
        return self.path.format(delivery=refused[0]["id"])


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
    PageOf("events", "/events"),
    PageOf("events-none", "/events?q=nothing-has-this"),
    PageOf("delivery", "/events/{delivery}"),
    PageOf("definition-events", f"/definitions/{EVENTS}"),
    PageOf("form-pause", f"/definitions/{RUNNING}/pause"),
    PageOf("form-override", f"/definitions/{RUNNING}/override"),
    PageOf("form-backfill", f"/definitions/{RUNNING}/backfill"),
    PageOf("form-replay", "/events/{delivery}/replay"),
    PageOf("form-confirm", "/confirm"),
    PageOf("form-suspend", "/suspend"),
)
