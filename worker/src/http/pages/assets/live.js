// Follows what changes, as server-sent events, and reads the page again when it matters.

import { refresh, refreshFrame } from "./page.js";

/** Time for which events are gathered before the page is read again, in milliseconds. */
const GATHER = 250;
/** Maximum extra time, so that many open pages do not ask at the same moment. */
const SPREAD = 250;

let timer = null;
/** More than the frame around the page has to be read. */
let whole = false;

function soon(isWhole) {
  whole ||= isWhole;
  if (timer !== null) return;
  timer = setTimeout(() => {
    timer = null;
    // A page that nobody sees is read when it is seen.
    if (document.hidden) {
      document.addEventListener("visibilitychange", () => soon(true), { once: true });
    } else if (whole) {
      whole = false;
      refresh();
    } else {
      refreshFrame();
    }
  }, GATHER + Math.random() * SPREAD);
}

/** Returns true if the change concerns what this page shows, beside its frame. */
function concerns(change) {
  const others = change.many || change.pass || change.ids.length > 0;
  // Many events may arrive each second, and only their own pages show them.
  if (!others) return change.events && document.querySelector("main [data-events]") !== null;
  const about = document.querySelector("main [data-about]")?.dataset.about;
  return about === undefined || change.many || change.ids.includes(about);
}

/** Time after which a refused stream is opened again, in milliseconds. */
const AGAIN = 5000;

let events = null;
/** Something may have changed that no event told: before the first event, too. */
let lost = true;

function open() {
  if (events || document.hidden) return;
  events = new EventSource("/live");
  events.addEventListener("change", (event) => {
    const change = JSON.parse(event.data);
    if (concerns(change)) soon(true);
    // The frame shows the last pass.
    else if (change.pass) soon(false);
  });
  events.addEventListener("error", () => {
    lost = true;
    document.documentElement.dataset.lost = "";
    if (events.readyState !== EventSource.CLOSED) return;
    close();
    setTimeout(open, AGAIN + Math.random() * AGAIN);
  });
  events.addEventListener("open", () => {
    delete document.documentElement.dataset.lost;
    if (lost) soon(true);
    lost = false;
  });
}

function close() {
  events?.close();
  events = null;
}

/**
 * Listens for changes while the page is seen. A browser opens few connections to a server, and
 * pages in the background leave them to others.
 */
export function followChanges() {
  const main = document.querySelector("[data-follow]");
  // A page with a form is not replaced under the person who fills it in. Filters are no part of
  // what is replaced.
  const typed = ":is(input:not([type=hidden], [type=checkbox]), textarea, select)";
  if (!main || main.querySelector(`form:not([method=get]) ${typed}`)) return;
  open();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      lost = true;
      close();
    } else {
      open();
    }
  });
  window.addEventListener("pagehide", close);
}
