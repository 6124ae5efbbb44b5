"""Measures how long a typed search takes in the browser, for `make bench`.

The first argument is the address of a worker with definitions `job-00000` to `job-09999`. Prints
milliseconds from the last key to the frame with the result, one number for each search.
"""

from __future__ import annotations

import sys

from playwright.sync_api import sync_playwright

from harness.browsing import LIGHT, Watch, launch, open_context, visit

#: Number of searches.
SEARCHES = 60

#: Resolves, when the list shows only rows with the text, to the time since the last input.
MEASURE = """
window.typedAt = 0;
document.querySelector('#q').addEventListener('input', () => { typedAt = performance.now(); });
window.timeOf = (text) => new Promise((resolve) => {
    const look = () => {
        const names = [...document.querySelectorAll('tr.row .name')].map((name) => name.innerText);
        if (names.length === 10 && names.every((name) => name.startsWith(text))) {
            resolve(performance.now() - typedAt);
        } else {
            requestAnimationFrame(look);
        }
    };
    look();
});
// Playwright would call a function that is the result.
undefined;
"""


def main(url: str) -> None:
    """Searches again and again, and prints how long each search took."""
    watch = Watch()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = open_context(browser, LIGHT, url, watch).new_page()
        visit(page, "/")
        page.evaluate(MEASURE)
        page.keyboard.press("/")
        for number in range(SEARCHES):
            text = f"job-{number * 16:04}"
            page.keyboard.press("Control+A")
            page.keyboard.type(text)
            print(page.evaluate("timeOf", text))
        browser.close()
    if watch.problems:
        sys.exit("\n".join(watch.problems))


if __name__ == "__main__":
    main(sys.argv[1])
