"""A new user's first page, and the choice of colors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from conftest import OpenPage
from harness.browsing import DARK, LIGHT, PHONE, PLAIN, Look, obstacles, visit, width_beyond
from harness.projects import Project, Worker


def test_the_first_page_teaches_the_first_definition(
    own_project: Callable[[], Project], open_page: OpenPage
) -> None:
    project = own_project()
    worker = project.start()
    for look in (LIGHT, DARK, PHONE, PLAIN):
        page = open_page(worker, look)
        visit(page, "/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Write the first definition")
        expect(page.get_by_role("main")).to_contain_text(str(project.definitions))
        if look is PHONE:
            beyond, elements = width_beyond(page)
            assert beyond <= 0, elements
        elif look is not PLAIN:
            assert not obstacles(page)

    # What the page shows is a definition, and it appears once it is saved.
    page = open_page(worker)
    visit(page, "/")
    lines = page.locator("ol.six code").all_inner_texts()
    text = "\n".join(line.lstrip("0123456789") for line in lines)
    project.write("hello.yaml", text.replace("PROJECT", project.name) + "\n")
    expect(page.get_by_role("link", name="hello", exact=True)).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("08:30 Mon–Fri")
    assert project.has("hello")


@pytest.mark.parametrize("look", (LIGHT, PLAIN), ids=lambda look: look.name)
def test_the_colors_are_the_systems_or_chosen(
    shop: Worker, open_page: OpenPage, look: Look
) -> None:
    page = open_page(shop, look)
    visit(page, "/errors")
    light = background(page)
    colors = page.get_by_role("group", name="Colors")
    colors.get_by_role("button", name="Dark").click()
    # The page is the same as before.
    expect(page).to_have_url(f"{shop.url}/errors")
    expect(colors.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    visit(page, "/")
    dark = background(page)
    assert dark != light
    page.emulate_media(color_scheme="dark")
    colors.get_by_role("button", name="Light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert background(page) == light
    colors.get_by_role("button", name="As the system").click()
    expect(colors.get_by_role("button", name="As the system")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert background(page) == dark


def background(page: Page) -> str:
    """Returns the color of the paper."""
    color: str = page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
    return color
