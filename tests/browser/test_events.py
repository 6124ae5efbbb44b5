"""Events: the list of deliveries, one delivery, and the form that replays it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from conftest import OpenPage, Servers
from harness.browsing import DARK, LIGHT, PHONE, PLAIN, Look, obstacles, visit, width_beyond
from harness.projects import Project, Worker
from harness.temporal import Scheduler

WORD = "w" * 4000
SCRIPT = "<script>document.title='taken'</script>"
TURNED = "invoice\u202efdp.exe"

#: Characters that change the display of others, or control a terminal.
FORBIDDEN = "\u202e\u2066\u2067\u200f\x1b\x07"

DEFINITIONS = """
kind: event_type
id: com.shop.paid
description: a customer has paid
schema: { type: object, required: [amount] }
---
id: capture
description: takes the money
triggers:
  - event: com.shop.paid
    when: .data.amount > 9
do: [{ keep: { set: { kept: '${ .amount }' } } }]
---
id: notify
schedule: { cron: "0 3 * * *" }
triggers: [{ event: com.shop.paid, input: '${ .data.amount }', workflow_id: '${ .id }' }]
do: [{ keep: { set: { kept: '${ . }' } } }]
"""

#: The `when` of this definition fails with a text of the event.
HOSTILE = """
id: hostile
triggers: [{ event: com.shop.hostile, when: '${ error(.data.text) }' }]
do: [{ a: { set: { b: 1 } } }]
"""


@pytest.fixture(scope="module")
def events(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project to which some events have come."""
    project = Project(servers(Scheduler.CHASM), tmp_path_factory.mktemp("events"))
    project.write("shop.yaml", DEFINITIONS)
    project.write("hostile.yaml", HOSTILE)
    worker = project.start()
    for number, (kind, data, status) in enumerate(
        (
            ("com.shop.paid", {"amount": 12}, 202),
            ("com.shop.paid", {"sum": 1}, 422),
            ("com.shop.nobody", {"a": 1}, 204),
        )
    ):
        send(worker, kind, data, f"e{number}", status)
    hostile = {"text": f"{SCRIPT} {TURNED} \x1b[31m {WORD}"}
    send(worker, "com.shop.hostile", hostile, f"</td><h1>taken</h1> {TURNED}", 422, "/s?'x='")
    yield project
    project.stop()


def send(
    worker: Worker, kind: str, data: object, id: str, status: int, source: str = "/shop"
) -> None:
    """Sends an event to a worker, which must answer with `status`."""
    event = {"specversion": "1.0", "id": id, "source": source, "type": kind, "data": data}
    headers = {"content-type": "application/cloudevents+json"}
    answered, body = worker.request("POST", "/events", headers, json.dumps(event).encode())
    assert answered == status, f"{answered} {body}"


def rows(page: Page) -> list[str]:
    """Returns the texts of the rows of the list."""
    return page.locator(".deliveries tbody tr").all_inner_texts()


def paths(worker: Worker) -> list[str]:
    """Returns the pages about events."""
    found = worker.json("/api/v1/events?limit=1000")["deliveries"]
    states = {one["state"]: one["id"] for one in reversed(found)}
    each = [f"/events/{id}" for id in states.values()]
    return ["/events", "/definitions/capture", *each, f"{each[0]}/replay"]


def test_deliveries_are_filtered_and_lead_to_their_runs(
    events: Project, open_page: OpenPage
) -> None:
    for look in (LIGHT, PLAIN):
        page = open_page(events.workers[0], look)
        visit(page, "/")
        page.get_by_role("navigation").get_by_role("link", name="Events").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Events")
        page.get_by_role("link", name=re.compile(r"^No match \d+")).click()
        expect(page).to_have_url(re.compile(r"/events\?state=no_match$"))
        assert len(rows(page)) == 1 and "com.shop.nobody" in rows(page)[0]
        page.get_by_role("link", name="Show all").click()
        page.get_by_label("Definition").fill("capture")
        page.get_by_role("button", name="Filter").click()
        expect(page).to_have_url(re.compile(r"definition=capture"))
        assert any("capture started a run" in row for row in rows(page)), rows(page)
        page.locator(".deliveries").get_by_role("link", name="com.shop.paid").last.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("com.shop.paid")
        expect(page.locator("#event")).to_contain_text('"amount": 12')
        expect(page.locator("#triggers")).to_contain_text("capture started a run")
        page.locator("#triggers").get_by_role("link", name="capture", exact=True).click()
        expect(page.locator("#triggers")).to_contain_text(".data.amount > 9")
        expect(page.locator("#event-runs")).to_contain_text("/shop · e0")
        expect(page.locator("#deliveries")).to_contain_text("com.shop.paid")


def test_the_types_of_events_are_beside_the_list(events: Project, open_page: OpenPage) -> None:
    page = open_page(events.workers[0])
    visit(page, "/events")
    paid = page.locator("#types tr", has_text="com.shop.paid")
    expect(paid).to_contain_text("a customer has paid")
    expect(paid).to_contain_text("2 triggers: capture, notify")
    paid.get_by_role("link", name=re.compile("deliver")).click()
    expect(page).to_have_url(re.compile(r"q=com.shop.paid"))


