"""An evaluation in plain words: the sentences and the headline estimates of a report."""

from collections.abc import Callable
from dataclasses import dataclass

from lungscope.evaluation.evaluate import Evaluation, PointEstimates
from lungscope.stats.estimate import Estimate

Format = Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """An estimate as it is printed."""

    value: str
    interval: str
    reason: str
    """Why the value or the interval is missing; empty when both are there."""


@dataclass(frozen=True)
class Headline:
    """An estimate with its name and what it means."""

    name: str
    cell: Cell
    meaning: str


@dataclass(frozen=True)
class Dots:
    """A hundred cases of one kind, of which some are flagged."""

    key: str
    group: str
    flagged: int
    text: str


@dataclass(frozen=True)
class Row:
    """One estimate at every operating point."""

    name: str
    cells: tuple[Cell, ...]


def percent(value: float) -> str:
    """A share, such as 96.9%."""
    return f"{100 * value:.1f}%"


def decimal(value: float) -> str:
    """A number, such as 0.969, with a true minus."""
    return f"{value:.3f}".replace("-", "−")


def cell(estimate: Estimate, form: Format = percent) -> Cell:
    """An estimate, its interval, and why one of them is missing."""
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"{form(estimate.low).removesuffix('%')} to {form(estimate.high)}"
    return Cell("–" if estimate.value is None else form(estimate.value), interval, estimate.reason)


def per_hundred(value: float) -> str:
    """How many of a hundred; 100 and 0 are kept for all and none."""
    n = round(100 * value)
    if n == 100 and value < 1:
        return "more than 99"
    return "fewer than 1" if n == 0 and value > 0 else str(n)


