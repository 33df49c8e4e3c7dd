// Finished events by the filters, and above them those that sound now -> the table of events; clips.

import { ask, blobUrl } from "./api.js";
import { byId, html, spot, svg } from "./dom.js";
import { classColour } from "./look.js";
import { state } from "./state.js";
import { direction, percent, spoken, timeOf } from "./words.js";

const SHOWN = 100;
let records = [];
let asked = 0;
let url = null;

/** The filters as the server knows them. */
export function filters() {
  const seconds = byId("by-time").value;
  return {
    class: byId("by-class").value,
    sector: byId("by-sector").value,
    since_s: seconds ? Math.floor(Date.now() / 1000 - Number(seconds)) : "",
  };
}

/** Fill the filters, and have `changed` called when one is used. */
export function startEvents(about, changed) {
  byId("by-class").append(...about.classes.map((name) => html("option", { value: name }, spoken(name))));
  const sectors = about.sectors ?? [];
  byId("sector-filter").hidden = !sectors.length;
  byId("by-sector").append(...sectors.map(({ name }) => html("option", { value: name }, name)));
  byId("filters").addEventListener("change", changed);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
}

/** Get the finished events from the server. An answer that comes after the next question is not shown. */
export async function loadEvents() {
  const number = ++asked;
  const found = await ask("api/events", { ...filters(), limit: SHOWN });
  if (number !== asked) return;
  records = found;
  drawEvents();
}

/** Take an event that has just ended. */
export function addEvent(record) {
  if (!isWanted(record)) return;
  records.unshift(record);
  byId("events").prepend(row(record, false));
  for (const old of [...byId("events").children].slice(SHOWN)) old.remove();
  records.length = Math.min(records.length, SHOWN);
}

/** Draw the finished events. */
export function drawEvents() {
  byId("events").replaceChildren(...records.map((record) => row(record, false)));
  drawLiveEvents();
}

/** Draw the events that sound now. */
export function drawLiveEvents() {
  const live = [...state.live.values()].filter(({ record }) => isWanted(record)).reverse();
  byId("events-now").replaceChildren(...live.map(liveRow));
  byId("no-events").hidden = live.length + records.length > 0;
}

function isWanted(record) {
  const wanted = filters();
  return (!wanted.class || record.class === wanted.class) && (!wanted.sector || record.sector === wanted.sector);
}

function liveRow(event) {
  event.shownS ??= state.now;
  const made = row(event.record, true);
  Object.assign(made.dataset, { begunS: event.begunS, shownS: event.shownS, id: event.record.id });
  return made;
}

function row(record, now) {
  const colour = classColour(state.about.classes.indexOf(record.class));
  const sound = html("span", { class: "sound" }, spot(colour), spoken(record.class));
  if (record.level_db !== undefined) sound.append(html("span", { class: "quiet" }, ` ${Math.round(record.level_db)} dB`));
  if (now) sound.append(html("span", { class: "tag" }, "now"));
  const arrow = svg("svg", { class: "arrow", viewBox: "-8 -8 16 16", "aria-hidden": "true" });
  arrow.append(svg("path", { d: "M0 6V-6M-4 -2L0 -6L4 -2", transform: `rotate(${-record.azimuth_deg})` }));
  const from = html("td", {}, arrow, direction(record.azimuth_deg, record.elevation_deg));
  if (record.sector) from.append(` (${record.sector})`);
  const made = html("tr", { class: now ? "now" : null, "data-class": record.class });
  const length = `${(record.offset_s - record.onset_s).toFixed(1)} s`;
  made.append(
    html("td", {}, timeOf(record)),
    html("td", {}, sound),
    from,
    html("td", { class: "number" }, length),
    html("td", { class: "number" }, percent(record.score)),
    html("td", {}, record.clip ? playButton(record) : ""),
  );
  return made;
}

function playButton(record) {
  const label = `Play ${spoken(record.class)} of ${timeOf(record)}`;
  const button = html("button", { type: "button", class: "play", "aria-label": label, title: label }, "▶");
  button.addEventListener("click", async () => {
    const player = byId("player");
    if (url) URL.revokeObjectURL(url);
    url = await blobUrl(`api/clips/${encodeURIComponent(record.clip)}`);
    player.hidden = false;
    player.setAttribute("aria-label", label.replace("Play", "Clip:"));
    player.src = url;
    await player.play();
  });
  return button;
}
