// Makes the pages quicker to use. Everything works without this script.

import { keepTimesCurrent, addLocalTimes } from "./times.js";
import { followChanges } from "./live.js";
import { listenForKeys } from "./keys.js";
import { searchWhileTyping } from "./search.js";

addLocalTimes(document);
keepTimesCurrent();
followChanges();
listenForKeys();
searchWhileTyping();

// A form that is being sent is not sent again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent !== undefined) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
});
// A page that the browser shows again from its memory has forms that were sent already.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
