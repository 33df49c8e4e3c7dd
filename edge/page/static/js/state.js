// What the page knows at this moment: live messages -> two minutes of sound, the events that are not finished.

export const WINDOW_S = 120;
export const BANDS = 64;
const PER_SECOND = 5; // messages
const COLUMNS = WINDOW_S * PER_SECOND;
const TRAIL_S = 8;

export const state = {
  about: null,
  now: 0, // end of the sound that was heard last, in seconds of the stream
  levels: [],
  classes: [], // [index, percent]
  guesses: [], // [azimuth, elevation, class, probability], also below the threshold
  live: new Map(), // id -> event that is not finished, with its trail
  segments: [], // finished parts of the azimuth plot: {name, points}
  columns: new Uint8Array(COLUMNS * BANDS), // ring of log-mel columns
  column: 0, // the next one in the ring
};

/** Take a message of the kind `step`. */
export function takeStep(message) {
  const gap = Math.round((message.t - state.now) * PER_SECOND);
  if (state.now && (gap < 0 || gap > COLUMNS)) forget();
  for (let missed = 1; missed < Math.min(gap, COLUMNS); missed++) addColumn(null);
  addColumn(message.mel);
  state.now = message.t;
  if (message.levels) state.levels = message.levels;
  if (message.answer) {
    state.classes = message.answer.classes;
    state.guesses = message.answer.sources;
  }
  for (const [id, t, azimuth, elevation] of message.places ?? []) state.live.get(id)?.points.push({ t, azimuth, elevation });
  while (state.segments.length && last(state.segments[0].points).t < state.now - WINDOW_S) state.segments.shift();
}

/** Take a message of the kind `event`. */
export function takeEvent(record) {
  if (record.phase === "end" || record.phase === "discarded") {
    end(record.id, record);
    return;
  }
  const event = state.live.get(record.id) ?? {
    points: [],
    first: { t: record.onset_s, azimuth: record.azimuth_deg, elevation: record.elevation_deg },
    begunS: record.told_s,
    lagS: record.told_s - record.offset_s,
    shownS: null,
  };
  event.record = record;
  state.live.set(record.id, event);
}

/** Take the ids of the events that are not finished: of any other, the end was lost. */
export function keepLive(ids) {
  for (const id of [...state.live.keys()]) if (!ids.includes(id)) end(id, null);
}

/** The way of a live event: its directions so far, and until there are any, the one at which it began. */
export function wayOf(event) {
  const way = event.points.length ? event.points : [event.first];
  return [...way, { ...last(way), t: Math.max(last(way).t, state.now - event.lagS) }];
}

/** The way of a live event over the last seconds. */
export const trail = (event) => wayOf(event).filter((point) => point.t >= state.now - event.lagS - TRAIL_S);

export const last = (list) => list[list.length - 1];

/** A column of the ring, 0 being the oldest. */
export function columnAt(place) {
  const index = (state.column + place) % COLUMNS;
  return state.columns.subarray(index * BANDS, (index + 1) * BANDS);
}

export { COLUMNS };

function end(id, record) {
  const event = state.live.get(id);
  state.live.delete(id);
  if (!event || record?.phase === "discarded") return;
  const points = wayOf(event).slice(0, -1);
  const t = record ? record.offset_s : last(points).t;
  state.segments.push({ name: event.record.class, points: [...points, { ...last(points), t }] });
}

function forget() {
  state.columns.fill(0);
  state.segments = [];
  state.live.clear();
}

function addColumn(mel) {
  const at = state.column * BANDS;
  if (mel === null) state.columns.fill(0, at, at + BANDS);
  else {
    const bytes = atob(mel);
    for (let band = 0; band < BANDS; band++) state.columns[at + band] = bytes.charCodeAt(band);
  }
  state.column = (state.column + 1) % COLUMNS;
}
