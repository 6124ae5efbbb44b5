"""A project that is in every state which a page can show."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .projects import Project, Worker
from .temporal import Server
from .waiting import NotYet, until

FILES = Path(__file__).parents[1] / "demonstration"
NAME = "shop"

#: Definitions of the demonstration whose state does not change while tests read it.
BROKEN = "loyalty-expiry"
STALE = "settle-cards"
RUNNING = "pipeline"
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
    return project, worker


def _is_complete(worker: Worker) -> bool:
    page = worker.json("/api/v1/schedules?limit=1000")
    listed = {entry["definition"]: entry["state"] for entry in page["schedules"]}
    others = {name: listed.get(name) for name, state in STATES.items() if listed.get(name) != state}
    if others:
        raise NotYet(f"other states: {others}")
    return True


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
