/** A radiograph's grey values and how a window shows them. */

const LARGEST_SIDE = 4096;

export class Picture {
  /** @param {ImageData} data grey values in the red channel */
  constructor(data) {
    this.width = data.width;
    this.height = data.height;
    this.grey = new Uint8Array(data.width * data.height);
    for (let i = 0; i < this.grey.length; i += 1) this.grey[i] = data.data[4 * i];
    this.shown = canvasOf(data.width, data.height);
    this.look = "";
  }

  /** @param {Blob} blob */
  static async read(blob) {
    const image = await createImageBitmap(blob);
    const shrink = Math.min(1, LARGEST_SIDE / Math.max(image.width, image.height));
    const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * shrink)));
    const context = canvasOf(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, width, height);
    return new Picture(context.getImageData(0, 0, width, height));
  }

  /**
   * The picture as a window shows it.
   * @param {{level: number, width: number, inverted: boolean}} window in grey values
   * @returns {HTMLCanvasElement}
   */
  through(window) {
    const look = `${window.level} ${window.width} ${window.inverted}`;
    if (look !== this.look) this.draw(lookup(window));
    this.look = look;
    return this.shown;
  }

  draw(table) {
    const image = new ImageData(this.width, this.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[this.grey[i]];
    this.shown.getContext("2d").putImageData(image, 0, 0);
  }
}

/**
 * A heat map whose faint parts are fainter still: they would veil the anatomy.
 * @param {Blob} blob RGBA, transparent where there is no heat
 */
export async function readHeat(blob) {
  const image = await createImageBitmap(blob);
  const canvas = canvasOf(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  context.globalCompositeOperation = "destination-in"; // squares the cover
  context.drawImage(image, 0, 0);
  return canvas;
}

/** One opaque grey pixel (little-endian RGBA) per grey value. */
function lookup({ level, width, inverted }) {
  const table = new Uint32Array(256);
  for (let grey = 0; grey < 256; grey += 1) {
    const share = Math.min(Math.max((grey - level) / width + 0.5, 0), 1);
    const shown = Math.round(255 * (inverted ? 1 - share : share));
    table[grey] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
  }
  return table;
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}
