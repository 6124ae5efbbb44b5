"""Errors of documents: a badge with the complete message, and the same message elsewhere."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from conftest import OpenPage
from harness.browsing import DARK, LIGHT, PHONE, PLAIN, Look, visit
from harness.demonstration import BROKEN, STALE
from harness.projects import Worker

#: Lines of the messages of each failing document, which are shown completely.
MESSAGES = {
    BROKEN: (
        "growth/loyalty-expiry.yaml:5:25: `schedule.cron`: day_of_week `SUNDAYS` is not a value from 0 to 7",
        '  5 |   cron: "0 3 * * MONDAY-SUNDAYS"',
        "    |                         ^",
        "hint: a day is 0 (Sunday) to 7 (also Sunday), its English name, or at least the first 2 letters",
        "growth/loyalty-expiry.yaml:7:3: unknown key `jiter` in `schedule`",
        "  7 |   jiter: 5m",
        "    |   ^",
        "hint: did you mean `jitter`?",
        "growth/loyalty-expiry.yaml:10:7: `do/0/expire/wiat` is not a key of a task",
        "hint: did you mean `wait`?",
    ),
    STALE: (
        "billing/settle-cards.yaml:5:3: unknown key `corn` in `schedule`",
        '  5 |   corn: "0 4 * * *"',
        "    |   ^",
        "hint: did you mean `cron`?",
    ),
}


def row(page: Page, definition: str) -> Locator:
    """Returns the row of a definition in the list of schedules."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=definition, exact=True))


def badge(page: Page, definition: str) -> Locator:
    """Returns the badge in the row of a definition."""
    return row(page, definition).get_by_role("link", name="error")


def is_complete(message: Locator, definition: str) -> None:
    """Fails unless all lines of the message of a definition are there, in their order."""
    text = message.inner_text().replace("\u00a0", " ")
    place = 0
    for line in MESSAGES[definition]:
        found = text.find(line, place)
        assert found >= 0, f"{line!r} is not in its place in\n{text}"
        place = found + len(line)


def is_in_place(source: Locator, definition: str) -> None:
    """Fails unless each message and each hint is there, without the place and the source line."""
    text = source.inner_text()
    for line in MESSAGES[definition]:
        if match := re.search(r"(?:\.yaml:\d+:\d+|hint): (.*)", line):
            assert match[1] in text, f"{match[1]!r} is not in\n{text}"


def is_seen(page: Page, element: Locator) -> None:
    """Fails if a part of an element is outside of the window, cut off or covered."""
    box, window = element.bounding_box(), page.viewport_size
    assert box and window
    assert box["x"] >= 0 and box["x"] + box["width"] <= window["width"], box
    assert box["y"] >= 0 and box["y"] + box["height"] <= window["height"], box
    hidden = element.evaluate(
        """(element) => {
            const box = element.getBoundingClientRect();
            const places = [0.02, 0.5, 0.98].flatMap((x) => [0.05, 0.5, 0.95].map((y) => [x, y]));
            return places.filter(([x, y]) => !element.contains(document.elementFromPoint(
                box.left + box.width * x, box.top + box.height * y)));
        }"""
    )
    assert not hidden, f"cut off or covered at {hidden}"


@pytest.mark.parametrize("definition", (BROKEN, STALE))
@pytest.mark.parametrize("look", (LIGHT, DARK, PLAIN), ids=lambda look: look.name)
def test_hovering_the_badge_shows_the_complete_message(
    shop: Worker, open_page: OpenPage, look: Look, definition: str
) -> None:
    page = open_page(shop, look)
    visit(page, "/")
    tooltip = row(page, definition).get_by_role("tooltip", include_hidden=True)
    expect(tooltip).to_be_hidden()
    badge(page, definition).hover()
    expect(tooltip).to_be_visible()
    is_complete(tooltip, definition)
    is_seen(page, tooltip)
    # The pointer can move onto the message, to select a part of it.
    start, end = badge(page, definition).bounding_box(), tooltip.bounding_box()
    assert start and end
    x = start["x"] + start["width"] / 2
    page.mouse.move(x, end["y"] + end["height"] / 2, steps=20)
    expect(tooltip).to_be_visible()
    page.get_by_role("heading", level=1).hover()
    expect(tooltip).to_be_hidden()


@pytest.mark.parametrize("definition", (BROKEN, STALE))
@pytest.mark.parametrize("look", (LIGHT, PLAIN), ids=lambda look: look.name)
def test_focusing_the_badge_shows_the_complete_message(
    shop: Worker, open_page: OpenPage, look: Look, definition: str
) -> None:
    page = open_page(shop, look)
    visit(page, "/")
    target = badge(page, definition)
    tooltip = row(page, definition).get_by_role("tooltip", include_hidden=True)
    expect(tooltip).to_be_hidden()
    tab_to(page, target)
    expect(tooltip).to_be_visible()
    is_complete(tooltip, definition)
    is_seen(page, tooltip)
    assert target.get_attribute("aria-describedby") == tooltip.get_attribute("id")
    page.keyboard.press("Tab")
    expect(tooltip).to_be_hidden()


def test_escape_hides_the_message(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    tooltip = row(page, BROKEN).get_by_role("tooltip", include_hidden=True)
    badge(page, BROKEN).hover()
    expect(tooltip).to_be_visible()
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()
    tab_to(page, badge(page, BROKEN))
    expect(tooltip).to_be_visible()
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()


@pytest.mark.parametrize("definition", (BROKEN, STALE))
@pytest.mark.parametrize("look", (LIGHT, PHONE, PLAIN), ids=lambda look: look.name)
def test_the_badge_leads_to_the_same_message_on_the_definition_page(
    shop: Worker, open_page: OpenPage, look: Look, definition: str
) -> None:
    page = open_page(shop, look)
    visit(page, "/")
    target = badge(page, definition)
    if look is PHONE:
        target.tap()
    else:
        target.click()
    expect(page).to_have_url(f"{shop.url}/definitions/{definition}#source")
    expect(page.get_by_role("heading", level=1)).to_have_text(definition)
    is_in_place(page.locator("#source"), definition)


@pytest.mark.parametrize("look", (LIGHT, PLAIN), ids=lambda look: look.name)
def test_the_page_of_errors_has_all_messages(shop: Worker, open_page: OpenPage, look: Look) -> None:
    page = open_page(shop, look)
    visit(page, "/")
    page.get_by_role("navigation").get_by_role("link", name="Errors").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Errors")
    for definition in MESSAGES:
        is_complete(page.get_by_role("main"), definition)
    # This document fails before its id is known.
    main = page.get_by_role("main")
    expect(main).to_contain_text("support/tickets.yaml:3:9: not valid YAML")


def tab_to(page: Page, target: Locator) -> None:
    """Presses the tabulator key until an element has the focus."""
    page.get_by_role("heading", level=1).click()
    for _ in range(300):
        page.keyboard.press("Tab")
        if target.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError("the tabulator key does not reach the element")
