// Replaces the parts of the page that changed by those of a page that was read again.

import { addLocalTimes } from "./times.js";

/** Time after which a busy worker is asked again, in milliseconds. */
const BUSY = 3000;

/** Asks for a page of this site. */
function ask(address, signal) {
  return fetch(address, { headers: { accept: "text/html" }, credentials: "same-origin", signal });
}

/** Resolves to the page that an answer holds. */
async function parsed(answer) {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Reads a page of this site. Resolves to null if it could not be read. */
export async function read(address, signal) {
  try {
    const answer = await ask(address, signal);
    // The session has ended: the login form explains it.
    if (answer.redirected && new URL(answer.url).pathname === "/login") {
      location.assign(answer.url);
      return null;
    }
    if (answer.status === 429 || answer.status === 503) {
      setTimeout(() => refresh(), BUSY + Math.random() * BUSY);
      return null;
    }
    if (!answer.ok) return null;
    return await parsed(answer);
  } catch {
    return null;
  }
}

/** Returns true if the person points at an element, or writes in it. */
function isInUse(element) {
  return element.matches(":hover") || element.contains(document.activeElement);
}

/** Puts a part of the new page in place of the present one. */
function put(old, fresh) {
  const node = document.importNode(fresh, true);
  keepPicked(old, node);
  old.replaceWith(node);
  addLocalTimes(node);
}

/** Keeps what the person picked and opened. */
function keepPicked(old, fresh) {
  for (const box of old.querySelectorAll("input[type=checkbox]:checked")) {
    const same = [...fresh.querySelectorAll(`input[name="${CSS.escape(box.name)}"]`)];
    const found = same.find((one) => one.value === box.value);
    if (found) found.checked = true;
  }
  const details = fresh.querySelectorAll("details");
  old.querySelectorAll("details").forEach((one, place) => {
    if (details[place]) details[place].open = one.open;
  });
}

/** The text of an element, without what differs each time a page is made. */
function contents(element) {
  const copy = element.cloneNode(true);
  for (const input of copy.querySelectorAll("input[type=hidden]")) input.remove();
  for (const time of copy.querySelectorAll("time")) {
    time.removeAttribute("title");
    time.removeAttribute("data-local");
    if (time.hasAttribute("data-relative") || time.hasAttribute("data-viewer")) time.textContent = "";
  }
  return copy.innerHTML;
}

/** The ids of rows, in their order. */
function order(body) {
  return [...body.querySelectorAll("tr.row")].map((row) => row.id).join(" ");
}

/**
 * Updates the table of schedules row by row. Rows are never moved under the pointer or the
 * focus: a note offers the new order instead.
 */
function updateRows(fresh, force) {
  const body = document.querySelector("#rows tbody");
  const next = fresh.querySelector("#rows tbody");
  if (!body || !next) return false;
  if (order(body) !== order(next)) {
    if (!force && isInUse(body)) {
      putRows(next);
      offerOrder();
      return true;
    }
    put(body, next);
    document.querySelector("#stale-order")?.remove();
    return true;
  }
  putRows(next);
  return true;
}

/** Puts the rows that changed in their present places. */
function putRows(next) {
  for (const row of next.querySelectorAll("tr.row")) {
    const old = row.id && document.getElementById(row.id);
    if (old && contents(old) !== contents(row) && !old.contains(document.activeElement)) put(old, row);
  }
}

function offerOrder() {
  if (document.querySelector("#stale-order")) return;
  const button = document.createElement("button");
  button.id = "stale-order";
  button.type = "button";
  button.textContent = "The order has changed. Show it";
  button.addEventListener("click", () => refresh(true));
  document.querySelector("#rows")?.before(button);
}

/** Replaces the live parts that changed. A part that is in use is replaced when it is left. */
function showParts(fresh) {
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (!old || contents(old) === contents(part)) continue;
    if (isInUse(old)) refreshWhenLeft(old);
    else put(old, part);
  }
}

function refreshWhenLeft(part) {
  if (part.dataset.waits !== undefined) return;
  part.dataset.waits = "";
  const left = () => {
    if (isInUse(part)) return;
    part.removeEventListener("pointerleave", left);
    part.removeEventListener("focusout", leftLater);
    delete part.dataset.waits;
    refresh();
  };
  // The focus is still inside while it leaves.
  const leftLater = () => setTimeout(left);
  part.addEventListener("pointerleave", left);
  part.addEventListener("focusout", leftLater);
}

/** Replaces what changed by the parts of a page that was read again. */
export function show(fresh, force = false) {
  document.title = fresh.title;
  const isList = updateRows(fresh, force);
  showParts(fresh);
  if (isList) return;
  const main = document.querySelector("main");
  const next = fresh.querySelector("main");
  if (main.querySelector("input:not([type=hidden]), textarea, select") || isInUseByKeyboard(main)) return;
  if (contents(main) !== contents(next)) put(main, next);
}

function isInUseByKeyboard(element) {
  const active = document.activeElement;
  return active && active !== element && element.contains(active);
}

/** Reads only the frame around the page again, which costs no request to Temporal. */
export async function refreshFrame() {
  try {
    const answer = await ask(`${location.pathname}?frame`);
    if (answer.ok && !answer.redirected) showParts(await parsed(answer));
  } catch {
    // The next change tries again.
  }
}

let isRefreshing = false;
/** Something changed while the page was being read again. */
let isOutdated = false;

/**
 * Reads the page again and shows what changed. A page that is slow to read is not given up at each
 * change: it is read once more afterwards.
 */
export async function refresh(force = false) {
  if (isRefreshing) {
    isOutdated = true;
    return;
  }
  isRefreshing = true;
  try {
    do {
      isOutdated = false;
      const address = location.href;
      const fresh = await read(address);
      // A search may have ended meanwhile.
      if (location.href !== address) isOutdated = true;
      else if (fresh) show(fresh, force);
    } while (isOutdated);
  } finally {
    isRefreshing = false;
  }
}
