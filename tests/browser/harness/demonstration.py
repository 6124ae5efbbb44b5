"""A project that is in every state which a page can show."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .projects import Project, Worker
from .temporal import Server
from .waiting import NotYet, until

FILES = Path(__file__).parents[1] / "demonstration"
NAME = "shop"

#: Headers of a request with an event.
EVENT = {"content-type": "application/cloudevents+json"}

#: Definitions of the demonstration whose state does not change while tests read it.
BROKEN = "loyalty-expiry"
STALE = "settle-cards"
RUNNING = "pipeline"
EVENTS = "capture-payment"
LONG = (
    "a-definition-with-a-very-long-name-that-no-column-can-hold-and-that-must-not-make-the-page-"
    "wider-than-the-window-on-any-phone"
)

#: States of `GET /api/v1/schedules` that the demonstration waits for.
STATES = {
    "warehouse-sync": "conflict",
    "export-01": "held",
    "once": "finished",
    "price-import": "overridden",
    "log-rotation": "overridden",
    "newsletter-digest": "paused",
    "card-fraud-scores": "paused",
    "year-end-report": "paused",
    "heartbeat": "active",
}


def demonstrate(server: Server, folder: Path) -> tuple[Project, Worker]:
    """Starts the demonstration, and returns when all states are there."""
    project = Project(server, folder, NAME)
    shutil.copytree(FILES / "first", project.definitions, dirs_exist_ok=True)
    _stand_in_the_way(project, "warehouse-sync")
    # Drift is only reported, so that it stays.
    worker = project.start("--drift", "report")

    with ThreadPoolExecutor() as commands:
        acts = [
            commands.submit(act, project)
            for act in (_start_runs, _pause, _override, _override_pause, _drift)
        ]
        for act in acts:
            act.result()

    project.server.wait_for_runs(project.workflow_id(RUNNING), 1)
    shutil.copytree(FILES / "later", project.definitions, dirs_exist_ok=True)
    shutil.rmtree(project.definitions / "legacy")
    worker.sync()
    until("the states of the demonstration", lambda: _is_complete(worker))
    _send_events(worker)
    return project, worker


def _is_complete(worker: Worker) -> bool:
    page = worker.json("/api/v1/schedules?limit=1000")
    listed = {entry["definition"]: entry["state"] for entry in page["schedules"]}
    others = {name: listed.get(name) for name, state in STATES.items() if listed.get(name) != state}
    if others:
        raise NotYet(f"other states: {others}")
    return True


def _send_events(worker: Worker) -> None:
    """Sends an event for each state of a delivery that a worker gives at once."""
    authorized = "com.shop.payment.authorized"
    for number, (kind, source, data) in enumerate(
        (
            (authorized, "/shop/checkout", {"order": "A-1041", "amount": 59.9}),
            ("com.shop.cart.abandoned", "/shop/web", {"cart": 7731}),
            (authorized, "/shop/checkout", {"order": "A-1042", "amount": 12}),
            (authorized, "/shop/pos/berlin-mitte", {"order": "B-7", "amount": -3}),
            (f"{LONG}.{LONG}", f"/{LONG}/{LONG}", {"note": LONG * 8}),
            ("com.shop.refund.paid", "/shop/support", {"order": "A-0988", "amount": 18.5}),
        )
    ):
        event = {"specversion": "1.0", "id": f"evt-{number:04}", "source": source, "type": kind}
        body = json.dumps(event | {"time": "2026-03-02T09:30:00Z", "data": data}).encode()
        status, answer = worker.request("POST", "/events", EVENT, body)
        assert status in (202, 204, 422), f"{status} {answer}"


def _stand_in_the_way(project: Project, definition: str) -> None:
    """Creates an unmanaged schedule that has the id of a definition's schedule."""
    args = ["--schedule-id", project.schedule_id(definition), "--interval", "6h"]
    args += ["--workflow-id", "legacy-etl", "--type", "Etl", "--task-queue", "legacy"]
    project.server.cli("schedule", "create", *args)


def _start_runs(project: Project) -> None:
    project.almanac("trigger", RUNNING, "--reason", "the warehouse asked for it")
    backfill = ["--from", "2026-03-02", "--to", "2026-03-14", "--overlap", "allow-all"]
    project.almanac("backfill", "invoices", *backfill, "--reason", "late data")


def _pause(project: Project) -> None:
    reason = "the mail provider moves, ask Mira <mira@example.com>"
    project.server.pause(project.schedule_id("newsletter-digest"), reason)


def _override(project: Project) -> None:
    reason = "the suppliers are late tonight"
    args = ["--set", "cron=*/5 * * * *", "--reason", reason, "--for", "4h"]
    project.almanac("override", "price-import", *args)


def _override_pause(project: Project) -> None:
    project.almanac("pause", "log-rotation", "--reason", "disk full", "--for", "2h")


def _drift(project: Project) -> None:
    """Replaces the body of a schedule, as a script that does not know Almanac does."""
    args = ["--schedule-id", project.schedule_id("search-reindex"), "--cron", "0 5 * * *"]
    args += ["--workflow-id", project.workflow_id("search-reindex")]
    args += ["--type", "ReindexEverything", "--task-queue", "search"]
    project.server.cli("schedule", "update", *args)
