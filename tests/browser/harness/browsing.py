"""Chromium, and everything on a page that must not happen unnoticed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
)

from .processes import chromium_binary

#: Maximum time in milliseconds for a condition on a page, on a busy machine.
TIMEOUT = 15_000


@dataclass(frozen=True)
class Look:
    """The circumstances in which a person reads a page."""

    name: str
    scheme: Literal["light", "dark"] = "light"
    width: int = 1440
    height: int = 900
    javascript: bool = True


LIGHT = Look("light")
DARK = Look("dark", scheme="dark")
PHONE = Look("phone", width=390, height=844)
PLAIN = Look("plain", javascript=False)

#: Reports each violation of the content security policy through the function below.
REPORT_VIOLATIONS = """
document.addEventListener('securitypolicyviolation', (event) => {
    reportViolation(`${event.violatedDirective} blocked ${event.blockedURI || 'inline'} `
        + `${event.sample} at ${event.sourceFile}:${event.lineNumber}`);
});
"""


@dataclass
class Watch:
    """Problems of all pages of a context: errors, failed requests, violated policies."""

    problems: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Accepts the problems that a regular expression finds."""
        self.expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        """Returns the problems that no test expected."""
        return [
            problem
            for problem in self.problems
            if not any(pattern.search(problem) for pattern in self.expected)
        ]

    def attach(self, context: BrowserContext) -> None:
        """Notes the problems of all pages of a context from now on."""
        context.expose_function("reportViolation", self._violation)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"script error: {error.error}"))
        context.on("requestfailed", self._failed)
        context.on("dialog", self._dialog)

    def _violation(self, text: str) -> None:
        self.problems.append(f"content security policy: {text}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            place = message.location.get("url", "")
            self.problems.append(f"console {message.type}: {message.text} ({place})")

    def _failed(self, request: Request) -> None:
        # A browser gives up the requests of a page that it leaves.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"request failed: {request.url}: {request.failure}")

    def _dialog(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def launch(playwright: Playwright) -> Browser:
    """Starts Chromium without a window."""
    expect.set_options(timeout=TIMEOUT)
    return playwright.chromium.launch(executable_path=chromium_binary(), headless=True)


def open_context(browser: Browser, look: Look, url: str, watch: Watch) -> BrowserContext:
    """Opens a context, which is like a browser of its own, for the pages of one worker."""
    context = browser.new_context(
        base_url=url,
        color_scheme=look.scheme,
        viewport={"width": look.width, "height": look.height},
        java_script_enabled=look.javascript,
        has_touch=look is PHONE,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    context.set_default_timeout(TIMEOUT)
    watch.attach(context)
    return context


def visit(page: Page, path: str, status: int = 200) -> None:
    """Opens a page, which must answer with `status`."""
    answer = page.goto(path, wait_until="load")
    assert answer, f"{path}: no answer"
    assert answer.status == status, f"{path}: {answer.status}, not {status}"


def width_beyond(page: Page) -> tuple[int, list[str]]:
    """Returns by how many pixels the page is wider than the window, and what sticks out."""
    beyond, elements = page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            const beyond = document.documentElement.scrollWidth - width;
            const wide = [...document.querySelectorAll('body *')]
                .filter((element) => element.getBoundingClientRect().right > width + 1)
                .map((element) => element.outerHTML.slice(0, 160));
            return [beyond, beyond > 0 ? wide.slice(0, 10) : []];
        }"""
    )
    return beyond, elements


def obstacles(page: Page) -> list[str]:
    """Returns what axe-core finds on a page that is serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: "
        f"{node['html'][:200]} {node.get('failureSummary', '')}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"][:5]
    ]
