"""Fixtures of the browser tests: servers, projects, and pages that are watched."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from harness.browsing import LIGHT, Look, Watch, launch, open_context
from harness.demonstration import demonstrate
from harness.processes import ROOT
from harness.projects import Project, Worker
from harness.temporal import Scheduler, Server

Servers = Callable[[Scheduler], Server]
OpenPage = Callable[..., Page]

#: True for a test that has failed.
FAILED = pytest.StashKey[bool]()

#: Pictures of the pages of failed tests.
FAILURES = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "browser"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Returns the dev server of a scheduler, which is started once."""
    started: dict[Scheduler, Server] = {}

    def server(scheduler: Scheduler) -> Server:
        if scheduler not in started:
            started[scheduler] = Server(scheduler, tmp_path_factory.mktemp("temporal"))
        return started[scheduler]

    yield server
    for one in started.values():
        one.stop()


@pytest.fixture(scope="session", params=list(Scheduler), ids=lambda scheduler: scheduler.value)
def project(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project with a worker on each scheduler. Tests share it: each has definitions of its own."""
    shared = Project(servers(request.param), tmp_path_factory.mktemp("shared"))
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture
def own_project(servers: Servers, tmp_path: Path) -> Iterator[Callable[[], Project]]:
    """Makes projects of a test's own, without workers, on one scheduler."""
    made: list[Project] = []

    def make() -> Project:
        made.append(Project(servers(Scheduler.CHASM), tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def shop(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The worker of the demonstration. Tests read its pages, and change nothing."""
    project, worker = demonstrate(servers(Scheduler.V1), tmp_path_factory.mktemp("demonstration"))
    yield worker
    project.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Problems of the test's pages. The test fails at its end if it did not expect them."""
    noted = Watch()
    yield noted
    problems = "\n".join(["problems of the pages:", *noted.unexpected()])
    if request.node.stash.get(FAILED, False):
        print(problems)
    else:
        assert not noted.unexpected(), problems


@pytest.fixture
def open_page(request: pytest.FixtureRequest, browser: Browser, watch: Watch) -> Iterator[OpenPage]:
    """Opens pages of a worker: `open_page(worker)`, or in a look: `open_page(worker, DARK)`."""
    contexts: list[BrowserContext] = []

    def open_one(worker: Worker, look: Look = LIGHT) -> Page:
        context = open_context(browser, look, worker.url, watch)
        contexts.append(context)
        return context.new_page()

    yield open_one
    for context in contexts:
        if request.node.stash.get(FAILED, False):
            draw(request.node.name, context)
        context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the logs of a failed test's workers to its report."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Project | Worker):
                report.sections.append((f"log of {name}", value.diagnosis()))
    return report


def draw(test: str, context: BrowserContext) -> None:
    """Writes pictures of a failed test's pages."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    safe = "".join(letter if letter.isalnum() else "-" for letter in test)
    for number, page in enumerate(context.pages):
        file = FAILURES / f"{safe}-{number}.png"
        page.screenshot(path=file, full_page=True)
        print(f"{page.url}: {file}")
