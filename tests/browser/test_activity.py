"""The activity: who did what, when and why, and filters that narrow it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from conftest import OpenPage
from harness.browsing import LIGHT, PLAIN, visit
from harness.projects import Project, Worker


def entries(page: Page) -> list[str]:
    """Returns the texts of the list."""
    return page.locator(".feed > li").all_inner_texts()


def test_a_run_that_a_person_asked_for_is_shown_and_filters_narrow_the_list(
    shop: Worker, open_page: OpenPage
) -> None:
    for look in (LIGHT, PLAIN):
        page = open_page(shop, look)
        visit(page, "/activity")
        run = page.locator(".feed > li", has_text="asked for a run of pipeline")
        expect(run).to_contain_text("the warehouse asked for it")
        person = run.locator(".what a.name").inner_text()
        assert "@" in person
        page.get_by_role("link", name=re.compile(r"^Manual runs \d+")).click()
        expect(page).to_have_url(re.compile(r"/activity\?kind=runs$"))
        expect(run).to_be_visible()
        texts = entries(page)
        assert len(texts) == 2, texts
        assert all(person in text for text in texts)
        # A form adds to the filter that was chosen by a link.
        page.get_by_label("Definition").fill("INVO")
        page.get_by_role("button", name="Filter").click()
        expect(page).to_have_url(re.compile(r"definition=INVO.*kind=runs"))
        texts = entries(page)
        assert len(texts) == 1 and "asked for a backfill of invoices" in texts[0], texts
        page.get_by_role("link", name="Show all").click()
        expect(page).to_have_url(re.compile(r"/activity$"))
        page.get_by_role("link", name=person, exact=True).first.click()
        expect(page).to_have_url(re.compile(r"/activity\?by="))
        assert all(person in text for text in entries(page))


def test_a_list_without_an_entry_says_so(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/activity?by=nobody-has-this-name")
    expect(page.get_by_role("main")).to_contain_text("Nothing matches")


def test_requests_appear_on_an_open_page_while_a_person_types(
    project: Project, open_page: OpenPage
) -> None:
    text = "schedule: { every: 1h }\ndo: [{ a: { wait: { seconds: 3 } } }]\n"
    project.write("followed.yaml", text)
    project.workers[0].sync()
    page = open_page(project.workers[0])
    visit(page, "/activity")
    page.get_by_label("Person").fill("half a na")
    project.almanac("trigger", "followed", "--reason", "seen at once")
    expect(page.locator("#entries")).to_contain_text("seen at once")
    expect(page.get_by_label("Person")).to_have_value("half a na")
