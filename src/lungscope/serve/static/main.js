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
import { Session } from "./session.js";
import { Record } from "./record.js";
import { setUpTheme, toggleTheme } from "./theme.js";
import { acceptFiles, Uploads } from "./upload.js";
import { Viewer } from "./viewer.js";
import { Worklist } from "./worklist.js";

const api = new Api(askToken);
const session = new Session();
const uploads = new Uploads(api, session);
const worklist = new Worklist(session, api, openCase);
const viewer = new Viewer(session, api);
const record = new Record(session, api, uploads);
new Finding(session);
new Decision(session);
const keyboard = new Keyboard([
  { keys: ["j", "ArrowDown"], does: "Next radiograph", act: () => session.step(1) },
  { keys: ["k", "ArrowUp"], does: "Previous radiograph", act: () => session.step(-1) },
  { keys: ["Enter"], does: "Open the radiograph", act: () => session.current && openCase() },
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
  { keys: ["m"], does: "Model card", act: () => openModelCard(session) },
  { keys: ["t"], does: "Dark or light", act: toggleTheme },
  { keys: ["?"], does: "This list", act: () => keyboard.open() },
]);

setUpTheme();
setUpDialog();
acceptFiles(uploads);
byId("open-model").addEventListener("click", () => openModelCard(session));
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
  session.start(model, validationPrevalence(model.curve) ?? 0.5);
  await worklist.load();
}

/** On a phone the case takes the place of the list. */
function openCase() {
  document.body.classList.add("case-open");
  byId("canvas").focus();
}

function closeCase() {
  document.body.classList.remove("case-open");
  byId("worklist").focus();
}

/** The list as it is filtered, in the server's words. */
function csvUrl() {
  const query = new URLSearchParams({ order: session.order === "newest" ? "-created" : "-p_abnormal" });
  if (session.filter === "not_assessed") query.set("status", "not_assessed");
  if (session.filter === "positive") query.set("min_p_abnormal", session.threshold);
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
