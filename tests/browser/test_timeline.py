"""The timeline: all schedules on one axis, past and future."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from conftest import OpenPage
from harness.browsing import LIGHT, PLAIN, visit
from harness.demonstration import RUNNING
from harness.projects import Worker


def lane(page: Page, definition: str) -> Locator:
    """Returns the lane of a definition."""
    return page.locator(".lane").filter(has=page.get_by_role("link", name=definition, exact=True))


def test_past_and_future_are_drawn_and_every_mark_is_a_link(
    shop: Worker, open_page: OpenPage
) -> None:
    for look in (LIGHT, PLAIN):
        page = open_page(shop, look)
        visit(page, "/timeline")
        # It fires every 6 hours, and one run goes on.
        running = lane(page, RUNNING)
        expect(running.get_by_role("group")).to_have_attribute(
            "aria-label", re.compile(r"^1 runs?, 0 failed, 0 missed, 2 to come$")
        )
        marks = running.locator("svg.ln a")
        expect(marks).to_have_count(3)
        for mark in marks.all():
            assert mark.get_attribute("href") == f"/definitions/{RUNNING}"
        expect(lane(page, "refund-export")).to_contain_text("failed")
        expect(lane(page, "price-import")).to_contain_text("overridden")
        expect(lane(page, "log-rotation")).to_contain_text("paused")
        marks.last.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(RUNNING)


def test_the_window_and_the_groups_are_in_the_address(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop, PLAIN)
    visit(page, "/timeline")
    main = page.get_by_role("main")
    main.get_by_role("link", name="Week").click()
    expect(page).to_have_url(re.compile("span=week"))
    # It fires in the coming days, and not in the coming hours.
    expect(lane(page, "search-reindex")).to_have_count(1)
    main.get_by_role("link", name="tier").click()
    expect(page).to_have_url(re.compile("span=week.*group=tier"))
    expect(main).to_contain_text("critical")
    main.get_by_role("link", name="Only trouble").click()
    expect(page).to_have_url(re.compile("trouble=true"))
    expect(lane(page, "refund-export")).to_have_count(1)
    expect(lane(page, "heartbeat")).to_have_count(0)


def test_filters_select_schedules(shop: Worker, open_page: OpenPage) -> None:
    for look in (LIGHT, PLAIN):
        page = open_page(shop, look)
        visit(page, "/timeline?group=team")
        page.get_by_label("Only schedules with this text").fill("REFUND")
        page.get_by_label("Only schedules with this text").press("Enter")
        expect(page).to_have_url(re.compile("group=team&q=REFUND"))
        expect(page.locator(".lane")).to_have_count(1)
        expect(lane(page, "refund-export")).to_have_count(1)
        visit(page, "/timeline?group=team")
        page.get_by_role("main").get_by_role("link", name="billing", exact=True).click()
        expect(lane(page, "invoices")).to_have_count(1)
        expect(lane(page, "search-reindex")).to_have_count(0)
        page.get_by_role("link", name="Show schedules without team=billing too").click()
        expect(lane(page, "refund-export")).to_have_count(1)
