"""Each action, from the page to Temporal, on both schedulers, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from conftest import OpenPage
from harness.browsing import LIGHT, PLAIN, Look, Watch, visit
from harness.projects import Project
from harness.waiting import until

with_and_without_javascript = pytest.mark.parametrize(
    "look", (LIGHT, PLAIN), ids=lambda look: look.name
)

DEFINITION = """
labels: {{ set: {label} }}
schedule: {{ cron: "0 3 * * *" }}
do: [{{ act: {{ wait: {{ milliseconds: 100 }} }} }}]
"""


def save(project: Project, definition: str, label: str = "none") -> str:
    """Saves a definition, waits until its schedule exists, and returns its id."""
    project.write(f"{definition}.yaml", DEFINITION.format(label=label))
    until(f"{definition} to exist", lambda: project.has(definition))
    # A list of schedules may be 2 s old.
    address = f"/api/v1/schedules?q={definition}"
    until(f"{definition} to be listed", lambda: project.workers[0].json(address)["total"])
    return definition


def begin(page: Page, definition: str, action: str) -> None:
    """Opens the form of an action, from the page of the definition."""
    visit(page, f"/definitions/{definition}")
    link = page.get_by_role("main").get_by_role("link", name=f"{action}…", exact=True)
    link.first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{action} {definition}")


def submit(page: Page, button: str | re.Pattern[str]) -> Locator:
    """Sends the form of the page, and returns the result."""
    page.get_by_role("main").get_by_role("button", name=button, exact=True).click()
    result = page.get_by_role("main").get_by_role("status")
    expect(result).to_be_visible()
    # The result stays: the page does not read itself again.
    expect(page.locator("main[data-follow]")).to_have_count(0)
    return result


def state(project: Project, definition: str) -> dict[str, Any]:
    """Returns the state of a live schedule: `paused` and `notes`."""
    found: dict[str, Any] = project.live(definition)["schedule"]["state"]
    return found


def next_time(project: Project, definition: str) -> str:
    """Returns the next time of a live schedule."""
    found: str = project.live(definition)["info"]["futureActionTimes"][0]
    return found


@with_and_without_javascript
def test_pause_and_unpause(project: Project, open_page: OpenPage, look: Look) -> None:
    definition = save(project, f"pause-{look.name}")
    page = open_page(project.workers[0], look)
    begin(page, definition, "Pause")
    page.get_by_label("Reason").fill("the bank is down")
    page.get_by_label("For").fill("2h")
    expect(submit(page, "Pause")).to_contain_text("paused")
    live = state(project, definition)
    assert live["paused"] and "the bank is down" in live["notes"]
    # The end of the pause is stated.
    assert re.search(r"until \d{4}-\d\d-\d\d", live["notes"]), live

    visit(page, "/")
    row = page.locator(f"[id='r-{definition}']")
    expect(row).to_contain_text("paused")
    row.hover()
    row.get_by_role("link", name=f"Unpause {definition}").click()
    expect(page.get_by_role("main")).to_contain_text("the bank is down")
    expect(submit(page, "Unpause")).to_contain_text("no longer paused")
    assert not state(project, definition).get("paused")


def test_a_pause_without_a_reason_is_refused(project: Project, open_page: OpenPage) -> None:
    definition = save(project, "no-reason")
    page = open_page(project.workers[0])
    begin(page, definition, "Pause")
    page.get_by_role("button", name="Pause", exact=True).click()
    invalid = page.get_by_label("Reason").evaluate("(input) => input.matches(':invalid')")
    assert invalid
    assert not state(project, definition).get("paused")


@with_and_without_javascript
def test_override_and_clear(
    project: Project, open_page: OpenPage, look: Look, watch: Watch
) -> None:
    watch.expect("status of 400")
    definition = save(project, f"override-{look.name}")
    page = open_page(project.workers[0], look)
    begin(page, definition, "Override")
    page.get_by_label("Cron").fill("61 5 * * *")
    page.get_by_label("Reason").fill("moved <tonight>")
    # A mistake is shown, and what was typed stays.
    page.get_by_role("main").get_by_role("button", name="Override", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("61")
    expect(page.get_by_label("Reason")).to_have_value("moved <tonight>")
    assert "T03:00:00Z" in next_time(project, definition)

    page.get_by_label("Cron").fill("17 5 * * *")
    expect(submit(page, "Override")).to_contain_text("in force")
    assert "T05:17:00Z" in next_time(project, definition)

    begin(page, definition, "Clear override")
    expect(page.get_by_role("main")).to_contain_text("moved <tonight>")
    expect(submit(page, "Clear override")).to_contain_text("file's values are in force")
    assert "T03:00:00Z" in next_time(project, definition)


@with_and_without_javascript
def test_a_run_is_started_once_however_often_the_form_is_sent(
    project: Project, open_page: OpenPage, look: Look
) -> None:
    definition = save(project, f"trigger-{look.name}")
    page = open_page(project.workers[0], look)
    begin(page, definition, "Run now")
    page.get_by_label("Reason").fill("asked by ann")
    form = page.locator("main form[method=post]")
    fields = form.evaluate("(form) => Object.fromEntries(new FormData(form))")
    address = f"/definitions/{definition}/trigger"
    page.get_by_role("button", name="Run now", exact=True).dblclick()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("1 run has started")
    # The same form again, as a browser sends it when its result is loaded again.
    headers = {"origin": project.workers[0].url, "sec-fetch-site": "same-origin"}
    again = page.request.post(address, form=fields, headers=headers)
    assert again.status == 200 and "1 run has started" in again.text(), again.text()
    runs = project.server.wait_for_runs(project.workflow_id(definition), 1)
    assert len(runs) == 1, runs
    assert project.live(definition)["info"].get("actionCount") == "1"


@with_and_without_javascript
def test_a_backfill_lists_its_runs_first(project: Project, open_page: OpenPage, look: Look) -> None:
    definition = save(project, f"backfill-{look.name}")
    page = open_page(project.workers[0], look)
    begin(page, definition, "Backfill")
    page.get_by_label("From").fill("2026-03-02")
    page.get_by_label(re.compile("^To")).fill("2026-03-05")
    page.get_by_label("If another run is running").select_option("allow_all")
    page.get_by_label("Reason").fill("late data")
    page.get_by_role("button", name="Show the runs").click()
    listed = page.get_by_role("main").locator("ol li")
    expect(listed).to_have_count(3)
    expect(listed.first).to_contain_text("2 Mar 2026 03:00:00")
    assert not project.server.runs(project.workflow_id(definition))

    expect(submit(page, re.compile("Start 3 runs"))).to_contain_text("3 runs have started")
    runs = project.server.wait_for_runs(project.workflow_id(definition), 3)
    names = sorted(run["execution"]["workflowId"] for run in runs)
    prefix = project.workflow_id(definition)
    assert names == [f"{prefix}-2026-03-0{day}T03:00:00Z" for day in (2, 3, 4)]


@with_and_without_javascript
def test_sync_creates_what_is_missing(project: Project, open_page: OpenPage, look: Look) -> None:
    definition = save(project, f"sync-{look.name}")
    schedule = project.schedule_id(definition)
    project.server.cli("schedule", "delete", "--schedule-id", schedule)
    page = open_page(project.workers[0], look)
    visit(page, "/plan")
    expect(page.get_by_role("main")).to_contain_text(definition)
    expect(submit(page, "Sync now")).to_contain_text(definition)
    assert project.has(definition)


@with_and_without_javascript
def test_actions_on_many(project: Project, open_page: OpenPage, look: Look) -> None:
    label = f"many-{look.name}"
    one, two, other = (save(project, f"{label}-{n}", label) for n in ("one", "two", "other"))
    page = open_page(project.workers[0], look)

    def on_two(action: str) -> None:
        """Picks two rows and opens the list of effects."""
        visit(page, f"/?label=set%3D{label}")
        expect(page.locator("tr.row")).to_have_count(3)
        for definition in (one, two):
            page.get_by_label(f"Pick {definition}").check()
        page.get_by_role("button", name=f"{action}…", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{action} 2 schedules")
        expect(page.get_by_role("main")).to_contain_text("Nothing has been done yet")
        effects = page.get_by_role("main").get_by_role("row")
        expect(effects.filter(has_text=one)).to_have_count(1)
        expect(effects.filter(has_text=other)).to_have_count(0)

    on_two("Pause")
    assert not state(project, one).get("paused")
    page.get_by_label("Reason").fill("the database moves")
    done(page, "Pause 2 schedules", 2)
    assert state(project, one)["paused"] and state(project, two)["paused"]
    assert "the database moves" in state(project, two)["notes"]
    assert not state(project, other).get("paused")

    on_two("Unpause")
    done(page, "Unpause 2 schedules", 2)
    assert not state(project, one).get("paused") and not state(project, two).get("paused")

    for definition in (one, two):
        override = ["--set", "cron=17 5 * * *", "--reason", "moved"]
        project.almanac("override", definition, *override)
    on_two("Clear override")
    done(page, "Clear override 2 schedules", 2)
    assert "T03:00:00Z" in next_time(project, one)

    on_two("Run now")
    done(page, "Run now 2 schedules", 2)
    for definition in (one, two):
        assert len(project.server.wait_for_runs(project.workflow_id(definition), 1)) == 1
    assert not project.server.runs(project.workflow_id(other))


def test_an_action_on_all_that_match(
    own_project: Callable[[], Project], open_page: OpenPage
) -> None:
    project = own_project()
    count = 101
    documents = [
        f"id: many-{number}\n{DEFINITION.format(label='many')}" for number in range(count)
    ]
    project.write("many.yaml", "---\n".join(documents))
    project.write("other.yaml", DEFINITION.format(label="none"))
    worker = project.start()
    worker.sync()
    page = open_page(worker)
    visit(page, "/?label=set%3Dmany")
    # The page shows the first 100.
    page.get_by_label("Pick many-0", exact=True).check()
    page.get_by_label(f"all {count} that match").check()
    page.get_by_role("button", name="Run now…").click()
    page.get_by_role("button", name=f"Run now {count} schedules").click(timeout=120_000)
    expect(page.get_by_role("main")).to_contain_text(f"{count} done.")
    assert len(project.server.wait_for_runs(project.workflow_id("many"), count)) == count
    assert not project.server.runs(project.workflow_id("other"))


def done(page: Page, button: str, count: int) -> None:
    """Sends the form for several schedules, which must succeed for each."""
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("main")).to_contain_text(f"{count} done.")
    expect(page.get_by_role("main").locator("tbody tr")).to_have_count(count)


@with_and_without_javascript
def test_suspend_and_resume(
    own_project: Callable[[], Project], open_page: OpenPage, look: Look
) -> None:
    project = own_project()
    save_before = DEFINITION.format(label="none")
    project.write("before.yaml", save_before)
    worker = project.start()
    page = open_page(worker, look)
    visit(page, "/")
    page.get_by_role("link", name="Suspend").click()
    page.get_by_label("Reason").fill("moving the database")
    page.get_by_role("button", name="Suspend", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Almanac is suspended")
    assert "moving the database" in memo(project)

    project.write("during.yaml", DEFINITION.format(label="none"))
    until("the file to be read", lambda: worker.get("/api/v1/definitions/during")[0] == 200)
    visit(page, "/plan")
    expect(page.get_by_role("main")).to_contain_text("moving the database")
    expect(page.get_by_role("main")).to_contain_text("during")
    assert not project.has("during")

    page.get_by_role("main").get_by_role("link", name="Resume").click()
    expect(page.get_by_role("main")).to_contain_text("moving the database")
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Almanac works again")
    until("the schedule to be created", lambda: project.has("during"))
    assert "moving the database" not in memo(project)


def memo(project: Project) -> str:
    """Returns the memo of the reconcile workflow, decoded."""
    workflow = f"almanac/{project.name}/reconcile"
    return project.server.cli("workflow", "describe", "--workflow-id", workflow)


@with_and_without_javascript
def test_held_removals_are_confirmed_by_their_number(
    own_project: Callable[[], Project], open_page: OpenPage, look: Look, watch: Watch
) -> None:
    watch.expect("status of 400")
    project = own_project()
    project.write("stays.yaml", DEFINITION.format(label="none"))
    gone = [f"gone-{number}" for number in range(10)]
    for definition in gone:
        project.write(f"folder/{definition}.yaml", DEFINITION.format(label="none"))
    worker = project.start()
    # A worker is ready before its first pass has ended.
    worker.sync()
    assert all(project.has(definition) for definition in gone)
    project.remove("folder")
    worker.sync()
    page = open_page(worker, look)
    visit(page, "/")
    expect(page.get_by_role("main")).to_contain_text("10 removals held")
    page.get_by_role("link", name="Review").click()
    page.get_by_role("link", name="Delete 10 schedules").click()
    expect(page.get_by_role("main")).to_contain_text(project.schedule_id("gone-7"))

    page.get_by_label("Type 10 to confirm").fill("9")
    page.get_by_role("button", name="Delete 10 schedules").click()
    expect(page.get_by_role("main")).to_contain_text("nothing was deleted")
    assert all(project.has(definition) for definition in gone)

    visit(page, "/confirm")
    page.get_by_label("Type 10 to confirm").fill("10")
    expect(submit(page, "Delete 10 schedules")).to_contain_text("10 changes")
    assert not any(project.has(definition) for definition in gone)
    assert project.has("stays")
