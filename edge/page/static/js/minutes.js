// Two minutes of sound and events -> azimuths over time, and the spectrogram below on the same axis of time.

import { byId, colourOf, fitted } from "./dom.js";
import { classColour, isDark } from "./look.js";
import { BANDS, COLUMNS, WINDOW_S, columnAt, last, state, wayOf } from "./state.js";
import { streamTime } from "./words.js";

const LEFT = 46; // room for the names of ticks
const BOTTOM = 18;
const FAINT = 56; // levels from here to LOUD use the colours
const LOUD = 246;
const STOPS = {
  light: ["#ffffff", "#dbe9f2", "#8fbcd9", "#3a7fb0", "#123a5c"],
  dark: ["#12181f", "#16364f", "#22678c", "#5fb0bd", "#f4ecc2"],
};
const TICKS = { 180: "back", 90: "left", 0: "front", "-90": "right", "-180": "back" };
const offscreen = document.createElement("canvas");
[offscreen.width, offscreen.height] = [COLUMNS, BANDS];
let palette = null;

/** Draw both plots. */
export function drawMinutes() {
  drawAzimuths();
  drawSpectrum();
}

/** Take the colours of the theme anew. */
export function resetColours() {
  const stops = STOPS[isDark() ? "dark" : "light"].map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  palette = new Uint32Array(256);
  for (let level = 0; level < 256; level++) {
    const place = (Math.min(1, Math.max(0, (level - FAINT) / (LOUD - FAINT))) * (stops.length - 1)) || 0;
    const below = Math.min(Math.floor(place), stops.length - 2);
    const [red, green, blue] = [0, 1, 2].map((part) =>
      Math.round(stops[below][part] + (place - below) * (stops[below + 1][part] - stops[below][part])),
    );
    palette[level] = (255 << 24) | (blue << 16) | (green << 8) | red;
  }
}

function drawAzimuths() {
  const { context, width, height } = fitted(byId("azimuths"));
  const bottom = height - 6;
  const x = (t) => LEFT + ((t - state.now + WINDOW_S) / WINDOW_S) * (width - LEFT);
  const y = (azimuth) => 6 + ((180 - azimuth) / 360) * (bottom - 6);
  const colour = (name) => classColour(state.about.classes.indexOf(name));
  axis(context, 1);
  for (const sector of state.about.sectors ?? []) drawSector(context, sector, width, y);
  for (const [azimuth, name] of Object.entries(TICKS)) {
    line(context, LEFT, y(azimuth), width, y(azimuth), colourOf("line"));
    context.fillStyle = colourOf("quiet");
    context.textAlign = "right";
    context.fillText(name, LEFT - 8, y(azimuth));
  }
  const late = x(state.now - state.about.latency_s);
  context.fillStyle = colourOf("inset");
  context.fillRect(late, 6, width - late, bottom - 6);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, width - LEFT, height);
  context.clip();
  for (const { name, points } of state.segments) drawWay(context, points, colour(name), x, y);
  for (const event of state.live.values()) {
    const points = wayOf(event);
    drawWay(context, points, colour(event.record.class), x, y);
    context.fillStyle = colour(event.record.class);
    context.beginPath();
    context.arc(x(last(points).t), y(last(points).azimuth), 4.5, 0, 2 * Math.PI);
    context.fill();
  }
  context.restore();
}

function drawWay(context, points, colour, x, y) {
  context.strokeStyle = colour;
  context.lineWidth = 3.5;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  points.forEach(({ t, azimuth }, index) => {
    const jump = index && Math.abs(azimuth - points[index - 1].azimuth) > 180; // past the back
    if (index === 0 || jump) context.moveTo(x(t) - 0.5, y(azimuth));
    context.lineTo(x(t), y(azimuth));
  });
  context.stroke();
}

function drawSector(context, sector, width, y) {
  const [from, to] = sector.azimuth_deg;
  context.fillStyle = colourOf(sector.ignore ? "quiet" : "accent");
  context.globalAlpha = 0.08;
  const bands = from <= to ? [[from, to]] : [[from, 180], [-180, to]];
  for (const [low, high] of bands) context.fillRect(LEFT, y(high), width - LEFT, y(low) - y(high));
  context.globalAlpha = 1;
}

function drawSpectrum() {
  if (palette === null) resetColours();
  const { context, width, height } = fitted(byId("spectrum"));
  const image = new ImageData(COLUMNS, BANDS);
  const pixels = new Uint32Array(image.data.buffer);
  for (let place = 0; place < COLUMNS; place++) {
    const column = columnAt(place);
    for (let band = 0; band < BANDS; band++) pixels[(BANDS - 1 - band) * COLUMNS + place] = palette[column[band]];
  }
  offscreen.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  const bottom = height - BOTTOM;
  context.drawImage(offscreen, LEFT, 0, width - LEFT, bottom);
  axis(context, 0.5);
  context.textAlign = "right";
  for (const hz of [200, 1000, 4000]) {
    const at = bottom * (1 - mel(hz) / mel(state.about.rate_hz / 2));
    context.fillText(hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, LEFT - 8, at);
  }
  for (let back = 0; back <= WINDOW_S; back += 30) {
    const x = LEFT + (1 - back / WINDOW_S) * (width - LEFT);
    context.textAlign = back === 0 ? "right" : back === WINDOW_S ? "left" : "center";
    context.fillText(state.now >= back ? label(back) : "", x, height - 6);
  }
}

const label = (back) => (back === 0 ? "now" : state.about.live ? `${back} s ago` : streamTime(state.now - back));

function axis(context) {
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  context.fillStyle = colourOf("quiet");
}

function line(context, x1, y1, x2, y2, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x1, Math.round(y1) + 0.5);
  context.lineTo(x2, Math.round(y2) + 0.5);
  context.stroke();
}

// Slaney's mel scale, as in edge/frontend/mel.py.
const mel = (hz) => (hz < 1000 ? (3 * hz) / 200 : 15 + (27 * Math.log(hz / 1000)) / Math.log(6.4));