def joined(names: tuple[str, ...], word: str = "and") -> str:
    """A list as one writes it: A, B and C."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def disease(evaluation: Evaluation) -> str:
    """What is not the reference class."""
    return joined(evaluation.classes[1:], "or")


def sentences(evaluation: Evaluation) -> tuple[str, ...]:
    """What the model does at its default operating point, for a reader without statistics."""
    if not evaluation.operating_points:
        return _without_point(evaluation)
    point = evaluation.operating_points[0]
    lines = (_flags(evaluation, point), _meaning_here(evaluation, point), _meaning_there(evaluation, point))
    return tuple(sentence for sentence in lines if sentence)


def dots(evaluation: Evaluation) -> tuple[Dots, ...]:
    """A hundred diseased and a hundred healthy, as the default operating point sees them."""
    if not evaluation.operating_points:
        return ()
    found = evaluation.operating_points[0].estimates
    shares = (found.sensitivity.value, None if found.specificity.value is None else 1 - found.specificity.value)
    groups = (disease(evaluation), evaluation.classes[0])
    return tuple(
        Dots(f"dots-{i}", group, _dots(share), f"{per_hundred(share)} of 100 labelled {group} are flagged")
        for i, (group, share) in enumerate(zip(groups, shares, strict=True))
        if share is not None
    )


def headlines(evaluation: Evaluation) -> tuple[Headline, ...]:
    """The estimates that sum a model up, each with its meaning."""
    many = len(evaluation.classes) > 2
    ranked = "mean over the classes, each against all others" if many else "0.5 is chance, 1 is perfect"
    coin = "" if many else ", 0.25 is to say 50% every time"
    return (
        Headline(
            "AUROC", cell(evaluation.auroc, decimal), f"How often a diseased case scores above a healthy one; {ranked}."
        ),
        *_point_headlines(evaluation),
        Headline(
            "Balanced accuracy",
            cell(evaluation.balanced_accuracy),
            "Share of each class that is named right, averaged over the classes.",
        ),
        Headline(
            "Average precision",
            cell(evaluation.average_precision, decimal),
            "Precision averaged over all thresholds; it depends on the prevalence.",
        ),
        Headline(
            "Brier score", cell(evaluation.brier, decimal), f"Squared error of the probabilities; 0 is perfect{coin}."
        ),
        Headline(
            "Calibration error",
            cell(evaluation.ece, decimal),
            "Mean gap between a probability and how often it comes true (ECE).",
        ),
        Headline(
            "Calibration slope",
            cell(evaluation.recalibration.slope, decimal),
            "1 is ideal; below 1 the probabilities are too extreme, above 1 too cautious.",
        ),
    )


def point_rows(evaluation: Evaluation) -> tuple[Row, ...]:
    """Every estimate at every operating point."""
    points, here = evaluation.operating_points, cell(evaluation.prevalence).value
    rows = [
        Row(name, tuple(cell(getattr(each.estimates, key)) for each in points))
        for name, key in (
            ("Sensitivity", "sensitivity"), ("Specificity", "specificity"),
            (f"PPV at {here}", "ppv"), (f"NPV at {here}", "npv"),
        )
    ]  # fmt: skip
    if evaluation.expected_prevalence is not None:
        there = f"at {100 * evaluation.expected_prevalence:.3g}%"
        rows += (
            Row(f"{name} {there}", tuple(cell(getattr(each, key) or Estimate(None)) for each in points))
            for name, key in (("PPV", "ppv_expected"), ("NPV", "npv_expected"))
        )
    return (
        *rows,
        Row("F1", tuple(cell(each.estimates.f1, decimal) for each in points)),
        Row("Accuracy", tuple(cell(each.estimates.accuracy) for each in points)),
        Row("Balanced accuracy", tuple(cell(each.estimates.balanced_accuracy) for each in points)),
    )


def calibration_sentence(evaluation: Evaluation) -> str:
    """What slope and intercept say about the probabilities."""
    slope, large = evaluation.recalibration.slope, evaluation.recalibration.in_the_large
    if slope.low is None or slope.high is None or large.low is None or large.high is None:
        return ""
    spread = (
        "too cautious" if slope.low > 1 else "too extreme" if slope.high < 1 else "neither too extreme nor too cautious"
    )
    level = "too low" if large.low > 0 else "too high" if large.high < 0 else "neither too high nor too low"
    return (
        f"The probabilities are {spread} (slope {decimal(slope.value or 0)}), and on the whole {level} "
        f"(calibration in the large {decimal(large.value or 0)}, 0 is ideal)."
    )


def repeated_evaluation_warning(times: int) -> tuple[str, ...]:
    """What to know when the same images were evaluated before; nothing at the first time."""
    if times < 2:
        return ()
    return (
        f"This model was evaluated {times} times on these images. Estimates that a choice was based on are favourable.",
    )


def _without_point(evaluation: Evaluation) -> tuple[str, ...]:
    right = evaluation.accuracy
    if right.value is None:
        return ()
    return (f"Of 100 radiographs this model names the right class for {per_hundred(right.value)}{_span(right)}.",)


def _flags(evaluation: Evaluation, point: PointEstimates) -> str:
    found, cleared = point.estimates.sensitivity, point.estimates.specificity
    lines = []
    if found.value is not None:
        flagged = f"{per_hundred(found.value)}{_span(found)}"
        lines.append(f"Of 100 radiographs labelled {disease(evaluation)} this model flags {flagged}.")
    if cleared.value is not None:
        flagged = per_hundred(1 - cleared.value)
        alarms = _span(Estimate(1 - cleared.value, *_mirrored(cleared)))
        lines.append(f"Of 100 labelled {evaluation.classes[0]} it flags {flagged} in error{alarms}.")
    return " ".join(lines)


def _meaning_here(evaluation: Evaluation, point: PointEstimates) -> str:
    ppv, npv, share = point.estimates.ppv.value, point.estimates.npv.value, evaluation.prevalence.value
    if ppv is None or npv is None or share is None:
        return ""
    return (
        f"In these data, where {per_hundred(share)} of 100 are diseased, a flag is right "
        f"{per_hundred(ppv)} times in 100 and an all-clear {per_hundred(npv)} times in 100."
    )


def _meaning_there(evaluation: Evaluation, point: PointEstimates) -> str:
    share = evaluation.expected_prevalence
    found, cleared = point.estimates.sensitivity.value, point.estimates.specificity.value
    if share is None or found is None or cleared is None or point.ppv_expected is None:
        return ""
    total = _crowd(share)
    diseased = round(total * share)
    healthy = total - diseased
    hits, alarms = round(diseased * found), round(healthy * (1 - cleared))
    right = point.ppv_expected.value
    chance = "" if right is None else f" A flag is then right {per_hundred(right)} times in 100."
    return (
        f"Where {100 * share:.3g}% are diseased, as entered, {total:,} radiographs hold {diseased:,} of disease: "
        f"the model flags {hits:,} of them and misses {diseased - hits:,}, and flags {alarms:,} of the other "
        f"{healthy:,} in error.{chance}"
    )


def _crowd(share: float) -> int:
    """So many that ten at least are diseased."""
    total = 1000
    while total * share < 10:
        total *= 10
    return total


def _point_headlines(evaluation: Evaluation) -> tuple[Headline, ...]:
    if not evaluation.operating_points:
        return (Headline("Accuracy", cell(evaluation.accuracy), "Share of radiographs whose class is named right."),)
    point = evaluation.operating_points[0]
    at = f"at {point.point.name}, from a probability of {point.point.threshold:.3f} on"
    return (
        Headline("Sensitivity", cell(point.estimates.sensitivity), f"Share of the diseased that is flagged {at}."),
        Headline("Specificity", cell(point.estimates.specificity), "Share of the healthy that is not flagged there."),
    )


def _mirrored(estimate: Estimate) -> tuple[float | None, float | None]:
    if estimate.low is None or estimate.high is None:
        return None, None
    return 1 - estimate.high, 1 - estimate.low


def _span(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({round(100 * estimate.low)}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{round(100 * estimate.high)})"


def _dots(share: float) -> int:
    # A single miss or false alarm stays visible.
    n = round(100 * share)
    return min(n, 99) if share < 1 and n == 100 else max(n, 1) if share > 0 else n
