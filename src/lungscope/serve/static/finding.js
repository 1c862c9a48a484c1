/** The answer for the open radiograph: its probability and what it means in words. */

import { announce, byId, h } from "./dom.js";
import { atPrevalence, disease, ofHundred, percent, pointTitle, rankingScore, spoken, validationPrevalence } from "./figures.js";

export class Finding {
  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.session = session;
    this.said = "";
    session.on("selection entries decision model", () => this.draw());
    session.on("selection", () => (byId("case").scrollTop = 0));
  }

  draw() {
    const entry = this.session.current;
    const parts = { assessed: () => this.assessed(entry), not_assessed: () => this.notAssessed(entry), failed: () => this.failed(entry) };
    const content = entry ? (parts[entry.state]?.() ?? onItsWay()) : this.empty();
    byId("finding").replaceChildren(...content);
    this.read(entry);
  }

  /** Tell a screen reader what is new about the open radiograph. */
  read(entry) {
    const settled = entry && this.session.model && entry.state !== "sending" && entry.state !== "waiting";
    const text = settled ? `${entry.name}: ${this.sentence(entry)}` : "";
    if (text && text !== this.said) announce(text);
    this.said = text;
  }

  sentence(entry) {
    if (entry.state !== "assessed") return `${entry.state === "failed" ? "failed" : "not assessed"}. ${entry.message}`;
    return `${this.verdict(entry)}, probability ${percent(rankingScore(entry.prediction))}`;
  }

  verdict(entry) {
    const positive = this.session.isPositive(entry);
    if (positive == null) return `Most likely ${spoken(entry.prediction.finding ?? "")}`;
    const what = disease(this.session.model);
    return positive ? `Positive for ${what}` : `Negative for ${what}`;
  }

  assessed(entry) {
    const positive = this.session.isPositive(entry);
    const state = positive ? "positive" : "negative";
    const { p_abnormal, probabilities } = entry.prediction;
    const shown = rankingScore(entry.prediction);
    return [
      h("h2", { class: "verdict", "data-state": state, id: "verdict" }, this.session.model ? this.verdict(entry) : ""),
      h("p", { class: "probability" }, h("span", { id: "probability" }, percent(shown)), h("small", {}, "calibrated probability")),
      ...this.meaning(p_abnormal).map((text) => h("p", { class: "meaning" }, text)),
      this.classes(probabilities),
    ];
  }

  meaning(p_abnormal) {
    const { model, prevalence } = this.session;
    if (!model?.reference) return [];
    const what = disease(model);
    const base = validationPrevalence(model.curve);
    const where = base ? `, at the prevalence of the validation data (${percent(base)})` : "";
    const said = [`Of 100 radiographs with this score, ${ofHundred(p_abnormal)} would show ${what}${where}.`];
    if (base && Math.abs(prevalence - base) >= 0.005) {
      const here = atPrevalence(p_abnormal, base, prevalence);
      said.push(`At your prevalence of ${percent(prevalence, prevalence < 0.1 ? 1 : 0)}: ${ofHundred(here)}.`);
    }
    return said;
  }

  /** All classes, when there are more than two. */
  classes(probabilities) {
    const rows = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
    if (rows.length < 3) return "";
    return h(
      "dl",
      { class: "classes" },
      ...rows.map(([name, p]) => h("div", {}, h("dt", {}, spoken(name)), h("dd", {}, h("meter", { min: 0, max: 1, value: p, "aria-label": spoken(name) }), percent(p)))),
    );
  }

  notAssessed(entry) {
    return [
      h("h2", { class: "verdict", "data-state": "not_assessed", id: "verdict" }, "Not assessed"),
      h("p", { class: "reason", id: "reason" }, entry.message),
      h("p", { class: "meaning" }, "There is no result for this file. Read it as you would without Lungscope."),
    ];
  }

  failed(entry) {
    return [
      h("h2", { class: "verdict", "data-state": "failed", id: "verdict" }, "Failed"),
      h("p", { class: "reason", id: "reason" }, entry.message),
      h("p", { class: "meaning" }, "The file did not reach the model; nothing is known about it."),
    ];
  }

  empty() {
    const { model } = this.session;
    const point = model?.operating_points[0];
    const what = model ? disease(model) : "disease";
    return [
      h("h2", { class: "verdict" }, "Ready"),
      h("p", { class: "meaning" }, `Add frontal chest radiographs. Each gets a calibrated probability of ${what}, a decision and a heat map.`),
      point ? h("p", { class: "meaning" }, `Decisions start at: ${pointTitle(point)}.`) : "",
    ];
  }
}

function onItsWay() {
  return [h("h2", { class: "verdict" }, "On its way"), h("p", { class: "meaning" }, "The file waits for its assessment.")];
}
