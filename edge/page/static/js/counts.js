// Counts of a day -> a table of hours by classes, and a rose of directions.

import { ask } from "./api.js";
import { RADIUS, wedge } from "./compass.js";
import { byId, html, svg } from "./dom.js";
import { filters } from "./events.js";
import { classColour } from "./look.js";
import { state } from "./state.js";
import { localDay, side, spoken } from "./words.js";

const BIN_DEG = 10;
let counts = { hours: {}, directions: {} };

/** Show today, and have `changed` called for another day. */
export function startCounts(changed) {
  const input = byId("by-day");
  input.value = input.max = localDay(new Date());
  input.addEventListener("change", changed);
}

/** Get the counts of the day from the server. */
export async function loadCounts() {
  const midnight = new Date(`${byId("by-day").value || localDay(new Date())}T00:00`).getTime() / 1000;
  const { class: name, sector } = filters();
  counts = await ask("api/counts", { class: name, sector, since_s: midnight, until_s: midnight + 86400 });
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
  const bins = Array.from({ length: 360 / BIN_DEG }, (_, bin) =>
    Object.entries(counts.directions).map(([name, row]) => [name, row[bin]]).filter(([, count]) => count),
  );
  const sums = bins.map((bin) => bin.reduce((sum, [, count]) => sum + count, 0));
  const most = Math.max(1, ...sums);
  const radius = (count) => RADIUS * Math.sqrt(count / most); // areas are what eyes compare
  const parts = [0.25, 0.5, 0.75, 1].map((share) => svg("circle", { r: RADIUS * Math.sqrt(share), class: "grid" }));
  for (const [name, x, y] of [["front", 0, -112], ["left", -116, 0], ["back", 0, 112], ["right", 116, 0]]) {
    parts.push(svg("text", { x, y, class: name === "front" ? "tick front" : "tick" }, name));
  }
  bins.forEach((bin, index) => {
    let inner = 0;
    for (const [name, count] of bin) {
      const path = wedge(index * BIN_DEG, (index + 1) * BIN_DEG, radius(inner), radius(inner + count));
      const petal = svg("path", { d: path, class: "petal", fill: classColour(state.about.classes.indexOf(name)) });
      petal.append(svg("title", {}, `${spoken(name)}: ${count} of ${index * BIN_DEG} to ${(index + 1) * BIN_DEG}°`));
      parts.push(petal);
      inner += count;
    }
  });
  const total = sums.reduce((sum, count) => sum + count, 0);
  const best = sums.indexOf(Math.max(...sums));
  const words = total
    ? `${total} events; most of them, ${sums[best]}, from ${side(best * BIN_DEG + BIN_DEG / 2)}`
    : "No events";
  byId("rose").replaceChildren(svg("title", { id: "rose-name" }, words), ...parts);
}
