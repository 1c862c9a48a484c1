/** The radiograph on its stage: window, zoom, pan, heat map. */

import { byId, h } from "./dom.js";
import { Gestures } from "./gestures.js";
import { Picture, readHeat } from "./picture.js";

const OPACITY = 0.4; // as in index.html
const WINDOW = { level: 127.5, width: 255, inverted: false };

export class Viewer {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("./api.js").Api} api
   */
  constructor(session, api) {
    Object.assign(this, { session, api, picture: null, heatmap: null, shownKey: null, opacity: OPACITY, tool: "window" });
    this.canvas = byId("canvas");
    this.context = this.canvas.getContext("2d");
    this.reset();
    new Gestures(this);
    this.listen();
    this.say("", null);
    new ResizeObserver(() => this.resize()).observe(byId("stage"));
    session.on("selection entries", () => this.open(session.current));
  }

  listen() {
    const press = { "zoom-in": () => this.zoom(1.25), "zoom-out": () => this.zoom(0.8), reset: () => this.reset() };
    press["tool-window"] = () => this.choose("window");
    press["tool-pan"] = () => this.choose("pan");
    press.invert = () => this.invert();
    for (const [id, act] of Object.entries(press)) byId(id).addEventListener("click", act);
    byId("heat").addEventListener("input", (event) => this.showHeat(event.target.value / 100));
  }

  // --- what is shown

  async open(entry) {
    const key = entry?.state === "assessed" || entry?.state === "not_assessed" ? entry.key : null;
    byId("view-title").textContent = entry?.name ?? "No radiograph chosen";
    if (key && key === this.shownKey) return;
    Object.assign(this, { shownKey: key, picture: null, heatmap: null });
    this.reset();
    this.say(entry ? statusText(entry) : "", entry);
    if (key) await this.fetch(entry);
  }

  async fetch(entry) {
    const { links } = entry.prediction;
    try {
      const [picture, heatmap] = await Promise.all([
        links.image && this.api.blob(links.image).then(Picture.read),
        links.heatmap && this.api.blob(links.heatmap).then(readHeat),
      ]);
      if (this.shownKey !== entry.key) return;
      Object.assign(this, { picture, heatmap });
      this.reset();
      this.say(picture ? "" : noPicture(entry), entry);
    } catch (problem) {
      if (this.shownKey === entry.key) this.say(problem.message, entry);
    }
  }

  say(text, entry) {
    byId("stage-note").replaceChildren(...(text ? [h("p", {}, text)] : []));
    const heat = this.heatmap ? ", with a heat map over it" : "";
    const label = this.picture ? `Radiograph ${entry.name}${heat}` : "No radiograph";
    this.canvas.setAttribute("aria-label", label);
    for (const control of byId("view-tools").querySelectorAll("button")) control.disabled = !this.picture;
    byId("heat").disabled = !this.picture || !this.heatmap;
  }

  // --- how it is shown

  reset() {
    Object.assign(this, { window: { ...WINDOW }, scale: 1, x: 0, y: 0 });
    byId("invert").setAttribute("aria-pressed", "false");
    this.draw();
  }

  choose(tool) {
    this.tool = tool;
    for (const name of ["window", "pan"]) byId(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
    this.canvas.dataset.tool = tool;
  }

  invert() {
    this.window.inverted = !this.window.inverted;
    byId("invert").setAttribute("aria-pressed", String(this.window.inverted));
    this.draw();
  }

  /** Wider means less contrast; a higher level means darker. */
  adjustWindow(width, level) {
    this.window.width = Math.min(Math.max(this.window.width + width, 2), 510);
    this.window.level = Math.min(Math.max(this.window.level + level, 0), 255);
    this.draw();
  }

  /** Zoom about a point of the stage, its middle unless told. */
  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const scale = Math.min(Math.max(this.scale * factor, 0.5), 20);
    const [dx, dy] = [at.x - this.canvas.clientWidth / 2, at.y - this.canvas.clientHeight / 2];
    this.x = dx - ((dx - this.x) * scale) / this.scale;
    this.y = dy - ((dy - this.y) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.draw();
  }

  showHeat(opacity) {
    this.opacity = opacity;
    byId("heat").value = 100 * opacity;
    byId("heat-value").textContent = `${Math.round(100 * opacity)} %`;
    this.draw();
  }

  toggleHeat() {
    const next = this.opacity ? 0 : this.lastOpacity || OPACITY;
    this.lastOpacity = this.opacity;
    this.showHeat(next);
  }

  resize() {
    const sharp = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * sharp);
    this.canvas.height = Math.round(this.canvas.clientHeight * sharp);
    this.draw();
  }

  draw() {
    const { context, canvas, picture } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    byId("readout").textContent = picture ? this.describe() : "";
    if (!picture) return;
    const sharp = canvas.width / (canvas.clientWidth || 1);
    const zoom = this.fit() * this.scale;
    const [width, height] = [picture.width * zoom, picture.height * zoom];
    const [left, top] = [(canvas.width - width) / 2 + this.x * sharp, (canvas.height - height) / 2 + this.y * sharp];
    context.imageSmoothingQuality = "high";
    context.globalAlpha = 1;
    context.drawImage(picture.through(this.window), left, top, width, height);
    if (!this.heatmap || !this.opacity) return;
    context.globalAlpha = this.opacity;
    context.drawImage(this.heatmap, left, top, width, height);
  }

  /** Canvas pixels per picture pixel that show all of it. */
  fit() {
    return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
  }

  describe() {
    const { width, level } = this.window;
    return `W ${Math.round(width)}  L ${Math.round(level)}  ·  ${Math.round(100 * this.fit() * this.scale)} %`;
  }
}

function statusText(entry) {
  if (entry.state === "failed") return "This file was not read.";
  return entry.state === "waiting" || entry.state === "sending" ? "On its way to the server" : "Opening";
}

function noPicture(entry) {
  if (!entry.prediction.image?.width) return "There is no picture to show.";
  return "The server does not keep pictures. Add the file again to see it.";
}
