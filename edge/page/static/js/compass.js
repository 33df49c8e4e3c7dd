// Live events -> dots on a compass. The front is up, azimuth runs counter-clockwise, and the middle is straight above.

import { byId, html, spot, svg } from "./dom.js";
import { classColour } from "./look.js";
import { last, state, trail } from "./state.js";
import { direction, percent, spoken } from "./words.js";

export const RADIUS = 100;

/** The point of a direction; without an elevation it lies on the ring of the horizon. */
export function point(azimuth, elevation, flat) {
  const radius = flat || elevation === null ? RADIUS : (RADIUS * (90 - elevation)) / 180;
  const angle = (azimuth * Math.PI) / 180;
  return [-radius * Math.sin(angle), -radius * Math.cos(angle)];
}

/** A wedge between two azimuths, counter-clockwise, and two radii, as the data of a path. */
export function wedge(from, to, inner, outer) {
  const span = (((to - from) % 360) + 360) % 360 || 360;
  const large = span > 180 ? 1 : 0;
  const at = (azimuth, radius) => {
    const angle = (azimuth * Math.PI) / 180;
    return `${(-radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
  };
  const end = from + Math.min(span, 359.9);
  return `M${at(from, inner)}L${at(from, outer)}A${outer} ${outer} 0 ${large} 0 ${at(end, outer)}L${at(end, inner)}A${inner} ${inner} 0 ${large} 1 ${at(from, inner)}Z`;
}

/** Draw what never changes, for a run: rings, ticks and sectors. */
export function drawCompass(about) {
  const compass = byId("compass");
  const parts = [];
  for (const sector of about.sectors ?? []) {
    const [from, to] = sector.azimuth_deg;
    const path = svg("path", { d: wedge(from, to, 0, RADIUS), class: `sector${sector.ignore ? " ignored" : ""}` });
    path.append(svg("title", {}, `${sector.name}${sector.ignore ? ", ignored" : ""}`));
    const middle = from + ((((to - from) % 360) + 360) % 360) / 2;
    const [x, y] = point(middle, -62, false);
    parts.push(path, svg("text", { x, y, class: "tick" }, sector.name));
  }
  const rings = about.flat ? [RADIUS] : [RADIUS / 4, RADIUS / 2, (3 * RADIUS) / 4, RADIUS];
  for (const radius of rings) {
    const main = about.flat || radius === RADIUS / 2;
    parts.push(svg("circle", { r: radius, class: main ? "grid main" : "grid" }));
  }
  for (let azimuth = 0; azimuth < 360; azimuth += 30) {
    const [x, y] = point(azimuth, null, true);
    const [from, to] = [azimuth % 90 ? 0.96 : 0, 1];
    parts.push(svg("line", { x1: x * from, y1: y * from, x2: x * to, y2: y * to, class: "grid" }));
  }
  const names = { 0: "front", 90: "left", 180: "back", 270: "right" };
  for (const [azimuth, name] of Object.entries(names)) {
    const [x, y] = point(Number(azimuth), null, true);
    const away = azimuth % 180 ? 1.15 : 1.1;
    parts.push(svg("text", { x: x * away, y: y * away, class: azimuth === "0" ? "tick front" : "tick" }, name));
  }
  if (!about.flat) {
    for (const [name, elevation] of [["level", 0], ["45° down", -45]]) {
      const [x, y] = point(-12, elevation, false);
      parts.push(svg("text", { x: x + 3, y: y + 5, class: "tick ring" }, name));
    }
  }
  parts.push(svg("circle", { r: 2, class: "me" }), svg("g", { id: "dots" }));
  compass.append(...parts);
}

/** Draw what sounds now, and say it in the list below. */
export function drawSources() {
  const { about, live } = state;
  const colour = (name) => classColour(about.classes.indexOf(name));
  const [parts, names, taken] = [[], [], []];
  for (const [azimuth, elevation] of live.size ? [] : state.guesses) {
    const [cx, cy] = point(azimuth, elevation, about.flat);
    parts.push(svg("circle", { cx, cy, r: 4, class: "guess" }));
  }
  for (const [id, event] of live) {
    const way = trail(event).map((each) => point(each.azimuth, each.elevation, about.flat).map((v) => v.toFixed(1)));
    const [cx, cy] = last(way);
    const { class: name, score } = event.record;
    parts.push(svg("polyline", { points: way.join(" "), class: "trail", stroke: colour(name) }));
    parts.push(svg("circle", { cx, cy, r: 4.5 + 4 * score, class: "dot", fill: colour(name), "data-id": id }));
    const left = cx > 20;
    const y = free(Number(cy), taken);
    const text = { x: Number(cx) + (left ? -12 : 12), y, class: "dot-name", "text-anchor": left ? "end" : "start" };
    names.push(svg("text", text, spoken(name)));
  }
  byId("dots").replaceChildren(...parts, ...names);
  const rows = [...live.values()].map(({ record }) =>
    html("li", {}, spot(colour(record.class)), html("b", {}, spoken(record.class)), direction(record.azimuth_deg, record.elevation_deg), html("span", {}, percent(record.score))),
  );
  byId("sources").replaceChildren(...(rows.length ? rows : [html("li", { class: "empty" }, "Nothing that has a name.")]));
}

/** A height near the wanted one at which no other name stands. */
function free(y, taken) {
  while (taken.some((other) => Math.abs(other - y) < 12)) y += 12;
  taken.push(y);
  return y;
}
