"""Who may use the pages: logins, their end, scopes, proxies, and forms of other sites."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from conftest import OpenPage
from harness.browsing import DARK, LIGHT, PHONE, PLAIN, Look, Watch, obstacles, visit, width_beyond
from harness.processes import replace
from harness.projects import Project, Worker
from harness.tokens import AUDIENCE, ISSUER, key_set, token
from harness.waiting import until

ANN = "a" * 40
DASHBOARD = "d" * 40
TOKENS = f"{ANN} ann\n{DASHBOARD} dashboard read\n"
DEFINITION = "schedule: { every: 1h }\ndo: [{ a: { set: { b: 1 } } }]\n"


@pytest.fixture
def guarded(own_project: Callable[[], Project]) -> Project:
    """A project with one definition, and a file of tokens."""
    project = own_project()
    project.write("mine.yaml", DEFINITION)
    replace(project.folder / "tokens", TOKENS)
    return project


def with_tokens(project: Project) -> Worker:
    """Starts a worker that accepts the tokens of the file."""
    return project.start("--auth", "token", "--auth-token-file", str(project.folder / "tokens"))


def log_in(page: Page, secret: str) -> None:
    """Fills the form of the login, and sends it."""
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Log in").click()


def session(page: Page) -> dict[str, object]:
    """Returns the cookie of the session, or an empty one."""
    cookies = page.context.cookies()
    found = [dict(one) for one in cookies if one.get("name") == "almanac-session"]
    return found[0] if found else {}


@pytest.mark.parametrize("look", (LIGHT, PLAIN), ids=lambda look: look.name)
def test_a_person_logs_in_and_out(
    guarded: Project, open_page: OpenPage, watch: Watch, look: Look
) -> None:
    watch.expect("status of 401")
    worker = with_tokens(guarded)
    page = open_page(worker, look)
    visit(page, "/plan")
    expect(page).to_have_url(f"{worker.url}/login?next=%2Fplan")
    log_in(page, "x" * 40)
    expect(page.get_by_role("alert")).to_be_visible()
    assert not session(page)

    log_in(page, ANN)
    expect(page).to_have_url(f"{worker.url}/plan")
    cookie = session(page)
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/"
    assert ANN not in str(cookie["value"])
    expect(page.get_by_role("banner")).to_contain_text("ann")
    # Another worker with the same file accepts the session.
    other = with_tokens(guarded)
    visit(page, f"{other.url}/errors")
    expect(page.get_by_role("heading", level=1)).to_have_text("Errors")

    visit(page, f"{worker.url}/")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{worker.url}/login")
    assert not session(page)
    visit(page, "/")
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_session_ends_with_its_token(guarded: Project, open_page: OpenPage) -> None:
    worker = with_tokens(guarded)
    page = open_page(worker, PLAIN)
    visit(page, "/")
    log_in(page, ANN)
    expect(page.get_by_role("link", name="mine", exact=True)).to_be_visible()
    replace(guarded.folder / "tokens", f"{DASHBOARD} dashboard read\n")

    def is_over() -> bool:
        page.goto("/")
        return page.url == f"{worker.url}/login?next=%2F"

    until("the end of the session", is_over)
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
    log_in(page, DASHBOARD)
    expect(page.get_by_role("link", name="mine", exact=True)).to_be_visible()


def test_a_session_ends_when_its_signed_token_expires(
    guarded: Project, open_page: OpenPage
) -> None:
    keys = guarded.folder / "keys.json"
    replace(keys, key_set())
    flags = ["--auth", "jwt", "--auth-jwks", str(keys), "--auth-jwt-issuer", ISSUER]
    worker = guarded.start(*flags, "--auth-jwt-audience", AUDIENCE)
    page = open_page(worker, PLAIN)
    visit(page, "/")
    # Clocks may be 60 s apart.
    log_in(page, token("ann", "almanac:read", seconds=-56))
    expect(page.get_by_role("link", name="mine", exact=True)).to_be_visible()

    def is_over() -> bool:
        page.goto("/")
        return page.url.startswith(f"{worker.url}/login")

    until("the end of the session", is_over)
    log_in(page, token("ann", "almanac:operate", seconds=600))
    expect(page.get_by_role("link", name="mine", exact=True)).to_be_visible()


def test_who_may_only_read_is_offered_no_action(
    guarded: Project, open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("status of 403")
    worker = with_tokens(guarded)
    page = open_page(worker)
    visit(page, "/definitions/mine")
    log_in(page, DASHBOARD)
    expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    for path in ("/definitions/mine", "/", "/plan"):
        visit(page, path)
        controls = page.get_by_role("main").locator("a.btn, button, input")
        for action in ("Pause", "Run", "Override", "Backfill", "Sync now", "Suspend", "Pick"):
            expect(controls.filter(has_text=action)).to_have_count(0)
    # The server checks again.
    visit(page, "/definitions/mine/pause")
    page.get_by_label("Reason").fill("not allowed")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("almanac:operate")
    assert not guarded.live("mine")["schedule"]["state"].get("paused")


def test_the_login_can_be_read(guarded: Project, open_page: OpenPage) -> None:
    worker = with_tokens(guarded)
    for look in (LIGHT, DARK, PHONE):
        page = open_page(worker, look)
        visit(page, "/login")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        found = obstacles(page)
        assert not found, "\n".join(found)
        beyond, elements = width_beyond(page)
        assert beyond <= 0, elements


def test_a_proxy_names_users_and_groups(
    guarded: Project, open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("status of 403")
    flags = ["--auth", "proxy", "--auth-proxy-read", "staff", "--auth-proxy-operate", "ops"]
    worker = guarded.start(*flags, "--auth-proxy-from", "127.0.0.1")
    page = open_page(worker, PLAIN)
    visit(page, "/", 403)
    page.set_extra_http_headers({"X-Forwarded-User": "tom", "X-Forwarded-Groups": "guests"})
    visit(page, "/", 403)
    page.set_extra_http_headers({"X-Forwarded-User": "tom", "X-Forwarded-Groups": "staff"})
    visit(page, "/definitions/mine")
    expect(page.get_by_role("link", name="Pause")).to_have_count(0)

    page.set_extra_http_headers({"X-Forwarded-User": "ann", "X-Forwarded-Groups": "a,ops"})
    visit(page, "/definitions/mine/pause")
    page.get_by_label("Reason").fill("night work")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("paused")
    notes = guarded.live("mine")["schedule"]["state"]["notes"]
    assert "ann" in notes and "night work" in notes

    # The same headers from an address that is not the proxy's.
    other = guarded.start(*flags, "--auth-proxy-from", "10.1.2.3")
    visit(page, f"{other.url}/", 403)
    expect(page.get_by_role("main")).not_to_contain_text("mine")


class OtherSite(BaseHTTPRequestHandler):
    """A site with a form that suspends Almanac at the address in the query."""

    def do_GET(self) -> None:
        target = self.path.partition("?")[2]
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(
            f"""<!doctype html><html lang="en"><title>Prize</title><h1>Prize</h1>
            <link rel="icon" href="data:,">
            <form method="post" action="{target}/suspend">
            <input type="hidden" name="reason" value="forged">
            <input type="hidden" name="request_id" value="{"0" * 32}">
            <button>Win</button></form>""".encode()
        )

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_site() -> Iterator[str]:
    """Address of another site. Its name is another one, so that it is not the same site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_form_of_another_site_does_nothing(
    guarded: Project, open_page: OpenPage, watch: Watch, other_site: str
) -> None:
    watch.expect("status of 40[13]")
    for worker in (guarded.start(), with_tokens(guarded)):
        page = open_page(worker)
        visit(page, "/")
        if page.get_by_label("Token").is_visible():
            log_in(page, ANN)
            expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
        visit(page, f"{other_site}/?{worker.url}")
        page.get_by_role("button", name="Win").click()
        expect(page).to_have_url(f"{worker.url}/suspend")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert is_not_suspended(guarded)

        # A form of the same origin without the token of a page is refused, too.
        visit(page, "/")
        headers = {"origin": worker.url, "sec-fetch-site": "same-origin"}
        fields: dict[str, str | float | bool] = {"reason": "forged", "request_id": "0" * 32}
        answer = page.request.post("/suspend", form=fields, headers=headers)
        assert answer.status == 403, answer.text()
        assert is_not_suspended(guarded)


def is_not_suspended(project: Project) -> bool:
    """Returns true if the reconcile workflow is not suspended."""
    workflow = f"almanac/{project.name}/reconcile"
    return "forged" not in project.server.cli("workflow", "describe", "--workflow-id", workflow)
