"""Writes a picture of every page in light, dark and phone width: `make screenshots`.

The folder is the first argument. Names of pages after it draw only these.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from harness.browsing import DARK, LIGHT, PHONE, Watch, launch, open_context
from harness.demonstration import demonstrate
from harness.pages import PAGES
from harness.temporal import Scheduler, Server


def main(folder: Path, names: list[str]) -> int:
    """Draws the pages, and returns the exit code: 1 if a page did not answer with 200."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        server = Server(Scheduler.V1, Path(temporary))
        project, worker = demonstrate(server, Path(temporary))
        browser = launch(playwright)
        for look in (LIGHT, DARK, PHONE):
            watch = Watch()
            page = open_context(browser, look, worker.url, watch).new_page()
            for drawn in PAGES:
                if names and drawn.name not in names:
                    continue
                path = drawn.address(worker)
                answer = page.goto(path)
                status = answer.status if answer else 0
                failed += status != 200
                file = folder / f"{drawn.name}-{look.name}.png"
                page.screenshot(path=file, full_page=True)
                print(f"{status} {path} {file}")
            for problem in watch.problems:
                print(f"{look.name}: {problem}", file=sys.stderr)
        browser.close()
        project.stop()
        server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
