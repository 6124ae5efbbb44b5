"""The page of a definition: what counts, when it fires, what ran and what did not."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from conftest import OpenPage
from harness.browsing import LIGHT, PLAIN, Watch, visit
from harness.demonstration import RUNNING, STALE
from harness.projects import Worker


def section(page: Page, title: str) -> Locator:
    """Returns the section with a title."""
    return page.locator("section").filter(has=page.get_by_role("heading", name=title))


def test_a_field_that_differs_shows_all_values_and_the_winner(
    shop: Worker, open_page: OpenPage
) -> None:
    for look in (LIGHT, PLAIN):
        page = open_page(shop, look)
        visit(page, "/definitions/search-reindex")
        fields = section(page, "File, last applied, live").get_by_role("row")
        times = fields.filter(has=page.get_by_text("times", exact=True))
        expect(times).to_contain_text('"30 2 * * *"')
        expect(times).to_contain_text('"0 5 * * *"')
        expect(times).to_contain_text("drift is only reported")

        visit(page, "/definitions/price-import")
        fields = section(page, "File, last applied, live").get_by_role("row")
        times = fields.filter(has=page.get_by_text("times", exact=True))
        expect(times).to_contain_text("Override")
        expect(page.get_by_role("main")).to_contain_text("the suppliers are late tonight")


def test_next_times_are_in_the_zone_of_the_schedule_and_of_the_viewer(
    shop: Worker, open_page: OpenPage
) -> None:
    page = open_page(shop)
    visit(page, f"/definitions/{STALE}")
    times = section(page, "Next times")
    expect(times).to_contain_text("America/New_York")
    expect(times).to_contain_text("Europe/Berlin, yours")
    first = times.locator("tbody tr").first
    expect(first).to_contain_text(re.compile(r"04:00:00 E[SD]T"))
    expect(first).to_contain_text(re.compile(r"(09|10):00:00"))

    # Without JavaScript, the page does not know the viewer's zone.
    page = open_page(shop, PLAIN)
    visit(page, f"/definitions/{STALE}")
    expect(section(page, "Next times")).to_contain_text("UTC")
    expect(section(page, "Next times")).not_to_contain_text("yours")


def test_runs_have_their_nominal_time_their_delay_and_their_result(
    shop: Worker, open_page: OpenPage
) -> None:
    page = open_page(shop)
    visit(page, "/definitions/invoices")
    runs = section(page, "Runs").locator("tbody tr")
    expect(runs).to_have_count(10)
    expect(runs.first).to_contain_text("13 Mar 04:30:00")
    expect(runs.first).to_contain_text("Completed")
    expect(runs.first).to_contain_text("shop/invoices-2026-03-13T03:30:00Z")
    visit(page, "/definitions/refund-export")
    expect(section(page, "Runs")).to_contain_text("Failed")


def test_the_page_says_what_did_not_run_and_why(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, "/definitions/certificate-check")
    expect(page.get_by_role("main")).to_contain_text("an earlier run was still running")
    visit(page, "/definitions/card-fraud-scores")
    expect(page.get_by_role("main")).to_contain_text("The model of yesterday is missing")
    visit(page, "/definitions/newsletter-digest")
    expect(page.get_by_role("main")).to_contain_text("ask Mira <mira@example.com>")
    visit(page, "/definitions/warehouse-sync")
    expect(page.get_by_role("main")).to_contain_text("Conflict")


def test_versions_with_live_runs_are_shown(shop: Worker, open_page: OpenPage) -> None:
    page = open_page(shop)
    visit(page, f"/definitions/{RUNNING}")
    versions = section(page, "Versions with running workflows").locator("tbody tr")
    expect(versions).to_have_count(1)
    expect(versions).to_contain_text("earlier")
    expect(versions).to_contain_text("1 run")


def test_a_definition_that_does_not_exist_has_a_page_that_helps(
    shop: Worker, open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("status of 404")
    page = open_page(shop)
    visit(page, "/definitions/nothing-has-this-id", 404)
    expect(page.get_by_role("main")).to_contain_text("nothing-has-this-id")
    page.get_by_role("link", name="All schedules").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
