"""Text of others is displayed and never interpreted, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from conftest import OpenPage, Servers
from harness.browsing import LIGHT, PHONE, PLAIN, visit, width_beyond
from harness.projects import Project
from harness.temporal import Scheduler

SCRIPT = "<script>document.title='taken'</script>"
ELEMENT = "<img src=x onerror=\"document.title='taken'\">"
ATTRIBUTE = "\" onmouseover=\"document.title='taken'\" x='"
TURNED = "invoice\u202efdp.exe"
ANSI = "\x1b[2J\x1b[31mred\x07"
WORD = "w" * 4000

#: Characters that change the display of others, or control a terminal.
FORBIDDEN = "\u202e\u2066\u2067\u200f\x1b\x07"

DEFINITIONS = r"""
id: words
description: "<script>document.title='taken'</script> invoice\u202Efdp.exe \e[2J\e[31mred\a WORD"
labels:
  "<img src=x onerror=\"document.title='taken'\">": "\" onmouseover=\"document.title='taken'\" x='"
  "team": "</td></tr></table><h1>taken</h1>"
schedule: { every: 1h }
workflow:
  type: "<script>document.title='taken'</script>"
  task_queue: "queue\u202E<b>taken</b>"
  args: ["</script><script>document.title='taken'</script>", "WORD"]
  memo: { "<i>taken</i>": "<i>taken</i>" }
---
id: steps
description: "{{constructor.constructor('alert(1)')()}} ${alert(1)} &lt;b&gt;"
schedule: { every: 1h, input: { "<b>": "<script>document.title='taken'</script>" } }
do:
  - "<svg onload=\"document.title='taken'\">":
      set: { a: "<script>document.title='taken'</script>" }
  - "fail \u202E</text></svg><h1>taken</h1>":
      raise:
        error:
          type: "https://example.com/<script>document.title='taken'</script>"
          status: 500
          title: "<script>document.title='taken'</script> \u202E \e[31m"
---
id: broken
schedule: { every: 1h, "<script>document.title='taken'</script>\u202E\e[2J": 1 }
do: [{ a: { set: { b: 1 } } }]
---
id: stale
schedule: { every: 1h }
do: [{ a: { set: { b: 1 } } }]
""".replace("WORD", WORD)


@pytest.fixture(scope="module")
def hostile(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose files, notes, runs and inputs are made to do harm."""
    project = Project(servers(Scheduler.CHASM), tmp_path_factory.mktemp("hostile"))
    project.write("all.yaml", DEFINITIONS)
    worker = project.start()
    project.server.pause(project.schedule_id("words"), f"{SCRIPT} {TURNED} {ATTRIBUTE}")
    project.almanac("trigger", "steps", "--reason", f"{SCRIPT} {TURNED} {ANSI}")
    override = ["--set", "cron=0 0 1 1 *", "--reason", f"{ELEMENT} {ATTRIBUTE} {TURNED}"]
    project.almanac("override", "stale", *override)
    project.write("all.yaml", DEFINITIONS + f'"{TURNED}<b>taken</b>": 1\n')
    project.write("<b>taken<b> ' \" &amp; \u202e.yaml", "{ [\n")
    worker.sync()
    yield project
    project.stop()


PATHS = (
    "/",
    "/?q=%3Cscript%3Edocument.title%3D%27taken%27%3C%2Fscript%3E",
    "/?q=%22%20autofocus%20onfocus%3D%22document.title%3D%27taken%27",
    "/?q=%E2%80%AE",
    "/definitions/words",
    "/definitions/steps",
    "/definitions/broken",
    "/definitions/stale",
    "/errors",
    "/timeline",
    "/plan",
    "/activity",
)


@pytest.mark.parametrize("path", PATHS)
def test_hostile_text_is_displayed_and_not_interpreted(
    hostile: Project, open_page: OpenPage, path: str
) -> None:
    for look in (LIGHT, PHONE, PLAIN):
        page = open_page(hostile.workers[0], look)
        visit(page, path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        nothing_is_interpreted(page)
        if look is PHONE:
            beyond, elements = width_beyond(page)
            assert beyond <= 0, "\n".join([f"{beyond} pixels too wide:", *elements])


def nothing_is_interpreted(page: Page) -> None:
    """Fails if a text of the project became an element, a script, or invisible."""
    assert "taken" not in page.title() or "<" in page.title()
    expect(page.locator("h1", has_text="taken")).to_have_count(0)
    expect(
        page.locator("[onload], [onerror], [onmouseover], [onfocus], img, iframe")
    ).to_have_count(0)
    scripts = page.locator("script").evaluate_all("(all) => all.map((one) => one.src)")
    assert all(src.startswith(page.url.split("/", 3)[0]) for src in scripts), scripts
    # A field may hold what a person typed; nothing else may.
    content = page.evaluate(
        """() => {
            const copy = document.documentElement.cloneNode(true);
            copy.querySelectorAll('input').forEach((input) => input.removeAttribute('value'));
            return copy.outerHTML;
        }"""
    )
    found = {hex(ord(letter)) for letter in FORBIDDEN if letter in content}
    assert not found, f"characters that no page may contain: {found}"


@pytest.mark.parametrize(
    ("path", "texts"),
    (
        (
            "/",
            [
                "</td></tr></table>",
                "queue\\u{202e}<b>taken</b>",
                f"{SCRIPT} invoice\\u{{202e}}fdp.exe",
            ],
        ),
        ("/definitions/words", [SCRIPT, "queue\\u{202e}<b>taken</b>"]),
        ("/definitions/steps", [SCRIPT, "{{constructor.constructor('alert(1)')()}}", "&lt;b&gt;"]),
        ("/errors", [f"unknown key `{SCRIPT}\\u{{202e}}\\u{{1b}}[2J`"]),
    ),
)
def test_hostile_text_can_be_read(
    hostile: Project, open_page: OpenPage, path: str, texts: list[str]
) -> None:
    page = open_page(hostile.workers[0])
    visit(page, path)
    for text in texts:
        expect(page.get_by_role("main")).to_contain_text(text)
