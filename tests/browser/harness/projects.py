"""A test's project: a name, a folder of definitions, and its workers."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .processes import Process, almanac_binary, free_port, replace, run
from .temporal import Server
from .waiting import NotYet, until

_numbers = itertools.count()

NOTHING: Mapping[str, str] = {}


class Worker:
    """A process of `almanac run`."""

    def __init__(self, project: Project, *flags: str) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        args: list[str | Path] = [almanac_binary(), "run", "--project", project.name]
        args += ["--dir", project.definitions, "--listen", self.address]
        args += ["--debounce", "50ms", *flags]
        log = project.folder / f"worker-{port}.log"
        env = {"TEMPORAL_ADDRESS": project.server.address, "RUST_BACKTRACE": "1"}
        self.process = Process(args, log, env)
        until("the worker to be ready", self._is_ready)

    def _is_ready(self) -> bool:
        if not self.process.is_running():
            raise RuntimeError(f"the worker ended: {self.process.printed()}")
        status, _ = self.get("/readyz")
        return status == 200

    def get(self, path: str, headers: Mapping[str, str] = NOTHING) -> tuple[int, str]:
        """Sends a GET request, and returns the status and the body."""
        return self.request("GET", path, headers)

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = NOTHING,
        body: bytes | None = None,
    ) -> tuple[int, str]:
        """Sends a request, and returns the status and the body. Follows no redirect."""
        request = urllib.request.Request(self.url + path, body, dict(headers), method=method)
        try:
            with _opener.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, path: str) -> Any:
        """Returns the JSON of a GET request."""
        status, body = self.get(path)
        assert status == 200, f"{path}: {status} {body}"
        return json.loads(body)

    def sync(self) -> dict[str, Any]:
        """Reads the files again, waits for a full pass, and returns the answer."""

        def passed() -> dict[str, Any]:
            status, body = self.request("POST", "/admin/sync")
            if status not in (200, 207):
                raise NotYet(f"{status} {body}")
            report: dict[str, Any] = json.loads(body)
            return report

        return until("a pass", passed)

    def diagnosis(self) -> str:
        """Returns the end of the log, for a test that failed."""
        lines = self.process.printed().splitlines()
        name = self.process.log.name
        return "\n".join([f"{name}, the last of {len(lines)} lines:", *lines[-20:]])

    def stop(self) -> None:
        """Kills the worker."""
        self.process.stop()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


#: Loopback addresses need no proxy, whatever the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


class Project:
    """A project with a unique name, and a folder of definitions of its own."""

    def __init__(self, server: Server, folder: Path, name: str | None = None) -> None:
        self.server = server
        self.name = name or f"b{next(_numbers)}"
        self.folder = folder / self.name
        self.definitions = self.folder / "definitions"
        self.definitions.mkdir(parents=True)
        self.workers: list[Worker] = []

    def start(self, *flags: str) -> Worker:
        """Starts a worker, and waits until it is ready."""
        worker = Worker(self, *flags)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Stops the workers."""
        for worker in self.workers:
            worker.stop()

    def write(self, file: str, text: str) -> None:
        """Saves a file of definitions in one step, as editors do."""
        path = self.definitions / file
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text)

    def remove(self, name: str) -> None:
        """Takes a file or a folder out of the definitions, in one step."""
        removed = self.folder / "removed"
        removed.mkdir(exist_ok=True)
        (self.definitions / name).rename(removed / f"{next(_numbers)}")

    def schedule_id(self, definition: str) -> str:
        """Returns the id of a definition's schedule."""
        return f"schedule-{self.name}-{definition}"

    def workflow_id(self, definition: str) -> str:
        """Returns the text with which the ids of a definition's runs begin."""
        return f"{self.name}/{definition}"

    def live(self, definition: str) -> dict[str, Any]:
        """Returns the live schedule of a definition, as Temporal describes it."""
        return self.server.schedule(self.schedule_id(definition))

    def has(self, definition: str) -> bool:
        """Returns true if Temporal has the schedule of a definition."""
        return self.server.has_schedule(self.schedule_id(definition))

    def almanac(self, *args: str) -> str:
        """Runs a command of `almanac` for this project, and returns what it prints."""
        env = {"TEMPORAL_ADDRESS": self.server.address}
        return run([almanac_binary(), *args, "--project", self.name], env)

    def diagnosis(self) -> str:
        """Returns the ends of the workers' logs, for a test that failed."""
        return "\n".join(worker.diagnosis() for worker in self.workers)
