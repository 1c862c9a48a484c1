/** Files on their way to the server: a queue that waits when the server is busy. */

import { bytes, counted } from "./figures.js";
import { announce, byId } from "./dom.js";

const FILES_PER_REQUEST = 8;
const REQUESTS = 2;

export class Uploads {
  /**
   * @param {import("./api.js").Api} api
   * @param {import("./session.js").Session} session
   */
  constructor(api, session) {
    this.api = api;
    this.session = session;
    this.running = 0;
    this.round = [];
    this.note = "";
  }

  /** @param {File[]} files */
  add(files) {
    if (!files.length) return;
    if (!this.active) this.round = [];
    const limit = this.session.model?.limits?.request_bytes ?? Infinity;
    for (const file of files) {
      const entry = this.session.addFile(file);
      if (file.size > limit) fail(entry, `The file has ${bytes(file.size)}; the server takes ${bytes(limit)}.`);
      else if (!file.size) fail(entry, "The file is empty. Export it again.");
      this.round.push(entry);
    }
    announce(`${counted(files.length, "file")} added`);
    this.refresh();
    this.pump();
  }

  retry(entry) {
    if (!this.active) this.round = [];
    Object.assign(entry, { state: "waiting", message: "", progress: 0 });
    this.round.push(entry);
    this.refresh();
    this.pump();
  }

  get active() {
    return this.round.some((entry) => entry.state === "waiting" || entry.state === "sending");
  }

  pump() {
    while (this.running < REQUESTS) {
      const group = this.nextGroup();
      if (!group.length) return;
      for (const entry of group) entry.state = "sending";
      this.running += 1;
      this.send(group).finally(() => {
        this.running -= 1;
        this.refresh();
        this.pump();
      });
    }
  }

  nextGroup() {
    const { files = FILES_PER_REQUEST, request_bytes: limit = Infinity } = this.session.model?.limits ?? {};
    const group = [];
    let size = 0;
    for (const entry of this.round) {
      if (entry.state !== "waiting") continue;
      size += entry.file.size + 1024; // and its multipart header
      if (group.length && (size > limit || group.length >= Math.min(files, FILES_PER_REQUEST))) break;
      group.push(entry);
    }
    return group;
  }

  async send(group) {
    try {
      const predictions = await this.read(group);
      group.forEach((entry, i) => this.settle(entry, predictions[i]));
    } catch (problem) {
      // One file may be to blame for all: send each alone.
      const alone = group.length > 1 && problem.status >= 400 && problem.status < 500 ? group : [];
      for (const entry of alone) await this.send([entry]);
      if (!alone.length) for (const entry of group) fail(entry, problem.message);
    }
    this.session.changed("entries");
  }

  /** Until the server takes them. */
  async read(group) {
    for (;;) {
      try {
        return await this.api.predict(
          group.map((entry) => entry.file),
          this.session.point?.name ?? "",
          (share) => this.progress(group, share),
        );
      } catch (problem) {
        if (!problem.retryAfter) throw problem;
        await this.wait(problem.retryAfter, group);
      }
    }
  }

  async wait(seconds, group) {
    this.progress(group, 0);
    this.note = `The server is busy; trying again in ${counted(Math.ceil(seconds), "second")}`;
    this.refresh();
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    this.note = "";
    this.refresh();
  }

  progress(group, share) {
    for (const entry of group) entry.progress = share;
    this.showProgress();
  }

  settle(entry, prediction) {
    const first = !this.session.current;
    this.round = this.round.map((one) => (one === entry ? { ...entry, state: prediction.status } : one));
    this.session.replaceFile(entry, prediction);
    if (first) this.session.select(prediction.id);
  }

  refresh() {
    this.session.changed("entries");
    this.showProgress();
    if (this.round.length && !this.active && !this.running) this.finish();
  }

  finish() {
    const count = (state) => this.round.filter((entry) => entry.state === state).length;
    const parts = [`${count("assessed")} assessed`, `${count("not_assessed")} not assessed`];
    if (count("failed")) parts.push(`${count("failed")} failed`);
    announce(`All files are through: ${parts.join(", ")}.`);
    this.round = [];
    this.showProgress();
  }

  showProgress() {
    const through = this.round.filter((entry) => entry.state !== "waiting" && entry.state !== "sending");
    const sent = this.round.reduce((sum, entry) => sum + (entry.state === "sending" ? 0.8 * entry.progress : 0), 0);
    byId("sending").hidden = !this.active;
    byId("sending-bar").value = this.round.length ? (through.length + sent) / this.round.length : 0;
    byId("sending-text").textContent = this.note || `Assessed ${through.length} of ${this.round.length}`;
  }
}

/** Let files be chosen, dropped on the page or pasted. */
export function acceptFiles(uploads) {
  const input = byId("files");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    uploads.add([...input.files]);
    input.value = "";
  });
  document.addEventListener("paste", (event) => uploads.add([...(event.clipboardData?.files ?? [])]));
  acceptDrops(uploads, byId("veil"));
}

function acceptDrops(uploads, veil) {
  let depth = 0;
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (carriesFiles(event)) depth += 1;
    veil.hidden = depth === 0;
  });
  document.addEventListener("dragleave", () => {
    depth = Math.max(depth - 1, 0);
    veil.hidden = depth === 0;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    uploads.add(await droppedFiles(event.dataTransfer));
  });
}

/** Files of a drop, those in folders included. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesBelow))).flat();
}

async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const below = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    below.push(...some);
  }
  const shown = below.filter((one) => !one.name.startsWith("."));
  return (await Promise.all(shown.map(filesBelow))).flat();
}

function fail(entry, message) {
  Object.assign(entry, { state: "failed", message });
}
