/** Two small drawings, in SVG. */

import { h } from "./dom.js";
import { percent, rates } from "./figures.js";

const SIDE = 220;
const MARGIN = 34;

/** Sensitivity against false-alarm rate, with the threshold as a dot. */
export function rocChart(curve, threshold) {
  const x = (specificity) => MARGIN + SIDE * (1 - specificity);
  const y = (sensitivity) => 8 + SIDE * (1 - sensitivity);
  const points = curve.thresholds.map((_, i) => `${x(curve.specificity[i]).toFixed(1)},${y(curve.sensitivity[i]).toFixed(1)}`);
  const dot = threshold == null ? null : rates(curve, threshold);
  const label = `Sensitivity against one minus specificity${dot ? `; at the set threshold ${percent(dot.sensitivity, 1)} and ${percent(1 - dot.specificity, 1)}` : ""}`;
  return h(
    "svg",
    { viewBox: `0 0 ${SIDE + MARGIN + 12} ${SIDE + MARGIN + 10}`, class: "roc", role: "img", "aria-label": label },
    h("rect", { x: MARGIN, y: 8, width: SIDE, height: SIDE, class: "frame" }),
    h("line", { x1: x(1), y1: y(0), x2: x(0), y2: y(1), class: "chance" }),
    h("polyline", { points: points.join(" "), class: "curve" }),
    dot && h("circle", { cx: x(dot.specificity), cy: y(dot.sensitivity), r: 5, class: "dot" }),
    h("text", { x: MARGIN + SIDE / 2, y: SIDE + MARGIN + 2, class: "axis" }, "1 − specificity"),
    h("text", { x: 14, y: 8 + SIDE / 2, class: "axis", transform: `rotate(-90 14 ${8 + SIDE / 2})` }, "Sensitivity"),
  );
}

/** Shares of scores in ten bins: a day filled, validation outlined. */
export function sharesChart(reference, day) {
  const [width, height, gap] = [460, 120, 6];
  const bin = width / reference.shares.length;
  const top = Math.max(...reference.shares, ...day.shares, 0.01);
  const bar = (shares, kind, inset) =>
    shares.map((share, i) => {
      const tall = (height * share) / top;
      return h("rect", { x: i * bin + gap / 2 + inset, y: 4 + height - tall, width: bin - gap - 2 * inset, height: tall, class: kind });
    });
  return h(
    "svg",
    { viewBox: `0 0 ${width} ${height + 24}`, class: "shares", role: "img", "aria-label": "Distribution of scores, the day beside validation" },
    ...bar(day.shares, "bar-day", 3),
    ...bar(reference.shares, "bar-reference", 0),
    h("line", { x1: 0, y1: height + 4, x2: width, y2: height + 4, class: "chance" }),
    h("text", { x: 2, y: height + 19, class: "axis start" }, "0"),
    h("text", { x: width / 2, y: height + 19, class: "axis" }, "Calibrated probability"),
    h("text", { x: width - 2, y: height + 19, class: "axis end" }, "100 %"),
  );
}
