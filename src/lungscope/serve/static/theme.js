/** Dark or light: as the system has it, until the reader chooses. */

import { byId } from "./dom.js";

const CHOSEN = "lungscope.theme";

export function setUpTheme() {
  const system = matchMedia("(prefers-color-scheme: light)");
  apply(localStorage.getItem(CHOSEN), system);
  system.addEventListener("change", () => apply(localStorage.getItem(CHOSEN), system));
  byId("theme").addEventListener("click", () => toggleTheme());
}

export function toggleTheme() {
  localStorage.setItem(CHOSEN, document.documentElement.dataset.theme === "light" ? "dark" : "light");
  apply(localStorage.getItem(CHOSEN));
}

function apply(chosen, system) {
  const theme = chosen ?? (system.matches ? "light" : "dark");
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-label", theme === "light" ? "Dark theme" : "Light theme");
}
