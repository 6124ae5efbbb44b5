"""Changes appear on open pages without a reload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect

from conftest import OpenPage
from harness.browsing import visit
from harness.projects import Project

GOOD = "schedule: { every: 1h }\ndo: [{ a: { wait: { seconds: 3 } } }]\n"
LISTENS = """
schedule: { every: 1h }
do: [{ a: { listen: { to: { one: { with: { type: com.example.go } } } } } }]
"""
EVENT = '{"specversion": "1.0", "id": "1", "source": "/tests", "type": "com.example.go"}'
BAD = "schedule: { evry: 1h }\ndo: [{ a: { wait: { seconds: 3 } } }]\n"


@contextmanager
def no_reload(page: Page) -> Iterator[None]:
    """Fails if the page is loaded again meanwhile."""
    page.evaluate("() => { window.sameDocument = true; }")
    yield
    assert page.evaluate("() => window.sameDocument === true"), "the page was loaded again"


def row(page: Page, definition: str) -> Locator:
    """Returns the row of a definition in the list of schedules."""
    return page.locator(f"[id='r-{definition}']")


def test_a_save_appears(project: Project, open_page: OpenPage) -> None:
    # The removal of a project's only schedule would be held.
    project.write("stays.yaml", GOOD)
    page = open_page(project.workers[0])
    visit(page, "/")
    with no_reload(page):
        project.write("saved.yaml", GOOD)
        expect(row(page, "saved")).to_contain_text("every 1h")
        project.write("saved.yaml", BAD)
        expect(row(page, "saved")).to_contain_text("1 error")
        expect(row(page, "saved")).to_contain_text("Stale")
        row(page, "saved").get_by_role("link", name="1 error").hover()
        expect(row(page, "saved").get_by_role("tooltip")).to_contain_text("did you mean `every`?")
        project.write("saved.yaml", GOOD.replace("1h", "2h"))
        expect(row(page, "saved")).to_contain_text("every 2h")
        expect(row(page, "saved")).not_to_contain_text("error")
        # Rows do not move under the pointer.
        page.mouse.move(0, 0)
        project.remove("saved.yaml")
        expect(row(page, "saved")).to_have_count(0)


def test_a_manual_pause_appears(project: Project, open_page: OpenPage) -> None:
    project.write("paused-there.yaml", GOOD)
    project.workers[0].sync()
    page = open_page(project.workers[0])
    visit(page, "/")
    with no_reload(page):
        project.server.pause(project.schedule_id("paused-there"), "as in the Temporal UI")
        expect(row(page, "paused-there")).to_contain_text("as in the Temporal UI")
        project.server.unpause(project.schedule_id("paused-there"), "on")
        expect(row(page, "paused-there")).not_to_contain_text("Paused")


def test_a_run_appears_on_the_timeline(project: Project, open_page: OpenPage) -> None:
    project.write("on-the-axis.yaml", GOOD)
    project.workers[0].sync()
    page = open_page(project.workers[0])
    visit(page, "/timeline?q=on-the-axis")
    marks = page.locator(".lane").get_by_role("group")
    expect(marks).to_have_attribute("aria-label", re.compile("^0 runs"))
    with no_reload(page):
        project.almanac("trigger", "on-the-axis")
        expect(marks).to_have_attribute("aria-label", re.compile("^1 runs?,"))


def test_the_end_of_a_run_appears(project: Project, open_page: OpenPage) -> None:
    project.write("running.yaml", LISTENS)
    project.workers[0].sync()
    page = open_page(project.workers[0])
    visit(page, "/")
    with no_reload(page):
        project.almanac("trigger", "running")
        expect(row(page, "running")).to_contain_text("Running")
        (run,) = project.server.wait_for_runs(project.workflow_id("running"), 1)
        workflow = ["--workflow-id", run["execution"]["workflowId"], "--name", "event"]
        project.server.cli("workflow", "signal", *workflow, "--input", EVENT)
        expect(row(page, "running")).to_contain_text("Completed")


def test_a_page_is_read_again_only_for_its_own_definition(project: Project, open_page: OpenPage) -> None:
    project.write("watched.yaml", GOOD)
    project.workers[0].sync()
    page = open_page(project.workers[0])
    read: list[str] = []
    page.on("request", lambda request: read.append(request.url.rpartition("/")[2]))
    visit(page, "/definitions/watched")
    # A page that begins to listen is read once more.
    page.wait_for_timeout(2000)
    del read[:]
    with no_reload(page), page.expect_request("**/definitions/watched?frame"):
        project.write("other.yaml", GOOD)
    assert "watched" not in read, read
    with no_reload(page):
        project.write("watched.yaml", GOOD.replace("1h", "2h"))
        expect(page.locator("main")).to_contain_text("every 2h")


def test_an_open_message_stays_open(project: Project, open_page: OpenPage) -> None:
    """A person who reads a message is not disturbed by changes of other rows."""
    project.write("read.yaml", BAD)
    project.workers[0].sync()
    page = open_page(project.workers[0])
    visit(page, "/")
    badge = row(page, "read").get_by_role("link", name="1 error")
    with no_reload(page):
        badge.focus()
        expect(row(page, "read").get_by_role("tooltip")).to_be_visible()
        project.write("beside.yaml", GOOD)
        # The order of rows waits, so that nothing moves under the focus.
        order = page.get_by_role("button", name="The order has changed")
        expect(order).to_be_visible()
        expect(badge).to_be_focused()
        expect(row(page, "read").get_by_role("tooltip")).to_be_visible()
        order.click()
        expect(row(page, "beside")).to_be_visible()
