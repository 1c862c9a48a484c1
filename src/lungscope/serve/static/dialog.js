/** The one dialog of the page; closing gives the focus back. */

import { byId, h } from "./dom.js";

/** Show a dialog; what is in it already is replaced. */
export function openDialog(title, ...content) {
  const dialog = byId("dialog");
  byId("dialog-title").textContent = title;
  byId("dialog-body").replaceChildren(...content);
  byId("dialog-body").scrollTop = 0;
  if (!dialog.open) dialog.showModal();
}

export function setUpDialog() {
  const dialog = byId("dialog");
  byId("dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

/**
 * Ask for an access token. It stays in this tab.
 * @param {boolean} refused whether one was tried already
 * @returns {Promise<string>}
 */
export function askToken(refused) {
  const input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", "aria-describedby": "token-note", "aria-invalid": String(refused) });
  const button = h("button", { type: "button", id: "token-use", class: "main" }, "Continue");
  const note = refused ? "This token was refused. Check it, or ask who runs the server." : "The server asks for one. Whoever runs it has it. It is kept in this tab only.";
  openDialog("Access token", h("label", { for: "token" }, "Token"), input, h("p", { class: "note", id: "token-note", role: refused ? "alert" : null }, note), button);
  input.focus();
  return new Promise((resolve) => {
    const dialog = byId("dialog");
    const use = () => {
      if (!input.value.trim()) return input.focus();
      dialog.removeEventListener("cancel", stay);
      dialog.removeEventListener("close", reopen);
      dialog.close();
      resolve(input.value.trim());
    };
    const stay = (event) => event.preventDefault();
    // Without a user's gesture the browser closes it all the same: it comes back with the field in focus.
    const reopen = () => {
      dialog.showModal();
      input.focus();
    };
    dialog.addEventListener("cancel", stay);
    dialog.addEventListener("close", reopen);
    button.addEventListener("click", use);
    input.addEventListener("keydown", (event) => event.key === "Enter" && use());
  });
}

/** A table with a caption for screen readers. */
export function table(caption, heads, rows) {
  return h(
    "div",
    { class: "table", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell))))),
    ),
  );
}
