"""The harness of the browser tests: real Temporal servers, the real binary, and Chromium.

- `temporal` starts a dev server of each scheduler, and asks it with Temporal's own CLI.
- `projects` has a test's project: a name, a folder of definitions, and its workers.
- `demonstration` brings one project into every state that a page can show.
- `browsing` opens pages in a look (light, dark, phone, without JavaScript) and notes
  every error, failed request and report of the content security policy.
- `pages` lists the pages.

Every process dies with the test process. Tests wait for conditions, with a bound, and
never for a fixed time.
"""
