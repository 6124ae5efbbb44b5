// Keys of the pages. `?` shows them.

/** The keys, each with what it does. */
const KEYS = [
  ["/", "search"],
  ["j, k", "next row, previous row"],
  ["x", "pick the row"],
  ["Enter", "open the row"],
  ["p", "pause or unpause the row"],
  ["t", "run the row now"],
  ["o", "override the row"],
  ["g s, g t, g e, g p, g a, g v", "schedules, timeline, errors, plan, activity, events"],
  ["[, ]", "earlier, later on the timeline"],
  ["Esc", "close"],
  ["?", "these keys"],
];
const PLACES = { s: "/", e: "/errors", p: "/plan", a: "/activity", t: "/timeline", v: "/events" };
/** Time within which the second of two keys has to follow, in milliseconds. */
const FOLLOWS = 1000;

function rows() {
  return [...document.querySelectorAll("tr.row")];
}

function current() {
  return document.activeElement?.closest("tr.row");
}

/** Moves the focus to the name of another row. */
function move(step) {
  const all = rows();
  const at = all.indexOf(current());
  const next = all[at === -1 ? (step > 0 ? 0 : all.length - 1) : at + step];
  next?.querySelector("a.name")?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Opens the page of an action, of the row or of the definition that is shown. */
function open(actions) {
  const about = document.querySelector("main [data-about]");
  const scope = current() ?? (about && document.querySelector("main"));
  for (const action of actions) {
    const link = scope?.querySelector(`a[href$="/${action}"]`);
    if (link) return link.click();
  }
}

function showKeys() {
  let dialog = document.querySelector("#keys");
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.id = "keys";
    dialog.setAttribute("aria-label", "Keys");
    const title = document.createElement("h2");
    title.textContent = "Keys";
    const list = document.createElement("dl");
    for (const [keys, what] of KEYS) {
      const term = document.createElement("dt");
      for (const key of keys.split(", ")) {
        const element = document.createElement("kbd");
        element.textContent = key;
        term.append(element, " ");
      }
      const text = document.createElement("dd");
      text.textContent = what;
      list.append(term, text);
    }
    const form = document.createElement("form");
    form.method = "dialog";
    const button = document.createElement("button");
    button.textContent = "Close";
    form.append(button);
    dialog.append(title, list, form);
    document.body.append(dialog);
  }
  if (!dialog.open) dialog.showModal();
}

/** Hides the messages of errors that are shown because of the pointer or the focus. */
function closeMessages() {
  for (const badge of document.querySelectorAll(".err")) {
    if (!badge.matches(":hover, :focus-within")) continue;
    badge.classList.add("shut");
    const reopen = () => badge.classList.remove("shut");
    badge.addEventListener("pointerleave", reopen, { once: true });
    badge.addEventListener("focusout", reopen, { once: true });
  }
}

/** Listens for the keys. */
export function listenForKeys() {
  let first = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return closeMessages();
    const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const follows = event.timeStamp - first < FOLLOWS;
    first = 0;
    if (follows && PLACES[event.key]) {
      location.assign(PLACES[event.key]);
      return;
    }
    switch (event.key) {
      case "/":
        event.preventDefault();
        document.querySelector("#q")?.focus();
        document.querySelector("#q")?.select();
        break;
      case "j": move(1); break;
      case "k": move(-1); break;
      case "x": current()?.querySelector(".pick input")?.click(); break;
      case "p": open(["pause", "unpause"]); break;
      case "t": open(["trigger"]); break;
      case "o": open(["override"]); break;
      case "g": first = event.timeStamp; break;
      case "[": document.querySelector("a[rel=prev]")?.click(); break;
      case "]": document.querySelector("a[rel=next]")?.click(); break;
      case "?": showKeys(); break;
    }
  });
}
