// The most likely classes now, and the level of each channel -> bars.

import { byId, html } from "./dom.js";
import { classColour } from "./look.js";
import { state } from "./state.js";
import { spoken } from "./words.js";

const QUIET_DB = -80;

/** Draw both lists of bars. */
export function drawHeard() {
  const classes = state.classes.map(([index, percent]) => ({
    name: spoken(state.about.classes[index]),
    share: percent / 100,
    value: `${percent} %`,
    colour: classColour(index),
  }));
  show(byId("classes"), classes, "Nothing that it knows.");
  const levels = state.levels.map((level, channel) => ({
    name: `Channel ${channel + 1}`,
    share: Math.min(1, Math.max(0, 1 - level / QUIET_DB)),
    value: `${Math.round(level)} dB`,
    colour: null,
  }));
  show(byId("levels"), levels, "No sound yet.");
}

/** Bars are changed in place, so that they glide and a screen reader is not sent back to the first. */
function show(list, bars, empty) {
  if (!bars.length) {
    list.replaceChildren(html("li", { class: "empty quiet" }, empty));
    return;
  }
  list.querySelector(".empty")?.remove();
  while (list.children.length > bars.length) list.lastChild.remove();
  while (list.children.length < bars.length) {
    const track = html("span", { class: "track", "aria-hidden": "true" }, html("span"));
    list.append(html("li", {}, html("span", { class: "name" }), track, html("span", { class: "value" })));
  }
  bars.forEach((bar, index) => {
    const [name, track, value] = list.children[index].children;
    name.textContent = bar.name;
    value.textContent = bar.value;
    track.firstChild.style.transform = `scaleX(${bar.share})`;
    track.firstChild.style.background = bar.colour ?? "";
  });
}
