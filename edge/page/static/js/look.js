// Light and dark, and the colours of classes: hues a golden angle apart, each as light as the theme needs.

import { byId } from "./dom.js";

const THEMES = ["auto", "light", "dark"];
const KEY = "seld-edge-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
let theme = stored();

/** Whether dark colours are shown. */
export const isDark = () => (theme === "auto" ? system.matches : theme === "dark");

/** The colour of a class by its index. */
export function classColour(index) {
  const hue = (40 + index * 137.508) % 360;
  const near = index % 2; // neighbours in hue differ in lightness, too
  return isDark() ? `oklch(${near ? 0.8 : 0.72} 0.13 ${hue})` : `oklch(${near ? 0.5 : 0.57} 0.15 ${hue})`;
}

/** Show the theme, and change it by the button; `changed` is called after each change. */
export function startTheme(changed) {
  const button = byId("theme");
  const show = () => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    button.textContent = `Theme: ${theme}`;
    changed();
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    store(theme);
    show();
  });
  system.addEventListener("change", show);
  show();
}

function stored() {
  try {
    const found = localStorage.getItem(KEY);
    return THEMES.includes(found) ? found : "auto";
  } catch {
    return "auto"; // inside a frame of another site there may be no storage
  }
}

function store(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    return; // then it lasts as long as the page
  }
}
