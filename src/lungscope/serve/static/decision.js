/** The operating point: where the decision falls, and what that costs. */

import { byId, h } from "./dom.js";
import { disease, percent, pointTitle, predictiveValues, rates, validationPrevalence } from "./figures.js";

const PATIENTS = 1000;

export class Decision {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    session.on("model", () => this.build());
    session.on("selection entries decision", () => this.draw());
  }

  build() {
    const { model } = this.session;
    if (!model.operating_points.length) {
      byId("decision").replaceChildren(h("p", { class: "meaning" }, "The model names no reference class, so there is no decision to set."));
      return;
    }
    byId("decision").replaceChildren(
      h("h3", {}, "Operating point"),
      this.points(),
      ...(model.curve ? [this.slider()] : []),
      this.figures(),
      this.prevalence(),
      h("div", { class: "cohort", id: "cohort" }),
    );
    this.draw();
  }

  points() {
    const { operating_points: points } = this.session.model;
    const radios = points.map((point) =>
      h(
        "label",
        { class: "point" },
        h("input", { type: "radio", name: "point", value: point.name, onchange: () => this.session.choosePoint(point) }),
        h("span", {}, pointTitle(point), point.note ? h("small", {}, point.note) : null),
      ),
    );
    return h("div", { class: "points", role: "radiogroup", "aria-label": "Operating point" }, ...radios);
  }

  slider() {
    const input = h("input", { type: "range", id: "threshold", min: 0, max: 1, step: 0.001, "aria-label": "Threshold: positive from this probability" });
    input.addEventListener("input", () => this.session.setThreshold(Number(input.value)));
    return h(
      "div",
      { class: "threshold" },
      h("div", { class: "line" }, h("label", { for: "threshold" }, "Positive from"), h("output", { id: "threshold-value", for: "threshold" })),
      h("div", { class: "track" }, h("span", { class: "case-mark", id: "case-mark", hidden: true, "aria-hidden": "true" }), input),
      h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, "0"), h("span", { id: "case-mark-text" }), h("span", {}, "100 %")),
    );
  }

  figures() {
    const figure = (id, title, help) => h("div", {}, h("dt", { title: help }, title), h("dd", {}, h("strong", { id }), h("small", { id: `${id}-range` })));
    const what = disease(this.session.model);
    return h(
      "dl",
      { class: "figures" },
      figure("sensitivity", "Sensitivity", `Of those with ${what}, called positive`),
      figure("specificity", "Specificity", `Of those without ${what}, not called positive`),
      figure("ppv", "Positive predictive value", `Of those called positive, with ${what}`),
      figure("npv", "Negative predictive value", `Of those not called positive, without ${what}`),
    );
  }

  prevalence() {
    const set = (value) => value > 0 && value < 100 && this.session.setPrevalence(value / 100);
    const number = h("input", { type: "number", id: "prevalence", min: 0.1, max: 99.9, step: 0.1, inputmode: "decimal", "aria-describedby": "prevalence-note" });
    const range = h("input", { type: "range", id: "prevalence-range", min: 0.1, max: 99.9, step: 0.1, "aria-label": "Local prevalence in percent" });
    for (const input of [number, range]) input.addEventListener("input", () => set(Number(input.value)));
    number.addEventListener("change", () => this.draw());
    const base = validationPrevalence(this.session.model.curve);
    const note = base ? `Validation data: ${percent(base)}. ` : "";
    return h(
      "div",
      { class: "prevalence" },
      h("div", { class: "line" }, h("label", { for: "prevalence" }, "Local prevalence"), h("span", { class: "unit" }, number, " %")),
      range,
      h("p", { class: "note", id: "prevalence-note" }, `${note}Predictive values follow yours.`),
    );
  }

  draw() {
    if (!this.session.model?.operating_points.length || !byId("cohort")) return;
    const { threshold, atPoint } = this.session;
    for (const radio of document.getElementsByName("point")) radio.checked = radio.value === atPoint?.name;
    if (byId("threshold")) this.drawThreshold(threshold);
    this.drawFigures(this.known());
    this.drawPrevalence();
  }

  /** Sensitivity and specificity at the threshold, with intervals where the model has them. */
  known() {
    const { model, threshold, atPoint } = this.session;
    if (atPoint) return { sensitivity: atPoint.sensitivity, specificity: atPoint.specificity };
    const { sensitivity, specificity } = rates(model.curve, threshold);
    return { sensitivity: { value: sensitivity }, specificity: { value: specificity } };
  }

  drawThreshold(threshold) {
    const input = byId("threshold");
    if (document.activeElement !== input || this.session.atPoint) input.value = threshold;
    input.setAttribute("aria-valuetext", `${percent(threshold, 1)}`);
    input.style.setProperty("--at", threshold);
    byId("threshold-value").textContent = percent(threshold, 1);
    const p_abnormal = this.session.current?.prediction?.p_abnormal;
    const mark = byId("case-mark");
    mark.hidden = p_abnormal == null;
    mark.dataset.state = this.session.isPositive(this.session.current) ? "positive" : "negative";
    mark.style.setProperty("--at", p_abnormal ?? 0);
    byId("case-mark-text").textContent = p_abnormal == null ? "" : `This radiograph: ${percent(p_abnormal)}`;
  }

  drawFigures({ sensitivity, specificity }) {
    const known = sensitivity.value != null && specificity.value != null && this.session.prevalence != null;
    const values = known ? predictiveValues(sensitivity.value, specificity.value, this.session.prevalence) : {};
    for (const [id, figure] of Object.entries({ sensitivity, specificity })) {
      byId(id).textContent = percent(figure.value, 1);
      byId(`${id}-range`).textContent = range(figure);
    }
    for (const id of ["ppv", "npv"]) byId(id).textContent = percent(values[id], 1);
    byId("ppv-range").textContent = known && values.ppv == null ? "nobody is called positive" : "";
    byId("npv-range").textContent = known && values.npv == null ? "everybody is called positive" : "";
    byId("cohort").replaceChildren(...(known ? this.cohort(sensitivity.value, specificity.value) : []));
  }

  drawPrevalence() {
    const value = this.session.prevalence == null ? "" : Number((100 * this.session.prevalence).toFixed(1));
    for (const id of ["prevalence", "prevalence-range"]) {
      if (document.activeElement !== byId(id) || Number(byId(id).value) === value) byId(id).value = value;
    }
    byId("prevalence-range").style.setProperty("--at", this.session.prevalence ?? 0);
    byId("prevalence-range").setAttribute("aria-valuetext", `${value} %`);
  }

  /** The same in whole people, which is easier to weigh. */
  cohort(sensitivity, specificity) {
    const ill = Math.round(PATIENTS * this.session.prevalence);
    const well = PATIENTS - ill;
    const found = Math.round(ill * sensitivity);
    const cleared = Math.round(well * specificity);
    const what = disease(this.session.model);
    return [
      h("p", { class: "note" }, `Of ${PATIENTS.toLocaleString("en")} patients`),
      people(`${ill} with ${what}`, [found, "found", "found"], [ill - found, "missed", "missed"]),
      people(`${well} without`, [cleared, "cleared", "cleared"], [well - cleared, "false alarms", "alarms"]),
    ];
  }
}

function people(title, ...parts) {
  const bar = parts.map(([n, , kind]) => {
    const part = h("span", { "data-kind": kind });
    part.style.flexGrow = n;
    return part;
  });
  const words = parts.map(([n, word]) => `${n} ${word}`).join(", ");
  return h("div", { class: "people" }, h("p", {}, h("span", {}, title), h("b", {}, words)), h("div", { class: "people-bar", "aria-hidden": "true" }, ...bar));
}

function range({ low, high, reason }) {
  if (low != null && high != null) return `${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)} %`;
  return reason || "";
}
