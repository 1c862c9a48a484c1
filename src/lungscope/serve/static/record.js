/** What the reader does with a result: agree, disagree, take it along, remove it. */

import { announce, byId, h } from "./dom.js";
import { bytes, percent, pointTitle, when } from "./figures.js";

export class Record {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("./api.js").Api} api
   * @param {import("./upload.js").Uploads} uploads
   */
  constructor(session, api, uploads) {
    Object.assign(this, { session, api, uploads });
    session.on("selection entries decision", () => this.draw());
  }

  draw() {
    const entry = this.session.current;
    const focused = document.activeElement?.id;
    byId("record").replaceChildren(...this.content(entry));
    if (focused && byId("record").contains(byId(focused))) byId(focused).focus();
  }

  content(entry) {
    if (entry?.state === "failed") return [this.failedActions(entry)];
    if (!entry?.prediction) return [];
    const feedback = entry.state === "assessed" ? [this.feedback(entry)] : [];
    return [...feedback, this.facts(entry), this.actions(entry), h("p", { class: "caution" }, this.session.model?.research_use ?? "")];
  }

  feedback(entry) {
    const given = entry.prediction.feedback;
    const button = (verdict, label) =>
      h("button", { type: "button", id: verdict, "aria-pressed": String(given?.verdict === verdict), onclick: () => this.give(verdict) }, label);
    return h(
      "section",
      { class: "feedback", "aria-labelledby": "feedback-title" },
      h("h3", { id: "feedback-title" }, "Your session"),
      h("div", { class: "pair" }, button("agree", "Agree"), button("disagree", "Disagree")),
      h("p", { class: "note" }, given ? `Stored ${when(given.given)} for ${given.given_by}. Press again to withdraw.` : "Stored with the result; the model does not learn from it."),
    );
  }

  /** Give a verdict on the open radiograph, or withdraw it when it is the same. */
  async give(verdict) {
    const entry = this.session.current;
    if (entry?.state !== "assessed") return;
    const withdrawn = entry.prediction.feedback?.verdict === verdict;
    const prediction = await this.api.giveFeedback(entry.prediction.id, withdrawn ? null : verdict);
    this.session.addPrediction(prediction);
    this.session.changed("entries");
    announce(withdrawn ? "Feedback withdrawn" : `Stored: you ${verdict}`);
  }

  facts(entry) {
    const { image, notes, engine, created, asked_by: by, id } = entry.prediction;
    const size = image?.width ? `${image.width} × ${image.height}, ${image.bits} bit ${image.format}, ${bytes(image.bytes)}` : null;
    const rows = { Reported: this.reported(entry.prediction), Image: size, Prepared: notes?.join(", "), Assessed: `${when(created)} by ${engine}, for ${by}`, Result: id };
    const shown = Object.entries(rows).filter(([, text]) => text);
    return h("dl", { class: "facts" }, ...shown.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
  }

  /** What the stored result and the PDF say, when that is not what the page shows. */
  reported({ operating_point: name, threshold, positive }) {
    if (positive == null || threshold == null) return null;
    const point = this.session.model?.operating_points.find((one) => one.name === name);
    const title = point ? pointTitle(point) : name;
    return `${positive ? "positive" : "negative"} at ${title} (${percent(threshold, 1)}); stored and in the PDF`;
  }

  actions(entry) {
    const { id, links } = entry.prediction;
    const name = `lungscope-${id.slice(0, 8)}.pdf`;
    return h(
      "div",
      { class: "actions" },
      links.pdf && h("button", { type: "button", id: "pdf", onclick: () => this.api.download(links.pdf, name) }, "Export PDF"),
      h("button", { type: "button", class: "plain", id: "remove", onclick: () => this.remove(entry) }, "Delete result"),
    );
  }

  failedActions(entry) {
    return h(
      "div",
      { class: "actions" },
      h("button", { type: "button", id: "retry", onclick: () => this.uploads.retry(entry) }, "Try again"),
      h("button", { type: "button", class: "plain", id: "dismiss", onclick: () => this.session.remove(entry.key) }, "Dismiss"),
    );
  }

  async remove(entry) {
    const button = byId("remove");
    if (!button.dataset.sure) {
      button.dataset.sure = "yes";
      button.textContent = "Delete for good?";
      return;
    }
    await this.api.remove(entry.prediction.id);
    this.session.remove(entry.key);
    announce(`${entry.name} deleted`);
    byId("worklist").focus();
  }
}
