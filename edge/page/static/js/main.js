// The page: asks to be let in, follows the live messages, and draws what has changed.

import { Refused, ask, follow, post } from "./api.js";
import { drawCompass, drawSources } from "./compass.js";
import { drawCounts, loadCounts, startCounts } from "./counts.js";
import { byId } from "./dom.js";
import { addEvent, drawEvents, drawLiveEvents, loadEvents, startEvents } from "./events.js";
import { drawHealth } from "./health.js";
import { drawHeard } from "./heard.js";
import { startTheme } from "./look.js";
import { drawMinutes, resetColours } from "./minutes.js";
import { keepLive, state, takeEvent, takeStep } from "./state.js";
import { direction, spoken } from "./words.js";

const COUNT_MS = 5000; // between two questions for counts while events end
const FRAME_MS = 90; // between two drawings: steps come every 200 ms
const ANNOUNCE_MS = 8000; // between two announcements to a screen reader
const STATES = { live: "Listening", paused: "Paused", lost: "Connection lost", connecting: "Connecting" };

let drawing = false;
let drawnMs = 0;
let counting = false;
let announcedMs = 0;
let paused = false;

startTheme(() => {
  resetColours();
  if (!state.about) return;
  draw();
  drawEvents();
  drawCounts();
});
await enter();
await start();

/** Show the login until the server lets this page in. */
async function enter() {
  const door = await ask("api/door");
  byId("logout").hidden = !door.asks;
  if (door.open) return;
  const dialog = byId("login");
  byId("login-form").hidden = false;
  if (!door.password) {
    byId("login-hint").textContent = "This page needs a token: open its address with #token=... at the end.";
    for (const part of dialog.querySelectorAll("label, input, button")) part.hidden = true;
  }
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  await new Promise((opened) => {
    byId("login-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const error = await tryPassword();
      byId("login-error").textContent = error;
      if (error === "") opened();
    });
  });
  dialog.close();
}

async function tryPassword() {
  const input = byId("password");
  try {
    await post("api/login", { password: input.value });
    return "";
  } catch (error) {
    return error instanceof Refused ? `${error.message[0].toUpperCase()}${error.message.slice(1)}.` : "The server does not answer.";
  } finally {
    input.value = "";
    input.focus();
  }
}

async function start() {
  const about = (state.about = await ask("api/about"));
  byId("about").textContent = `${about.model} hears ${about.source.split("/").pop()} (${about.array})`;
  byId("late").textContent = `The model answers up to ${about.latency_s} s after a sound: the shaded part is not decided yet.`;
  byId("page").hidden = false;
  drawCompass(about);
  startEvents(about, () => Promise.all([loadEvents(), loadCounts()]));
  startCounts(loadCounts);
  startButtons(about);
  new ResizeObserver(schedule).observe(byId("page"));
  await Promise.all([loadEvents(), loadCounts()]);
  draw();
  try {
    await follow(take, (text) => showState(text === "live" && paused ? "paused" : text));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    location.reload(); // the session has ended
  }
}

function startButtons(about) {
  byId("pause").hidden = !about.can_pause;
  byId("pause").addEventListener("click", () => post("api/pause", { paused: !paused }));
  byId("logout").addEventListener("click", async () => {
    await post("api/logout", {});
    location.reload();
  });
}

function take(kind, data) {
  if (kind === "step") takeStep(data);
  else if (kind === "health") {
    drawHealth(data);
    keepLive(data.live);
    setPaused(Boolean(data.paused));
  } else if (kind === "event") {
    takeEvent(data);
    if (data.phase === "begin") announce(data);
    if (data.phase === "end") {
      addEvent(data);
      countSoon();
    }
  }
  schedule();
}

function setPaused(now) {
  if (now === paused) return;
  paused = now;
  byId("pause").textContent = paused ? "Resume" : "Pause";
  showState(paused ? "paused" : "live");
}

function showState(text) {
  byId("state").dataset.state = text in STATES ? text : "lost";
  byId("state-text").textContent = STATES[text] ?? text;
}

/** Say an event to a screen reader, but not one after the other without a pause. */
function announce(record) {
  if (Date.now() - announcedMs < ANNOUNCE_MS) return;
  announcedMs = Date.now();
  byId("announce").textContent = `${spoken(record.class)}, ${direction(record.azimuth_deg, record.elevation_deg)}`;
}

function countSoon() {
  if (counting) return;
  counting = true;
  setTimeout(() => {
    counting = false;
    if (document.hidden) return;
    loadCounts();
    if (state.about.clips) loadEvents(); // by now the clip of an event is there
  }, COUNT_MS);
}

function schedule() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame((ms) => {
    drawing = false;
    if (ms - drawnMs < FRAME_MS) return schedule();
    drawnMs = ms;
    draw();
  });
}

function draw() {
  drawSources();
  drawMinutes();
  drawHeard();
  drawLiveEvents();
}
