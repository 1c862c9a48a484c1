/** Drift: whether today's radiographs look like those the model was checked on. */

import { h } from "./dom.js";
import { openDialog, table } from "./dialog.js";
import { counted, percent } from "./figures.js";
import { sharesChart } from "./chart.js";

const DAYS = 30;
const SHIFTED = 0.25; // population stability index that is usually called a shift
const ENOUGH = 20; // images; with fewer the index is mostly chance

/** @param {import("./api.js").Api} api */
export async function openDrift(api) {
  openDialog("Drift", h("p", {}, "Loading"));
  try {
    const drift = await api.drift(DAYS);
    openDialog("Drift", ...content(drift));
  } catch (problem) {
    openDialog("Drift", h("p", { role: "alert" }, problem.message));
  }
}

function content({ reference, days }) {
  if (!days.length) return [h("p", {}, `No radiographs in the last ${DAYS} days.`)];
  const [latest] = days;
  return [
    h("p", { class: "drift-verdict", id: "drift-verdict", "data-state": verdict(latest, reference)[0] }, verdict(latest, reference)[1]),
    reference && latest.shares ? figure(reference, latest) : "",
    h("h3", {}, `Last ${DAYS} days`),
    table("Drift by day", ["Day", "Images", "Not assessed", "Positive", "Mean score", "Score shift", "Image shift (by chance)", "Disagreed"], days.map(row)),
    h("p", { class: "note" }, "Score shift is the population stability index against validation: above 0.25 is usually called a shift. Image shift compares what the network sees with validation; the figure in brackets is what this many images show by chance."),
  ];
}

/** State and sentence about the latest day. */
function verdict(day, reference) {
  if (!reference) return ["unknown", "The model keeps no validation summary, so there is nothing to compare with."];
  if (day.score_shift == null) return ["unknown", `On ${day.day} nothing was assessed.`];
  if (day.assessed < ENOUGH) return ["unknown", `On ${day.day} there were ${counted(day.assessed, "assessed radiograph")}: too few to tell drift from chance.`];
  const scores = day.score_shift > SHIFTED;
  const images = day.embedding_shift > 2 * (day.embedding_shift_by_chance ?? Infinity);
  if (!scores && !images) return ["steady", `On ${day.day}, scores and images look like validation.`];
  const what = [scores && "scores", images && "images"].filter(Boolean).join(" and ");
  return ["shifted", `On ${day.day}, ${what} differ from validation. Check a sample by hand before relying on the figures.`];
}

function figure(reference, day) {
  const caption = `Scores on ${day.day} (${counted(day.assessed, "image")}) beside validation (${counted(reference.n, "image")}, outlined).`;
  return h("figure", {}, sharesChart(reference, day), h("figcaption", {}, caption));
}

function row(day) {
  const number = (value) => (value == null ? "–" : value.toFixed(2));
  const chance = day.embedding_shift_by_chance == null ? "" : ` (${number(day.embedding_shift_by_chance)})`;
  return [
    day.day,
    day.images,
    `${day.not_assessed} (${percent(day.not_assessed_share)})`,
    percent(day.positive_share),
    percent(day.mean_p_abnormal),
    number(day.score_shift),
    `${number(day.embedding_shift)}${chance}`,
    `${day.disagreements} of ${day.disagreements + day.agreements}`,
  ];
}
