/** The model card: what the model is, what it was checked on, and how well it did. */

import { h } from "./dom.js";
import { openDialog, table } from "./dialog.js";
import { percent, pointTitle, spoken } from "./figures.js";
import { rocChart } from "./chart.js";

export function openModelCard({ model, threshold }) {
  if (!model) return;
  openDialog(
    "Model card",
    facts({
      Purpose: `Tells ${listed(model.classes.map(spoken))} apart on frontal chest radiographs`,
      "Reference class": model.reference ? spoken(model.reference) : "none named",
      "Trained on": model.statement?.trained_on,
      Recipe: model.recipe_name,
      Images: counts(model.data),
      Input: `${model.input_size} × ${model.input_size} pixels, grey`,
      Calibration: `${model.calibration.method}, fitted on validation images`,
      Engine: model.engine,
      Version: `Lungscope ${model.version}`,
    }),
    ...performance(model, threshold),
    h("h3", {}, "Limits"),
    ...said(model.statement, "scope", "weaknesses").map((text) => h("p", {}, text)),
    h("p", {}, "The figures above hold for images like the validation images. Other scanners, ages, views or diseases can shift them; the drift page shows when they do. The heat map shows where the score comes from, not where disease ends."),
    ...parity(model),
    h("details", {}, h("summary", {}, "Recipe and versions"), h("pre", { tabindex: "0", "aria-label": "Recipe" }, model.recipe), h("pre", {}, versions(model.versions))),
    ...said(model.statement, "licence", "attribution").map((text) => h("p", { class: "note break" }, text)),
    h("p", { class: "note break" }, `Model SHA-256 ${model.sha256}`),
  );
}

/** Name and text pairs. */
export function facts(rows) {
  const shown = Object.entries(rows).filter(([, text]) => text);
  return h("dl", { class: "facts wide" }, ...shown.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
}

/** What a person said of these topics; nothing of a model that was not made to be passed on. */
function said(statement, ...topics) {
  return topics.map((topic) => statement?.[topic]).filter(Boolean);
}

function performance(model, threshold) {
  if (!model.operating_points.length) return [];
  const rows = model.operating_points.map((point) => [pointTitle(point), percent(point.threshold, 1), interval(point.sensitivity), interval(point.specificity)]);
  const heads = ["Operating point", "Threshold", "Sensitivity (95 % interval)", "Specificity (95 % interval)"];
  const { curve } = model;
  const source = curve ? `${curve.positives} images with and ${curve.negatives} without disease.` : "";
  return [
    h("h3", {}, "On validation images"),
    table("Operating points", heads, rows),
    curve ? h("figure", {}, rocChart(curve, threshold), h("figcaption", {}, `${source} The dot is the threshold set on the page.`)) : "",
  ];
}

function parity({ parity: records }) {
  if (!records.length) return [];
  const rows = records.map((one) => [one.engine, one.images, one.largest_difference.toExponential(1), one.flips]);
  return [h("h3", {}, "Agreement with PyTorch"), table("Agreement with PyTorch", ["Engine", "Images", "Largest difference", "Changed decisions"], rows)];
}

function interval({ value, low, high, reason }) {
  if (value == null) return reason || "–";
  return low == null ? percent(value, 1) : `${percent(value, 1)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
}

function counts(data) {
  const words = { train: "for training", validation: "for validation", test: "for testing" };
  const named = Object.entries(words).filter(([name]) => data[name] != null);
  return named.map(([name, word]) => `${data[name].toLocaleString("en")} ${word}`).join(", ");
}

function listed(names) {
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function versions(installed) {
  return Object.entries(installed).map(([name, version]) => `${name} ${version}`).join("\n");
}
