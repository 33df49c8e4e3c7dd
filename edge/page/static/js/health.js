// The health of the run -> figures, the state of each output, and what is wrong.

import { byId, html } from "./dom.js";

/** Draw it. */
export function drawHealth(health) {
  const figures = [
    ["Step, median", health.step_ms && `${health.step_ms[0]} ms`, health.step_ms && `95 % within ${health.step_ms[1]} ms`],
    ["Time for a step", health.budget_ms && `${health.budget_ms} ms`, share(health)],
    ["Quality", health.level, health.level === health.best_level ? "full" : "reduced"],
    ["Steps too late", health.late_steps, "since the start"],
    ["Samples lost", health.lost_samples, "since the start"],
    ["Sound level", health.sound_level_db?.toFixed(0), "dB, A-weighted"],
    ["Processor", health.temperature_c && `${Math.round(health.temperature_c)} °C`, "temperature"],
    ["Memory", health.rss_mb && `${Math.round(health.rss_mb)} MB`, "of the loop"],
  ].filter(([, value]) => value !== null && value !== undefined);
  byId("figures").replaceChildren(
    ...figures.map(([name, value, more]) =>
      html("div", {}, html("dt", {}, name), html("dd", {}, `${value} `, html("small", {}, more ?? ""))),
    ),
  );
  byId("outputs").replaceChildren(
    ...health.outputs.map(({ name, works, dropped }) => {
      const words = works ? (dropped ? `works, lost ${dropped}` : "works") : "does not work";
      const lamp = html("span", { class: "lamp", "aria-hidden": "true" });
      return html("li", { class: works ? "works" : "fails" }, lamp, html("code", {}, name), html("span", {}, words));
    }),
  );
  const list = byId("problems");
  const told = [...list.children].map((item) => item.textContent);
  if (told.join() !== health.problems.join()) list.replaceChildren(...health.problems.map((text) => html("li", {}, text)));
  list.hidden = !health.problems.length;
}

function share(health) {
  return health.step_ms && `${Math.max(1, Math.round((100 * health.step_ms[1]) / health.budget_ms))} % used`;
}
