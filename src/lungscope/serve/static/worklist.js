/** The list of radiographs. */

import { announce, byId, h } from "./dom.js";
import { counted, percent, rankingScore, when } from "./figures.js";

const FILTERS = { all: "All", positive: "Positive", not_assessed: "Not assessed", failed: "Failed" };
const LABELS = { not_assessed: "Not assessed", failed: "Failed", waiting: "Waiting", sending: "Sending" };
const THUMBNAIL = 96;
const PHONE = "(max-width: 640px)"; // as in layout.css

export class Worklist {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("./api.js").Api} api
   * @param {(entry: import("./session.js").Entry) => void} onOpen
   */
  constructor(session, api, onOpen) {
    Object.assign(this, { session, api, onOpen, cursor: null, thumbnails: new Map(), drawn: new Map() });
    this.list = byId("worklist");
    this.seen = new IntersectionObserver((rows) => this.showThumbnails(rows), { root: this.list, rootMargin: "300px" });
    this.drawFilters();
    this.listen();
    session.on("entries filter decision model", () => this.draw());
    session.on("selection", () => this.mark());
  }

  listen() {
    byId("search").addEventListener("input", (event) => this.filter({ text: event.target.value }));
    byId("order").addEventListener("change", (event) => this.filter({ order: event.target.value }));
    byId("more").addEventListener("click", () => this.load());
    this.list.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key in steps) this.session.step(steps[event.key]);
      else if (event.key === "Enter" && this.session.current) this.onOpen(this.session.current);
      else return;
      event.preventDefault();
    });
  }

  /** Fetch results the server already has, a page at a time. */
  async load() {
    const { predictions, next } = await this.api.predictions(this.cursor);
    for (const prediction of predictions) this.session.addPrediction(prediction);
    this.cursor = next;
    byId("more").hidden = !next;
    this.session.changed("entries");
    if (!this.session.current) this.session.step(0);
  }

  filter(change) {
    Object.assign(this.session, change);
    this.session.changed("filter");
    announce(`${counted(this.session.visible().length, "radiograph")} shown`);
  }

  drawFilters() {
    const choose = (filter) => this.filter({ filter });
    byId("filters").append(
      ...Object.entries(FILTERS).map(([filter, label]) =>
        h(
          "label",
          { class: "tab" },
          h("input", { type: "radio", name: "filter", value: filter, checked: filter === "all", onchange: () => choose(filter) }),
          h("span", {}, label, " ", h("b", { "data-count": filter })),
        ),
      ),
    );
  }

  draw() {
    const entries = this.session.visible();
    const drawn = new Map();
    for (const entry of entries) drawn.set(entry.key, this.row(entry));
    this.drawn = drawn;
    this.list.replaceChildren(...drawn.values());
    for (const row of drawn.values()) this.seen.observe(row);
    this.drawCounts();
    this.drawNote(entries.length);
    this.mark();
  }

  drawCounts() {
    const all = [...this.session.entries.values()];
    for (const mark of document.querySelectorAll("[data-count]")) {
      mark.textContent = all.filter((entry) => this.session.passes(entry, mark.dataset.count)).length;
    }
  }

  drawNote(visible) {
    const note = byId("list-note");
    const none = this.session.entries.size ? "Nothing passes these filters." : "Nothing here yet. Add radiographs above.";
    note.textContent = visible ? "" : none;
    note.hidden = visible > 0;
  }

  row(entry) {
    const positive = this.session.isPositive(entry);
    const state = entry.state === "assessed" ? (positive ? "positive" : "negative") : entry.state;
    const { feedback, created } = entry.prediction ?? {};
    const score = rankingScore(entry.prediction);
    const line = entry.message || (created ? when(created) : LABELS[entry.state]);
    return h(
      "li",
      { class: "row", role: "option", id: `row-${entry.key}`, "data-state": state, "data-key": entry.key, onclick: () => this.choose(entry), ondblclick: () => this.onOpen(entry) },
      this.thumbnail(entry),
      h("span", { class: "row-name" }, entry.name),
      h("span", { class: "row-line" }, line, feedback && h("em", {}, feedback.verdict === "agree" ? " · agreed" : " · disagreed")),
      h("span", { class: "row-score" }, score == null ? "" : percent(score)),
      h("span", { class: "chip", "data-state": state }, this.label(entry, positive)),
    );
  }

  choose(entry) {
    this.session.select(entry.key);
    if (matchMedia(PHONE).matches) this.onOpen(entry);
  }

  label(entry, positive) {
    if (entry.state !== "assessed") return LABELS[entry.state];
    if (positive == null) return entry.prediction.finding ?? "Assessed";
    return positive ? "Positive" : "Negative";
  }

  thumbnail(entry) {
    const box = h("span", { class: "row-picture", "aria-hidden": "true" });
    const url = this.thumbnails.get(entry.key);
    if (url) box.append(h("img", { src: url, alt: "" }));
    return box;
  }

  showThumbnails(rows) {
    for (const { isIntersecting, target } of rows) {
      const link = this.session.entries.get(target.dataset.key)?.prediction?.links.image;
      if (!isIntersecting || !link || this.thumbnails.has(target.dataset.key)) continue;
      this.seen.unobserve(target);
      this.fetchThumbnail(target.dataset.key, link);
    }
  }

  async fetchThumbnail(key, link) {
    this.thumbnails.set(key, "");
    try {
      this.thumbnails.set(key, URL.createObjectURL(await this.api.blob(`${link}?max_side=${THUMBNAIL}`)));
    } catch {
      return; // the row says all without it
    }
    const box = this.drawn.get(key)?.querySelector(".row-picture");
    box?.replaceChildren(h("img", { src: this.thumbnails.get(key), alt: "" }));
  }

  mark() {
    for (const [key, row] of this.drawn) row.setAttribute("aria-selected", String(key === this.session.selected));
    const row = this.drawn.get(this.session.selected);
    if (row) this.list.setAttribute("aria-activedescendant", row.id);
    else this.list.removeAttribute("aria-activedescendant");
    row?.scrollIntoView({ block: "nearest" });
  }
}
