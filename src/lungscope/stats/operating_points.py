"""Operating points: the thresholds at which a probability becomes a call. NumPy only: a prediction imports this."""

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungscope.errors import ConfigError, DataError, UndefinedEstimate
from lungscope.stats.columns import as_binary, numbers, same_rows
from lungscope.stats.estimate import Array, Estimate, Ratio, ratio
from lungscope.stats.patients import Patients, index_of_rows
from lungscope.stats.proportion import proportion

EXAMPLES = {
    "sensitivity": "sensitivity >= 0.95",
    "specificity": "specificity >= 0.90",
    "youden": "youden",
    "cost": "cost 5:1",
}
ABOVE_ALL = 1.01
"""A threshold that no probability reaches."""

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_REACH = re.compile(rf"(sensitivity|specificity)\s*(?:>=|≥)\s*{_NUMBER}(%?)")
_COST = re.compile(rf"cost\s+{_NUMBER}\s*:\s*{_NUMBER}")
_FIXED = re.compile(_NUMBER)


@dataclass(frozen=True)
class Goal:
    """What a threshold is chosen for."""

    kind: Literal["sensitivity", "specificity", "youden", "cost", "fixed"]
    value: float = 0.0
    """The share to reach, the cost of a miss in false alarms, or the threshold itself."""
    text: str = ""
    """As it was written."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with its name; positive where probability >= threshold."""

    name: str
    goal: str
    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    """Both on the data the threshold was chosen on, hence a little favourable."""
    note: str = ""
    """What to know about it, e.g. that the goal is met only by calling every case positive."""

    def is_positive(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Calls for probabilities of the positive class, in the single precision that the graph gives."""
        called: NDArray[np.bool_] = np.asarray(probabilities, np.float32) >= np.float32(self.threshold)
        return called


def parse_goal(text: str) -> Goal:
    """Read a goal.

    Args:
        text: 'sensitivity >= 0.95', 'specificity >= 0.90', 'youden', 'cost 5:1' or a threshold '0.5'.

    Raises:
        ConfigError: anything else, or a number outside its range; the forms and the nearest are named.
    """
    goal = text.strip()
    if reach := _REACH.fullmatch(goal):
        kind, number, percent = reach.groups()
        if percent or not 0 < float(number) <= 1:
            raise ConfigError(
                f"Goal {goal!r} needs a fraction above 0 and at most 1. Write e.g. 'sensitivity >= 0.95'."
            )
        return Goal("sensitivity" if kind == "sensitivity" else "specificity", float(number), goal)
    if cost := _COST.fullmatch(goal):
        missed, alarm = map(float, cost.groups())
        if not missed or not alarm:
            raise ConfigError(
                f"Goal {goal!r}: both costs must be above 0. Write e.g. 'cost 5:1', missed : false alarm."
            )
        return Goal("cost", missed / alarm, goal)
    if _FIXED.fullmatch(goal):
        if float(goal) > 1:
            raise ConfigError(f"Threshold {goal} is above 1. Write a probability such as '0.5'.")
        return Goal("fixed", float(goal), goal)
    if goal == "youden":
        return Goal("youden", text=goal)
    raise _unknown(text)


def choose(
    goal: Goal, positive: ArrayLike, probabilities: ArrayLike, *, name: str = "", patients: Patients | None = None
) -> OperatingPoint:
    """Choose a threshold on validation data.

    A sensitivity is reached with the largest threshold that does, a specificity with the smallest, so
    that the other one is best. Youden's index and cost take the best threshold, and of equal ones the
    lowest, which misses least. Cost counts the cases as they are: at another prevalence the best
    threshold is another. Thresholds lie midway between neighbouring probabilities (0 and 1 beyond the
    outermost), so that a rounding difference between two machines flips no call.

    Args:
        goal: from `parse_goal`.
        positive: (N,), true or 1 where diseased.
        probabilities: (N,), of the positive class; compared in single precision.
        name: of the operating point; the goal's text when empty.
        patients: (N,), whose each row is, for the intervals.

    Raises:
        UndefinedEstimate: the goal needs a class that has no case, or a probability is not a number.
        DataError: a probability is outside 0..1, or the columns do not fit.
    """
    truth, scores = as_binary(positive), _single(probabilities)
    same_rows(truth, scores)
    threshold, note = (goal.value, "") if goal.kind == "fixed" else _fitted(goal, truth, scores)
    called = scores >= np.float32(threshold)
    index = index_of_rows(patients, truth)
    return OperatingPoint(
        name=name or goal.text,
        goal=goal.text,
        threshold=threshold,
        sensitivity=proportion(called[truth], index[truth], empty="no positive case"),
        specificity=proportion(~called[~truth], index[~truth], empty="no negative case"),
        note=note,
    )


def operating_point(
    goal: str, labels: ArrayLike, scores: ArrayLike, *, patients: Patients | None = None
) -> OperatingPoint:
    """Choose the threshold that reaches a goal, on cases other than those it will be measured on.

    Args:
        goal: 'sensitivity >= 0.95', 'specificity >= 0.90', 'youden', 'cost 5:1' or a threshold '0.5'.
        labels: (N,), true or 1 where diseased.
        scores: (N,), probability of disease, 0..1.
        patients: (N,), whose each row is, for the intervals; without it all rows are independent.

    Raises:
        ConfigError: no such goal.
        UndefinedEstimate: the goal needs a class that has no case.
        DataError: a score is outside 0..1, or the columns do not fit.

    Example:
        >>> import lungscope as ls
        >>> point = ls.stats.operating_point("sensitivity >= 0.9", [0, 0, 0, 1, 1], [0.1, 0.4, 0.2, 0.6, 0.9])
        >>> point.threshold
        0.5
    """
    return choose(parse_goal(goal), labels, scores, patients=patients)


def predictive_values(sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float) -> tuple[Ratio, Ratio]:
    """Positive and negative predictive value at a prevalence, by Bayes' rule.

    Args:
        sensitivity: (...), 0..1.
        specificity: (...), 0..1.
        prevalence: share of diseased where the model is used, between 0 and 1.

    Returns:
        PPV and NPV, (...); NaN where no case would be called so.

    Raises:
        ConfigError: the prevalence is not between 0 and 1.
        DataError: a sensitivity or specificity is outside 0..1.
    """
    if not 0 < prevalence < 1:
        raise ConfigError(f"Prevalence {prevalence:g} is not between 0 and 1. Write a fraction such as 0.1 for 10 %.")
    found, cleared = np.asarray(sensitivity, np.float64), np.asarray(specificity, np.float64)
    if any(((side < 0) | (side > 1)).any() for side in (found, cleared)):
        raise DataError("Sensitivity and specificity must be from 0 to 1. Write fractions, not percent.")
    diseased, healthy = prevalence, 1 - prevalence
    ppv = ratio(found * diseased, found * diseased + (1 - cleared) * healthy)
    return ppv, ratio(cleared * healthy, cleared * healthy + (1 - found) * diseased)


def _fitted(goal: Goal, truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> tuple[float, str]:
    for missing, side, other in (("positive", truth, "specificity"), ("negative", ~truth, "sensitivity")):
        if goal.kind != other and not side.any():
            raise UndefinedEstimate(
                f"no {missing} case to choose '{goal}' on; enlarge data.validation or fix a threshold such as '0.5'"
            )
    distinct, first = np.unique(scores, return_inverse=True)
    # Entry i calls positive the scores from distinct[i] up; the last calls nobody.
    found, alarms = (
        np.append(np.bincount(first[side], minlength=distinct.size)[::-1].cumsum()[::-1], 0) for side in (truth, ~truth)
    )
    at = best_entry(goal, found, alarms)
    return _midway(distinct, at), extreme_note(at, distinct.size)


def best_entry(goal: Goal, found: NDArray[Any], alarms: NDArray[Any]) -> int:
    """Which of several thresholds serves a goal; see `choose`.

    Args:
        goal: any but a fixed threshold.
        found: (T,), diseased cases that are called positive at ascending thresholds; at the first all of them.
        alarms: (T,), healthy ones.
    """
    diseased, healthy = found[0], alarms[0]
    if goal.kind == "sensitivity":
        return int(np.flatnonzero(found / diseased >= goal.value)[-1])
    if goal.kind == "specificity":
        return int(np.flatnonzero((healthy - alarms) / healthy >= goal.value)[0])
    if goal.kind == "youden":
        # In whole numbers, so that equal indices are equal.
        return int(np.argmax(found * healthy - alarms * diseased))
    cost: Array = goal.value * (diseased - found) + alarms
    return int(np.argmin(cost))


def extreme_note(at: int, last: int) -> str:
    """What to know of the first of several thresholds and of the last; empty for the others."""
    return {0: "every case is called positive", last: "no case is called positive"}.get(at, "")


def _midway(distinct: NDArray[np.float32], at: int) -> float:
    if at == distinct.size and distinct[-1] >= np.nextafter(np.float32(1), np.float32(0)):
        return ABOVE_ALL
    low = distinct[at - 1] if at > 0 else np.float32(0)
    high = distinct[at] if at < distinct.size else np.float32(1)
    middle = (low + high) / np.float32(2)
    # Between neighbours in single precision there is no middle; the upper one still calls the same cases.
    return float(middle if middle > low or at == 0 else high)


def _single(probabilities: ArrayLike) -> NDArray[np.float32]:
    scores = numbers(probabilities, "probabilities").astype(np.float32)
    if scores.size and (scores.min() < 0 or scores.max() > np.float32(1.001)):
        raise DataError("Operating points need probabilities from 0 to 1. Pass probabilities, not logits.")
    return scores


def _unknown(text: str) -> ConfigError:
    word = re.match(r"[a-z]*", text.strip().lower())
    close = difflib.get_close_matches(word.group() if word else "", EXAMPLES, n=1, cutoff=0.5)
    nearest = f" Did you mean {EXAMPLES[close[0]]!r}?" if close else ""
    forms = ", ".join(repr(example) for example in EXAMPLES.values())
    return ConfigError(f"There is no operating goal {text!r}.{nearest} Write {forms} or a threshold such as '0.5'.")
