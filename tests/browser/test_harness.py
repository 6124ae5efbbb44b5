"""The harness itself: what the other tests rely on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.browsing import (
    DARK,
    LIGHT,
    PHONE,
    PLAIN,
    Watch,
    obstacles,
    open_context,
    visit,
    width_beyond,
)
from harness.projects import Project
from harness.temporal import Scheduler

#: A page with a mistake of each kind that the harness must find.
BAD = b"""<!doctype html><html><title>Bad</title><link rel="icon" href="data:,">
<h1>Bad</h1><h2 style="width: 900px">Wide</h2><p><input></p>
<img src="/missing.png" alt="missing"><script>alert(1)</script><script src="/bad.js"></script>
"""
BAD_SCRIPT = (
    b"document.querySelector('h2').innerHTML = 'x'.repeat(9000); throw new Error('thrown');"
)
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"


class BadPages(BaseHTTPRequestHandler):
    """Serves the page above."""

    def do_GET(self) -> None:
        body = {"/": BAD, "/bad.js": BAD_SCRIPT}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("content-type", "text/javascript" if body is BAD_SCRIPT else "text/html")
        self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bad_pages() -> Iterator[str]:
    """Address of a server with a bad page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BadPages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_problem_of_a_page_is_noted(browser: Browser, bad_pages: str) -> None:
    watch = Watch()
    context = open_context(browser, PHONE, bad_pages, watch)
    page = context.new_page()
    visit(page, "/")
    expect(page.get_by_role("heading", name="xxx")).to_be_visible()
    axe = "\n".join(obstacles(page))
    beyond, _ = width_beyond(page)
    context.close()

    problems = "\n".join(watch.problems)
    assert "content security policy: style-src-attr blocked inline" in problems
    assert "content security policy: script-src-elem blocked inline" in problems
    assert "status of 404" in problems and "missing.png" in problems
    assert "script error: thrown" in problems
    assert "dialog" not in problems
    assert "html-has-lang" in axe and "label" in axe
    assert beyond > 0
    watch.expect("404|(?i:content security policy)")
    assert watch.unexpected() == [p for p in watch.problems if "thrown" in p]


def test_a_look_is_what_it_says(browser: Browser, bad_pages: str) -> None:
    def matches(page: Page, query: str) -> bool:
        return bool(page.evaluate(f"matchMedia('{query}').matches"))

    for look in (LIGHT, DARK, PHONE, PLAIN):
        context = open_context(browser, look, bad_pages, Watch())
        page = context.new_page()
        visit(page, "/")
        assert matches(page, "(prefers-color-scheme: dark)") == (look is DARK)
        assert matches(page, "(max-width: 390px)") == (look is PHONE)
        script_ran = page.locator("h2").inner_text() != "Wide"
        assert script_ran == (look is not PLAIN), look
        context.close()


def test_the_server_has_the_scheduler_it_is_named_for(project: Project) -> None:
    project.write("mine.yaml", "schedule: { every: 1h }\ndo: [{ a: { set: { b: 1 } } }]\n")
    project.workers[0].sync()
    assert project.server.has_schedule(project.schedule_id("mine"))
    # Only one of them has a workflow for each schedule.
    workflow = f"temporal-sys-scheduler:{project.schedule_id('mine')}"
    query = f"WorkflowId = '{workflow}' AND TemporalNamespaceDivision = 'TemporalScheduler'"
    found = project.server.json("workflow", "list", "--query", query)
    assert bool(found) == (project.server.scheduler is Scheduler.V1), found
