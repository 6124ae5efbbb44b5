"""The pages and Temporal itself: links into its UI, and what is shown while it is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from conftest import OpenPage
from harness.browsing import LIGHT, PLAIN, visit
from harness.projects import Project
from harness.temporal import Scheduler, Server

DEFINITION = "schedule: { every: 24h }\ndo: [{ a: { set: { b: 1 } } }]\n"

MakeProject = Callable[[Server], Project]


@pytest.fixture
def project_on(tmp_path: Path) -> Iterator[MakeProject]:
    """Makes a project on a server of its own. Both end with the test."""
    made: list[Project] = []

    def make(server: Server) -> Project:
        made.append(Project(server, tmp_path))
        return made[-1]

    yield make
    for project in made:
        project.stop()
        project.server.stop()


def test_runs_link_to_the_ui_of_temporal(
    project_on: MakeProject, browser: Browser, open_page: OpenPage, tmp_path: Path
) -> None:
    server = Server(Scheduler.V1, tmp_path, ui=True)
    project = project_on(server)
    project.write("linked.yaml", DEFINITION)
    worker = project.start("--temporal-ui-url", server.ui_url)
    worker.sync()
    project.almanac("trigger", "linked")
    (run,) = server.wait_for_runs(project.workflow_id("linked"), 1)
    workflow = run["execution"]["workflowId"]
    page = open_page(worker)
    visit(page, "/definitions/linked")
    main = page.get_by_role("main")
    of_run = main.get_by_role("link", name=workflow).first.get_attribute("href") or ""
    link = main.get_by_role("link", name="Temporal", exact=True)
    of_schedule = link.get_attribute("href") or ""
    # The UI of Temporal is not watched: its problems are its own.
    ui = browser.new_context().new_page()
    ui.goto(of_run)
    expect(ui.get_by_role("main")).to_contain_text(workflow)
    ui.goto(of_schedule)
    expect(ui.get_by_role("main")).to_contain_text(project.schedule_id("linked"))
    ui.context.close()


def test_the_definitions_are_shown_while_temporal_is_away(
    project_on: MakeProject, open_page: OpenPage, tmp_path: Path
) -> None:
    server = Server(Scheduler.CHASM, tmp_path)
    project = project_on(server)
    project.write("there.yaml", DEFINITION)
    project.write("broken.yaml", DEFINITION.replace("every", "evry"))
    worker = project.start()
    worker.sync()
    server.stop()
    for look in (LIGHT, PLAIN):
        page = open_page(worker, look)
        page.set_default_timeout(60_000)
        visit(page, "/")
        main = page.get_by_role("main")
        expect(main).to_contain_text("Temporal does not answer")
        expect(main).to_contain_text("there")
        expect(main).to_contain_text("did you mean `every`?")
        visit(page, "/definitions/there")
        expect(main).to_contain_text("every: 24h")
        expect(page.get_by_role("alert")).to_contain_text("The schedule is not shown")
