/** The page, put together. */

import { Api, Problem } from "./api.js";
import { Decision } from "./decision.js";
import { askToken, openDialog, setUpDialog } from "./dialog.js";
import { announce, byId, h } from "./dom.js";
import { openDrift } from "./drift.js";
import { validationPrevalence } from "./figures.js";
import { Finding } from "./finding.js";
import { Keyboard } from "./keyboard.js";
import { openModelCard } from "./model_card.js";
import { Reading } from "./reading.js";
import { Record } from "./record.js";
import { setUpTheme, toggleTheme } from "./theme.js";
import { acceptFiles, Uploads } from "./upload.js";
import { Viewer } from "./viewer.js";
import { Worklist } from "./worklist.js";

const api = new Api(askToken);
const reading = new Reading();
const uploads = new Uploads(api, reading);
const worklist = new Worklist(reading, api, openCase);
const viewer = new Viewer(reading, api);
const record = new Record(reading, api, uploads);
new Finding(reading);
new Decision(reading);
const keyboard = new Keyboard([
  { keys: ["j", "ArrowDown"], does: "Next radiograph", act: () => reading.step(1) },
  { keys: ["k", "ArrowUp"], does: "Previous radiograph", act: () => reading.step(-1) },
  { keys: ["Enter"], does: "Open the radiograph", act: () => reading.current && openCase() },
  { keys: ["l"], does: "Back to the worklist", act: closeCase },
  { keys: ["u"], does: "Add radiographs", act: () => byId("files").click() },
  { keys: ["/"], does: "Find in the worklist", act: () => byId("search").focus() },
  { keys: ["+", "="], does: "Zoom in", act: () => viewer.zoom(1.25) },
  { keys: ["-"], does: "Zoom out", act: () => viewer.zoom(0.8) },
  { keys: ["i"], does: "Invert", act: () => viewer.invert() },
  { keys: ["h"], does: "Heat map on or off", act: () => viewer.toggleHeat() },
  { keys: ["r"], does: "Reset the view", act: () => viewer.reset() },
  { keys: ["a"], does: "Agree", act: () => attempt(() => record.give("agree")) },
  { keys: ["d"], does: "Disagree", act: () => attempt(() => record.give("disagree")) },
  { keys: ["m"], does: "Model card", act: () => openModelCard(reading) },
  { keys: ["t"], does: "Dark or light", act: toggleTheme },
  { keys: ["?"], does: "This list", act: () => keyboard.open() },
]);

setUpTheme();
setUpDialog();
acceptFiles(uploads);
byId("open-model").addEventListener("click", () => openModelCard(reading));
byId("open-drift").addEventListener("click", () => openDrift(api));
byId("open-shortcuts").addEventListener("click", () => keyboard.open());
byId("csv").addEventListener("click", () => api.download(csvUrl(), "lungscope.csv"));
byId("back").addEventListener("click", closeCase);
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Problem) event.preventDefault(); // told to the reader; other errors are the page's own
  complain(event.reason);
});
window.addEventListener("beforeunload", (event) => uploads.active && event.preventDefault());
await attempt(start);

async function start() {
  const model = await api.model();
  reading.start(model, validationPrevalence(model.curve) ?? 0.5);
  await worklist.load();
}

/** On a phone the case takes the place of the list. */
function openCase() {
  document.body.classList.add("reading");
  byId("canvas").focus();
}

function closeCase() {
  document.body.classList.remove("reading");
  byId("worklist").focus();
}

/** The list as it is filtered, in the server's words. */
function csvUrl() {
  const query = new URLSearchParams({ order: reading.order === "newest" ? "-created" : "-p_abnormal" });
  if (reading.filter === "not_assessed") query.set("status", "not_assessed");
  if (reading.filter === "suspicious") query.set("min_p_abnormal", reading.threshold);
  return `/v1/predictions.csv?${query}`;
}

async function attempt(act) {
  try {
    await act();
  } catch (problem) {
    complain(problem);
  }
}

function complain(problem) {
  announce(problem.message);
  openDialog("That did not work", h("p", { id: "problem" }, problem.message));
}
