"""Every page can be read, in every look."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from conftest import OpenPage
from harness.browsing import DARK, LIGHT, PHONE, PLAIN, Look, obstacles, visit, width_beyond
from harness.pages import PAGES, PageOf
from harness.projects import Worker

every_page = pytest.mark.parametrize("read", PAGES, ids=lambda read: read.name)


@every_page
@pytest.mark.parametrize("look", (LIGHT, DARK), ids=lambda look: look.name)
def test_nothing_keeps_people_from_using_a_page(
    shop: Worker, open_page: OpenPage, look: Look, read: PageOf
) -> None:
    page = open_page(shop, look)
    visit(page, read.address(shop))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    found = obstacles(page)
    assert not found, "\n".join(found)


@every_page
def test_a_page_is_not_wider_than_a_phone(shop: Worker, open_page: OpenPage, read: PageOf) -> None:
    page = open_page(shop, PHONE)
    visit(page, read.address(shop))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    beyond, elements = width_beyond(page)
    assert beyond <= 0, "\n".join([f"{beyond} pixels too wide:", *elements])


@every_page
def test_a_page_can_be_read_without_javascript(
    shop: Worker, open_page: OpenPage, read: PageOf
) -> None:
    page = open_page(shop, PLAIN)
    visit(page, read.address(shop))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("navigation").first).to_be_visible()
