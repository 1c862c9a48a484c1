/** Mouse, touch, wheel and keys on the stage. */

const PAN_STEP = 40;
const WINDOW_STEP = 8;

export class Gestures {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {Map<number, {x: number, y: number}>} */
    this.fingers = new Map();
    const { canvas } = viewer;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.release(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => viewer.reset());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  press(event) {
    if (!this.viewer.picture) return;
    this.viewer.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, place(event));
    this.panning = event.button > 0 || event.shiftKey || this.viewer.tool === "pan";
  }

  move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = place(event);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (this.fingers.size === 2) this.pinch(event.pointerId, before, now);
    else if (this.panning) this.viewer.pan(dx, dy);
    else this.viewer.adjustWindow(dx, dy);
    this.fingers.set(event.pointerId, now);
  }

  pinch(id, before, now) {
    const [[, other]] = [...this.fingers].filter(([finger]) => finger !== id);
    const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
    this.viewer.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.viewer.zoom(distance(now, other) / Math.max(distance(before, other), 1), middle);
  }

  release(event) {
    this.fingers.delete(event.pointerId);
  }

  wheel(event) {
    if (!this.viewer.picture) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 * event.deltaY : event.deltaY;
    this.viewer.zoom(Math.exp(-lines / 500), place(event));
  }

  key(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (!direction || event.altKey || event.ctrlKey || event.metaKey) return;
    const [dx, dy] = direction;
    if (event.shiftKey) this.viewer.adjustWindow(WINDOW_STEP * dx, WINDOW_STEP * dy);
    else this.viewer.pan(-PAN_STEP * dx, -PAN_STEP * dy);
    event.preventDefault();
    event.stopPropagation();
  }
}

function place(event) {
  return { x: event.offsetX, y: event.offsetY };
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
