"""Temporal dev servers, and what they hold."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

from .processes import Process, free_port, run, temporal_binary
from .waiting import NotYet, until


class Scheduler(enum.Enum):
    """The schedulers of the Temporal server."""

    V1 = "v1"
    CHASM = "chasm"


#: The limit of listings is per namespace, and all tests share a namespace.
COMMON = (
    "frontend.namespaceRPS.visibility=500",
    "frontend.globalNamespaceRPS.visibility=500",
)
CHASM = (
    "history.enableChasm=true",
    "history.enableCHASMSchedulerCreation=true",
    "history.enableCHASMSchedulerRouting=true",
    "history.chasmSchedulerCreationRolloutPercent=100",
)


class Server:
    """A dev server that keeps nothing on disk."""

    def __init__(self, scheduler: Scheduler, folder: Path, *, ui: bool = False) -> None:
        self.scheduler = scheduler
        port, ui_port = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.ui_url = f"http://127.0.0.1:{ui_port}"
        args: list[str | Path] = [temporal_binary(), "server", "start-dev"]
        args += ["--ui-port", str(ui_port)] if ui else ["--headless"]
        args += ["--log-level", "error", "--port", str(port)]
        for value in COMMON + (CHASM if scheduler is Scheduler.CHASM else ()):
            args += ["--dynamic-config-value", value]
        self._process = Process(args, folder / f"temporal-{scheduler.value}.log")
        until("the Temporal server", self._is_ready)

    def _is_ready(self) -> bool:
        if not self._process.is_running():
            raise RuntimeError(f"the Temporal server ended: {self._process.printed()}")
        self.cli("operator", "namespace", "describe", "default")
        return True

    def stop(self) -> None:
        """Ends the server."""
        self._process.stop()

    def cli(self, *args: str) -> str:
        """Runs a command of Temporal's CLI, and returns what it prints."""
        return run([temporal_binary(), *args, "--address", self.address])

    def json(self, *args: str) -> Any:
        """Runs a command of Temporal's CLI, and returns its JSON."""
        return json.loads(self.cli(*args, "-o", "json"))

    def schedule(self, schedule_id: str) -> dict[str, Any]:
        """Returns the description of a schedule."""
        found: dict[str, Any] = self.json("schedule", "describe", "--schedule-id", schedule_id)
        return found

    def has_schedule(self, schedule_id: str) -> bool:
        """Returns true if the server knows the schedule."""
        try:
            self.schedule(schedule_id)
        except AssertionError as error:
            if "not found" in str(error).lower():
                return False
            raise
        return True

    def pause(self, schedule_id: str, reason: str) -> None:
        """Pauses a schedule as a person does in the Temporal UI."""
        args = ["--schedule-id", schedule_id, "--pause", "--reason", reason]
        self.cli("schedule", "toggle", *args)

    def unpause(self, schedule_id: str, reason: str) -> None:
        """Unpauses a schedule as a person does in the Temporal UI."""
        args = ["--schedule-id", schedule_id, "--unpause", "--reason", reason]
        self.cli("schedule", "toggle", *args)

    def runs(self, workflow_id: str) -> list[dict[str, Any]]:
        """Returns the runs whose workflow ids begin with `workflow_id` and a hyphen."""
        query = f"WorkflowId STARTS_WITH '{workflow_id}-'"
        found: list[dict[str, Any]] = self.json("workflow", "list", "--query", query)
        return found

    def wait_for_runs(self, workflow_id: str, count: int) -> list[dict[str, Any]]:
        """Waits until the server lists at least `count` runs, and returns them."""

        def enough() -> list[dict[str, Any]]:
            found = self.runs(workflow_id)
            if len(found) < count:
                raise NotYet(f"{len(found)} runs")
            return found

        return until(f"{count} runs of {workflow_id}", enough)
