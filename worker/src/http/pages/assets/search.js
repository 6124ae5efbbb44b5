// Searches while the person types, and keeps the search in the address.

import { read, show } from "./page.js";

/** Time without typing after which the search begins, in milliseconds. */
const PAUSE = 60;

/** On the page of schedules, the list follows the text. */
export function searchWhileTyping() {
  const field = document.querySelector("#q");
  if (!field || !document.querySelector("#rows")) return;
  let timer = null;
  let search = null;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    search?.abort();
    timer = setTimeout(async () => {
      const address = new URL(location.href);
      address.searchParams.delete("page");
      if (field.value) address.searchParams.set("q", field.value);
      else address.searchParams.delete("q");
      search = new AbortController();
      const fresh = await read(address, search.signal);
      if (!fresh) return;
      history.replaceState(null, "", address);
      show(fresh, true);
    }, PAUSE);
  });
}
