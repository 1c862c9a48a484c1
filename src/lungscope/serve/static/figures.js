/** Numbers and the words for them. Pure: no page, no network. */

const UNIT = "\u00a0%"; // never on a line of its own

/**
 * Sensitivity and specificity where positive means p_abnormal >= threshold.
 * @param {{thresholds: number[], sensitivity: number[], specificity: number[]}} curve
 * @param {number} threshold 0..1
 */
export function rates(curve, threshold) {
  const found = curve.thresholds.findIndex((value) => value >= threshold);
  const at = found < 0 ? curve.thresholds.length - 1 : found;
  return { sensitivity: curve.sensitivity[at], specificity: curve.specificity[at] };
}

/**
 * Predictive values by Bayes' theorem; null where nobody would be called so.
 * @param {number} sensitivity
 * @param {number} specificity
 * @param {number} prevalence
 */
export function predictiveValues(sensitivity, specificity, prevalence) {
  const found = sensitivity * prevalence;
  const alarms = (1 - specificity) * (1 - prevalence);
  const cleared = specificity * (1 - prevalence);
  const missed = (1 - sensitivity) * prevalence;
  return {
    ppv: found + alarms > 0 ? found / (found + alarms) : null,
    npv: cleared + missed > 0 ? cleared / (cleared + missed) : null,
  };
}

/** A probability moved from one prevalence to another, when only the mix of patients differs. */
export function atPrevalence(probability, from, to) {
  const ill = (probability * to) / from;
  const well = ((1 - probability) * (1 - to)) / (1 - from);
  return ill + well > 0 ? ill / (ill + well) : probability;
}

/** Share of positive images in validation; null when it is unknown or has one class only. */
export function validationPrevalence(curve) {
  if (!curve || !curve.positives || !curve.negatives) return null;
  return curve.positives / (curve.positives + curve.negatives);
}

/** "93 %", never a false 0 or 100. */
export function percent(fraction, digits = 0) {
  if (fraction == null) return "–";
  const text = (100 * fraction).toFixed(digits);
  if (fraction > 0 && Number(text) === 0) return `<\u00a0${(10 ** -digits).toFixed(digits)}${UNIT}`;
  if (fraction < 1 && Number(text) === 100) return `>\u00a0${(100 - 10 ** -digits).toFixed(digits)}${UNIT}`;
  return `${text}${UNIT}`;
}

/** How many of a hundred, in words. */
export function ofHundred(probability) {
  const count = Math.round(100 * probability);
  if (count < 1) return "fewer than 1";
  if (count > 99) return "more than 99";
  return `about ${count}`;
}

/** A class name as one says it: "PNEUMONIA" → "pneumonia". */
export function spoken(name) {
  return name.replaceAll(/[_-]+/g, " ").toLowerCase();
}

/** What p_abnormal stands for: the one disease, or anything but the reference class. */
export function disease(model) {
  const others = model.classes.filter((name) => name !== model.reference);
  return others.length === 1 ? spoken(others[0]) : "disease";
}

/** What a worklist ranks by: p_abnormal, else the likeliest class' probability; null before an answer. */
export function rankingScore(prediction) {
  if (!prediction?.probabilities) return null;
  return prediction.p_abnormal ?? Math.max(...Object.values(prediction.probabilities));
}

/** "sensitivity95" → "Sensitivity 95 %", as the goal has it; other names keep theirs. */
export function pointTitle(point) {
  const goal = /^(sensitivity|specificity)\s*>=\s*([\d.]+)$/.exec(point.goal ?? "");
  if (goal) return `${goal[1] === "sensitivity" ? "Sensitivity" : "Specificity"} ≥ ${Math.round(100 * goal[2])}${UNIT}`;
  if (point.goal === "youden") return "Youden index";
  const name = spoken(point.name);
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** The server's words as a sentence of the page, where the image needs no name. */
export function sentence(text) {
  const bare = text.replace(/^the image: /, "");
  return bare.charAt(0).toUpperCase() + bare.slice(1);
}

/** Size in the unit one reads. */
export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const unit = count < 1024 ** 2 ? ["KB", 1024] : ["MB", 1024 ** 2];
  return `${(count / unit[1]).toFixed(count < 10 * unit[1] ? 1 : 0)} ${unit[0]}`;
}

/** "14:05" today, "3 Nov 14:05" before. */
export function when(time, now = new Date()) {
  const date = new Date(time);
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === now.toDateString()) return clock;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
}

/** "1 radiograph", "2 radiographs". */
export function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}
