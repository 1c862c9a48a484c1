/** What the page knows: the radiographs, which one is open, and how they are decided. */

import { rankingScore, sentence } from "./figures.js";

/**
 * One row of the worklist: a prediction, or a file that is on its way or could not be sent.
 * @typedef {object} Entry
 * @property {string} key
 * @property {"assessed" | "not_assessed" | "waiting" | "sending" | "failed"} state
 * @property {string} name
 * @property {object | null} prediction as the server has it.
 * @property {File | null} file kept until it is assessed, and shown from here.
 * @property {string} message why it failed, or what it waits for.
 * @property {number} progress 0..1
 */

const SETTINGS = "lungscope.settings";
const URGENCY = { failed: 0, not_assessed: 1, assessed: 2, sending: 3, waiting: 4 };

export class Session extends EventTarget {
  constructor() {
    super();
    this.model = null;
    /** @type {Map<string, Entry>} */
    this.entries = new Map();
    this.selected = null;
    this.point = null;
    this.threshold = null;
    this.prevalence = null;
    this.filter = "all";
    this.text = "";
    this.order = "p_abnormal";
    this.uploads = 0;
  }

  /** Tell listeners what changed: "model", "entries", "selection", "decision" or "filter". */
  changed(part) {
    this.dispatchEvent(new Event(part));
  }

  on(parts, listener) {
    for (const part of parts.split(" ")) this.addEventListener(part, listener);
  }

  start(model, validationPrevalence) {
    this.model = model;
    this.point = model.operating_points[0] ?? null;
    this.threshold = this.point?.threshold ?? null;
    this.prevalence = remembered() ?? validationPrevalence;
    this.changed("model");
    this.changed("decision");
  }

  // --- decision

  choosePoint(point) {
    this.point = point;
    this.threshold = point.threshold;
    this.changed("decision");
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    this.changed("decision");
  }

  setPrevalence(prevalence) {
    this.prevalence = prevalence;
    localStorage.setItem(SETTINGS, JSON.stringify({ prevalence }));
    this.changed("decision");
  }

  /** The named operating point the threshold stands at, if any. */
  get atPoint() {
    return this.model?.operating_points.find((point) => point.threshold === this.threshold) ?? null;
  }

  /** true, false, or null when there is nothing to decide. */
  isPositive(entry) {
    if (entry?.state !== "assessed" || this.threshold == null) return null;
    // The server decided on the unrounded probability.
    if (entry.prediction.threshold === this.threshold) return entry.prediction.positive;
    return entry.prediction.p_abnormal >= this.threshold;
  }

  // --- entries

  /** @param {File} file */
  addFile(file) {
    const key = `upload-${(this.uploads += 1)}`;
    const name = file.name || "pasted image";
    const entry = { key, state: "waiting", name, prediction: null, file, message: "", progress: 0 };
    this.entries.set(key, entry);
    return entry;
  }

  addPrediction(prediction, file = null) {
    const known = this.entries.get(prediction.id);
    const name = file?.name || known?.name || prediction.file || `Result ${prediction.id.slice(0, 8)}`;
    const entry = { key: prediction.id, state: prediction.status, name, prediction, file: file ?? known?.file ?? null };
    this.entries.set(prediction.id, { ...entry, message: sentence(prediction.reason), progress: 1 });
    return this.entries.get(prediction.id);
  }

  /** A file was assessed: its prediction takes its place. */
  replaceFile(entry, prediction) {
    this.entries.delete(entry.key);
    const assessed = this.addPrediction(prediction, entry.file);
    if (this.selected === entry.key) this.select(assessed.key);
  }

  remove(key) {
    const order = this.visible().map((entry) => entry.key);
    const at = order.indexOf(key);
    this.entries.delete(key);
    if (this.selected === key) this.select(order[at + 1] ?? order[at - 1] ?? null);
    this.changed("entries");
  }

  select(key) {
    this.selected = key;
    this.changed("selection");
  }

  /** @returns {Entry | null} */
  get current() {
    return this.entries.get(this.selected) ?? null;
  }

  /** Step through what is visible. */
  step(by) {
    const keys = this.visible().map((entry) => entry.key);
    if (!keys.length) return;
    const at = keys.indexOf(this.selected);
    this.select(keys[at < 0 ? 0 : Math.min(Math.max(at + by, 0), keys.length - 1)]);
  }

  passes(entry, filter) {
    if (filter === "positive") return this.isPositive(entry) === true;
    if (filter === "not_assessed" || filter === "failed") return entry.state === filter;
    return true;
  }

  /** Entries that pass the filters, highest probability first; what nobody assessed is never hidden at the end. */
  visible() {
    const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = [...this.entries.values()].filter(
      (entry) => this.passes(entry, this.filter) && words.every((word) => describe(entry).includes(word)),
    );
    return kept.sort(this.order === "newest" ? byTime : byProbability);
  }
}

function describe(entry) {
  const { id = "", finding = "", probabilities } = entry.prediction ?? {};
  const shown = probabilities ? finding : "";
  return [entry.name, id, shown, entry.message, entry.state.replace("_", " ")].join(" ").toLowerCase();
}

function byProbability(one, other) {
  return (
    URGENCY[one.state] - URGENCY[other.state] ||
    (rankingScore(other.prediction) ?? 0) - (rankingScore(one.prediction) ?? 0) ||
    byTime(one, other)
  );
}

function byTime(one, other) {
  const [mine, theirs] = [one, other].map((entry) => entry.prediction?.created ?? "9");
  return theirs.localeCompare(mine) || one.key.localeCompare(other.key, "en", { numeric: true });
}

function remembered() {
  try {
    const { prevalence } = JSON.parse(localStorage.getItem(SETTINGS));
    return prevalence > 0 && prevalence < 1 ? prevalence : null;
  } catch {
    return null;
  }
}
