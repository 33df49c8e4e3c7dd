// Counts of a day -> a table of hours by classes, and a rose of directions.

import { ask } from "./api.js";
import { RADIUS, wedge } from "./compass.js";
import { byId, html, svg } from "./dom.js";
import { filters } from "./events.js";
import { classColour } from "./look.js";
import { state } from "./state.js";
import { direction, localDay, spoken } from "./words.js";

const BINS = 36; // of 10 degrees, counter-clockwise from the front
let counts = { hours: {}, rose: {} };
let asked = 0;

/** Show today, and have `changed` called for another day. */
export function startCounts(changed) {
  const input = byId("by-day");
  input.value = input.max = localDay(new Date());
  input.addEventListener("change", changed);
}

/** Get the counts of the day from the server. An answer that comes after the next question is not shown. */
export async function loadCounts() {
  const midnight = new Date(`${byId("by-day").value || localDay(new Date())}T00:00`).getTime() / 1000;
  const { class: name, sector } = filters();
  const number = ++asked;
  const found = await ask("api/counts", { class: name, sector, since_s: midnight, until_s: midnight + 86400 });
  if (number !== asked) return;
  counts = found;
  drawCounts();
}

/** Draw the table and the rose. */
export function drawCounts() {
  drawDay();
  drawRose();
}

function drawDay() {
  const hours = Array.from({ length: 24 }, (_, hour) => hour);
  const head = html("tr", {}, html("th", { scope: "col" }, "hour"), ...hours.map((hour) => html("th", { scope: "col" }, String(hour))));
  const most = Math.max(1, ...Object.values(counts.hours).flat());
  const known = state.about.classes.filter((name) => counts.hours[name]);
  const rows = known.map((name) => {
    const colour = classColour(state.about.classes.indexOf(name));
    const cells = counts.hours[name].map((count) => {
      if (!count) return html("td");
      const shade = html("i");
      shade.style.background = colour;
      shade.style.opacity = 0.18 + 0.32 * Math.sqrt(count / most);
      return html("td", { title: `${spoken(name)}: ${count}` }, shade, html("b", {}, String(count)));
    });
    return html("tr", {}, html("th", { scope: "row" }, spoken(name)), ...cells);
  });
  if (!rows.length) rows.push(html("tr", {}, html("th", { scope: "row" }, "no events"), ...hours.map(() => html("td"))));
  byId("day").replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows));
  showHour(new Date().getHours());
}

/** Where the table is wider than the screen, begin with the present hour in sight. */
function showHour(hour) {
  const frame = byId("day").parentElement;
  if (frame.scrollLeft === 0) frame.scrollLeft = (frame.scrollWidth * hour) / 24 - frame.clientWidth / 2;
}

function drawRose() {
  const rows = Object.entries(counts.rose);
  const sums = Array.from({ length: BINS }, (_, bin) => rows.reduce((sum, [, row]) => sum + row[bin], 0));
  const wide = 360 / BINS;
  const most = Math.max(1, ...sums);
  const radius = (count) => 4 + (RADIUS - 4) * Math.sqrt(count / most); // areas are what eyes compare
  const parts = [0.25, 0.5, 0.75, 1].map((share) => svg("circle", { r: radius(share * most), class: "grid" }));
  for (const [name, x, y] of [["front", 0, -110], ["left", -113, 0], ["back", 0, 110], ["right", 114, 0]]) {
    parts.push(svg("text", { x, y, class: name === "front" ? "tick front" : "tick" }, name));
  }
  for (let bin = 0; bin < BINS; bin++) {
    let inner = 0;
    for (const [name, row] of rows) {
      if (!row[bin]) continue;
      const path = wedge(bin * wide + 0.4, (bin + 1) * wide - 0.4, radius(inner), radius(inner + row[bin]));
      const petal = svg("path", { d: path, class: "petal", fill: classColour(state.about.classes.indexOf(name)) });
      petal.append(svg("title", {}, `${spoken(name)}: ${row[bin]} from ${middle(bin)}`));
      parts.push(petal);
      inner += row[bin];
    }
  }
  const total = sums.reduce((sum, count) => sum + count, 0);
  const best = sums.indexOf(Math.max(...sums));
  const words = total ? `Events: ${total}. Most of them, ${sums[best]}, came from ${middle(best)}.` : "No events.";
  byId("rose").replaceChildren(svg("title", { id: "rose-name" }, words), ...parts);
  byId("rose-words").textContent = words;
}

function middle(bin) {
  const azimuth = ((bin + 0.5) * 360) / BINS;
  return direction(azimuth > 180 ? azimuth - 360 : azimuth, null);
}