@pytest.mark.parametrize("look", (LIGHT, PLAIN), ids=lambda look: look.name)
def test_an_event_is_replayed_with_the_mouse(
    events: Project, open_page: OpenPage, look: Look
) -> None:
    page = open_page(events.workers[0], look)
    visit(page, "/events?q=e0")
    page.locator(".deliveries a.name").last.click()
    page.get_by_role("link", name="Replay…").click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("2 triggers take this event now")
    expect(main).to_contain_text("unless this event has started it already")
    main.get_by_role("button", name="Replay", exact=True).click()
    expect(page).to_have_url(re.compile(r"/events/page-[0-9a-f]{32}$"))
    expect(page.locator("#triggers")).to_contain_text("capture has a run already")
    expect(page.locator("dl.facts")).to_contain_text("Replay")
    expect(page.locator("#others")).to_contain_text("com.shop.paid")


def test_an_event_is_replayed_with_the_keyboard(events: Project, open_page: OpenPage) -> None:
    page = open_page(events.workers[0])
    visit(page, "/")
    page.keyboard.press("g")
    page.keyboard.press("v")
    expect(page).to_have_url(re.compile(r"/events$"))
    link = page.locator(".deliveries a.name", has_text="com.shop.nobody").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("com.shop.nobody")
    page.get_by_role("link", name="Replay…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_contain_text("nothing will start")
    page.get_by_role("button", name="Replay", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/events/page-"))
    expect(page.get_by_role("main")).to_contain_text("No trigger took the event")


def test_an_event_appears_on_an_open_page(events: Project, open_page: OpenPage) -> None:
    page = open_page(events.workers[0])
    visit(page, "/events")
    page.get_by_label("Text").fill("half a wo")
    before = len(rows(page))
    reads: list[str] = []
    page.on("request", lambda one: reads.append(one.url) if one.url.endswith("/events") else None)
    for number in range(30):
        send(events.workers[0], "com.shop.live", {}, f"live-{number}", 204)
    expect(page.locator(".deliveries")).to_contain_text("live-29")
    assert len(rows(page)) == min(before + 30, 50)
    expect(page.get_by_label("Text")).to_have_value("half a wo")
    assert len(reads) < 10, reads


def test_other_pages_are_not_read_again_for_events(events: Project, open_page: OpenPage) -> None:
    page = open_page(events.workers[0])
    visit(page, "/events")
    other = open_page(events.workers[0])
    visit(other, "/errors")
    other.wait_for_timeout(1500)
    reads: list[str] = []
    other.on("request", lambda one: reads.append(one.url))
    send(events.workers[0], "com.shop.other", {}, "other", 204)
    expect(page.locator(".deliveries")).to_contain_text("com.shop.other")
    assert not [url for url in reads if url.endswith("/errors")], reads


@pytest.mark.parametrize("look", (LIGHT, DARK, PHONE), ids=lambda look: look.name)
def test_nothing_keeps_people_from_using_the_pages(
    events: Project, open_page: OpenPage, look: Look
) -> None:
    page = open_page(events.workers[0], look)
    for path in paths(events.workers[0]):
        visit(page, path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        found = obstacles(page)
        assert not found, "\n".join([path, *found])
        beyond, elements = width_beyond(page)
        assert beyond <= 0, "\n".join([f"{path}: {beyond} pixels too wide:", *elements])


def test_the_head_fits_on_middle_widths(events: Project, open_page: OpenPage) -> None:
    for width in (701, 801, 961, 1100, 1340):
        page = open_page(events.workers[0], Look("middle", width=width))
        visit(page, "/events")
        beyond, elements = width_beyond(page)
        assert beyond <= 0, "\n".join([f"{width}: {beyond} pixels too wide:", *elements])


def test_hostile_text_is_displayed_and_not_interpreted(
    events: Project, open_page: OpenPage
) -> None:
    page = open_page(events.workers[0])
    for path in paths(events.workers[0]):
        visit(page, path)
        assert "taken" not in page.title()
        expect(page.locator("h1", has_text="taken")).to_have_count(0)
        expect(page.locator("main :is(b, img, script)", has_text="taken")).to_have_count(0)
        content = page.content()
        found = {hex(ord(letter)) for letter in FORBIDDEN if letter in content}
        assert not found, f"{path}: characters that no page may contain: {found}"
    visit(page, "/events?q=hostile")
    row = page.locator(".deliveries tbody tr")
    expect(row).to_contain_text("</td><h1>taken</h1> invoice\\u{202e}fdp.exe")
    expect(row).to_contain_text(SCRIPT)
    row.locator("a.name").click()
    expect(page.locator("#event")).to_contain_text(f"{SCRIPT} invoice\\u202efdp.exe \\u001b[31m")


def test_the_first_event_is_explained(
    own_project: Callable[[], Project], open_page: OpenPage
) -> None:
    project = own_project()
    worker = project.start()
    for look in (LIGHT, DARK, PHONE):
        page = open_page(worker, look)
        visit(page, "/events")
        main = page.get_by_role("main")
        expect(main).to_contain_text("almanac events send com.example.hello")
        found = obstacles(page)
        assert not found, "\n".join(found)
        beyond, elements = width_beyond(page)
        assert beyond <= 0, "\n".join([f"{beyond} pixels too wide:", *elements])
    lines = page.locator(".six code").all_inner_texts()
    # Each line begins with its number.
    project.write("hello.yaml", "\n".join(line[1:] for line in lines) + "\n")
    worker.sync()
    visit(page, "/events")
    expect(page.get_by_role("main")).to_contain_text("Triggers wait for events")
    send(worker, "com.example.hello", {"name": "Ada"}, "1", 202)
