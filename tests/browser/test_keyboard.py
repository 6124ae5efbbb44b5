"""Everything can be done with the keyboard alone."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from conftest import OpenPage
from harness.browsing import visit
from harness.projects import Worker


def focused_row(page: Page) -> str | None:
    """Returns the name of the definition whose row has the focus."""
    name: str | None = page.evaluate(
        """() => document.activeElement.closest('tr.row')?.querySelector('.name').textContent"""
    )
    return name


def test_the_keys_have_an_overview(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    page.keyboard.press("?")
    overview = page.get_by_role("dialog")
    expect(overview).to_be_visible()
    for key in ("/", "j", "k", "x", "Enter", "Esc"):
        expect(overview.locator("kbd", has_text=re.compile(rf"^{re.escape(key)}$"))).to_be_visible()
    page.keyboard.press("Escape")
    expect(overview).to_be_hidden()


def test_rows_are_reached_picked_and_opened_with_keys(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/?sort=name&q=export")
    page.keyboard.press("j")
    assert focused_row(page) == "export-01"
    page.keyboard.press("j")
    assert focused_row(page) == "export-02"
    page.keyboard.press("k")
    assert focused_row(page) == "export-01"
    page.keyboard.press("x")
    expect(page.get_by_label("Pick export-01")).to_be_checked()
    expect(page.get_by_role("group", name="Actions on the picked")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{shop.url}/definitions/export-01")


def test_keys_lead_to_pages(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    for key, path in (("t", "/timeline"), ("p", "/plan"), ("e", "/errors"), ("s", "/")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page).to_have_url(shop.url + path)


def test_keys_do_nothing_while_a_person_types(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    page.get_by_role("searchbox").focus()
    page.keyboard.type("x?gp")
    expect(page.get_by_role("searchbox")).to_have_value("x?gp")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_first_tabulator_stop_skips_to_the_content(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_the_focus_can_be_seen(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/")
    for _ in range(25):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement);
                return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
                    || style.boxShadow !== 'none';
            }"""
        )
        element = page.evaluate("() => document.activeElement.outerHTML.slice(0, 120)")
        assert seen, f"no focus ring: {element}"
