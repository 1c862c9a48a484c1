/** Single-key shortcuts, and the list of them. */

import { byId, h } from "./dom.js";
import { openDialog } from "./dialog.js";

const OFF = "lungscope.shortcuts-off";

/** @typedef {{keys: string[], does: string, act: () => void}} Shortcut */

export class Keyboard {
  /** @param {Shortcut[]} shortcuts */
  constructor(shortcuts) {
    this.shortcuts = shortcuts;
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (byId("dialog").open || localStorage.getItem(OFF) || isTyping(event.target)) return;
    const arrows = event.key.startsWith("Arrow");
    if ((arrows || event.key === "Enter") && event.target !== document.body) return;
    const shortcut = this.shortcuts.find(({ keys }) => keys.includes(event.key));
    if (!shortcut) return;
    event.preventDefault();
    shortcut.act();
  }

  /** Show the list; it also switches them off, for those who steer by voice. */
  open() {
    const rows = [
      ...this.shortcuts.map(({ keys, does }) => [keys, does]),
      [["← ↑ → ↓"], "Pan, with the radiograph focused"],
      [["Shift + ← →"], "Window width, with the radiograph focused"],
      [["Shift + ↑ ↓"], "Window level, with the radiograph focused"],
      [["Esc"], "Close a dialog"],
    ];
    const input = h("input", { type: "checkbox", id: "shortcuts-on", checked: !localStorage.getItem(OFF) });
    input.addEventListener("change", () => (input.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));
    openDialog(
      "Keyboard shortcuts",
      h("dl", { class: "keys" }, ...rows.map(([keys, does]) => h("div", {}, h("dt", {}, ...keys.map((key) => h("kbd", {}, named(key)))), h("dd", {}, does)))),
      h("p", { class: "note" }, "On the radiograph: drag changes the window, Shift and drag pans, the wheel zooms, a double click resets."),
      h("label", { class: "check" }, input, "Single-key shortcuts"),
    );
  }
}

function isTyping(target) {
  if (target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true;
  return target.tagName === "INPUT" && ["text", "search", "number", "password"].includes(target.type);
}

function named(key) {
  return { ArrowDown: "↓", ArrowUp: "↑" }[key] ?? key;
}
