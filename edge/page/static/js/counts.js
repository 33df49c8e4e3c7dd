// Counts of a day -> a table of hours by classes, and a rose of directions.

import { ask } from "./api.js";
import { RADIUS, wedge } from "./compass.js";
import { byId, html, svg } from "./dom.js";
import { filters } from "./events.js";
import { classColour } from "./look.js";
import { state } from "./state.js";
import { direction, localDay, spoken } from "./words.js";

let counts = { hours: {}, rose: [] };

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
  const { rose } = counts;
  const wide = 360 / rose.length;
  const most = Math.max(1, ...rose);
  const radius = (count) => RADIUS * Math.sqrt(count / most); // areas are what eyes compare
  const parts = [0.25, 0.5, 0.75, 1].map((share) => svg("circle", { r: RADIUS * Math.sqrt(share), class: "grid" }));
  for (const [name, x, y] of [["front", 0, -110], ["left", -113, 0], ["back", 0, 110], ["right", 114, 0]]) {
    parts.push(svg("text", { x, y, class: name === "front" ? "tick front" : "tick" }, name));
  }
  const { class: only } = filters();
  rose.forEach((count, bin) => {
    if (!count) return;
    const path = wedge((bin - 0.5) * wide + 0.6, (bin + 0.5) * wide - 0.6, 4, Math.max(6, radius(count)));
    const petal = svg("path", { d: path, class: "petal" });
    if (only) petal.style.fill = classColour(state.about.classes.indexOf(only));
    petal.append(svg("title", {}, `${count} from ${direction(signed(bin * wide), null)}`));
    parts.push(petal);
  });
  const total = rose.reduce((sum, count) => sum + count, 0);
  const best = rose.indexOf(Math.max(...rose));
  const words = total ? `${total} events; most of them, ${rose[best]}, from ${direction(signed(best * wide), null)}` : "No events";
  byId("rose").replaceChildren(svg("title", { id: "rose-name" }, words), ...parts);
  byId("rose-words").textContent = `${words}.`;
}

const signed = (azimuth) => (azimuth > 180 ? azimuth - 360 : azimuth);
