// Times relative to now, and the viewer's own zone.

/** Units of a span of time, as `almanac` prints it: `4m 12s`. */
const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

/** A number of seconds in its greatest units. */
function span(seconds, units) {
  let rest = Math.floor(seconds);
  const parts = [];
  let room = 0;
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (room === 0 && count > 0) room = units;
    if (room > 0) {
      room -= 1;
      if (count > 0) parts.push(count + unit);
      if (room === 0) break;
    }
  }
  return parts.length === 0 ? "0s" : parts.join(" ");
}

/** A time relative to now, such as `in 4m 12s` or `4m ago`. */
function relative(time, now) {
  const seconds = (time - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${span(seconds, 2)}` : `${span(-seconds, 1)} ago`;
}

const titleFormat = new Intl.DateTimeFormat(undefined, {
  weekday: "short", day: "numeric", month: "short",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
const cellFormat = new Intl.DateTimeFormat(undefined, {
  weekday: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

/** Shows times in the viewer's own zone: in the titles of times, and in columns for it. */
export function addLocalTimes(root) {
  for (const time of root.querySelectorAll("time[title]:not([data-local])")) {
    time.dataset.local = "";
    time.title = `${time.title}\nyours: ${titleFormat.format(new Date(time.dateTime))}`;
  }
  for (const time of root.querySelectorAll("time[data-viewer]")) {
    time.textContent = cellFormat.format(new Date(time.dateTime));
  }
  for (const head of root.querySelectorAll("[data-viewer-zone]")) {
    head.textContent = `${Intl.DateTimeFormat().resolvedOptions().timeZone}, yours`;
  }
}

function update() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relative(new Date(time.dateTime).getTime(), now);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Keeps relative times current, while the page is seen. */
export function keepTimesCurrent() {
  update();
  setInterval(() => { if (!document.hidden) update(); }, 1000);
  document.addEventListener("visibilitychange", update);
}
