"""Search, filters, order, and the numbers that lead to lists."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from conftest import OpenPage
from harness.browsing import LIGHT, PLAIN, Watch, visit
from harness.projects import Worker


def shown(page: Page) -> list[str]:
    """Returns the names of the definitions that the list shows, in their order."""
    return page.locator("tr.row .name").all_inner_texts()


def test_search_filters_while_a_person_types(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    page.keyboard.type("export-0")
    expect(page.locator("tr.row")).to_have_count(9)
    expect(page).to_have_url(re.compile(r"[?&]q=export-0"))
    # The view can be opened again.
    page.reload()
    expect(page.locator("tr.row")).to_have_count(9)
    expect(search).to_have_value("export-0")


def test_search_works_without_javascript(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop, PLAIN)
    visit(page, "/")
    page.get_by_role("searchbox").fill("REINDEX")
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]q=REINDEX"))
    assert shown(page) == ["search-reindex"]
    # A search keeps the filters.
    visit(page, "/?label=team%3Dbilling&sort=name")
    page.get_by_role("searchbox").fill("e")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("searchbox")).to_have_value("e")
    assert shown(page) == ["invoices", "price-import", "year-end-report"]


def test_a_search_without_a_match_says_so(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/?q=nothing-has-this-name")
    expect(page.get_by_role("main")).to_contain_text("No schedule matches")


def test_every_number_leads_to_the_list_behind_it(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    figures = page.locator("#figures a")
    numbers = []
    for text, link in zip(figures.all_inner_texts(), figures.all(), strict=True):
        count, words = text.split(maxsplit=1)
        numbers.append((int(count), words, link.get_attribute("href")))
    assert {"Broken", "Stale", "Conflict", "Removal held"} <= {words for _, words, _ in numbers}
    for number, words, address in numbers:
        if words in ("Running", "In sync", "Waiting"):
            # Runs begin and end while the test reads.
            continue
        visit(page, address or "")
        expect(page.locator("#shown")).to_have_text(f"{number} shown")
        assert len(shown(page)) == number, words


def test_filters_and_order_are_in_the_address(shop: Worker, open_page: OpenPage) -> None:
    for look in (LIGHT, PLAIN):
        page = open_page(shop, look)
        visit(page, "/")
        page.get_by_role("link", name=re.compile(r"^billing \d+")).click()
        expect(page).to_have_url(re.compile(r"label=team%3Dbilling"))
        page.get_by_role("columnheader", name="Name").get_by_role("link").click()
        expect(page).to_have_url(re.compile(r"sort=name"))
        expect(page).to_have_url(re.compile(r"label=team%3Dbilling"))
        expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
            "aria-sort", "ascending"
        )
        assert shown(page) == ["invoices", "price-import", "year-end-report"]


def test_a_wrong_filter_is_refused_with_its_name(
    shop: Worker, open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("status of 400")
    page = open_page(shop)
    visit(page, "/?sort=color", 400)
    expect(page.get_by_role("main")).to_contain_text("sort")
    expect(page.get_by_role("link", name="All schedules")).to_be_visible()
