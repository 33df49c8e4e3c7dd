// Figures and records -> words and short texts for people.

const SIDES = ["front", "front left", "left", "back left", "back", "back right", "right", "front right"];

/** `front left`, for an azimuth in degrees, counter-clockwise from the front. */
export function side(azimuth) {
  return SIDES[Math.round((((azimuth % 360) + 360) % 360) / 45) % 8];
}

/** `front left, 42°` and where known `, 10° up`. */
export function direction(azimuth, elevation) {
  const degrees = Math.round(Math.abs(azimuth));
  const up = elevation === null || elevation === undefined ? "" : height(Math.round(elevation));
  return `${side(azimuth)}, ${degrees}°${up}`;
}

function height(elevation) {
  return elevation === 0 ? "" : `, ${Math.abs(elevation)}° ${elevation > 0 ? "up" : "down"}`;
}

/** `female speech` for `female_speech`. */
export const spoken = (name) => name.replaceAll("_", " ");

/** The time of an event: of the day where it is known, else of the stream. */
export function timeOf(record) {
  if (!record.time) return streamTime(record.onset_s);
  const at = new Date(record.time);
  const today = at.toDateString() === new Date().toDateString();
  const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return today ? clock : `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
}

/** `1:05` for 65 seconds. */
export function streamTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** The day of a date as an `<input type="date">` has it, in local time. */
export function localDay(date) {
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
