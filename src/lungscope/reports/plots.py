"""The plots of a report, as inline SVG."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.optimize import linear_sum_assignment

from lungscope.evaluation.curves import Histogram, RocBand
from lungscope.evaluation.decision_curve import DecisionCurve
from lungscope.evaluation.evaluate import PointEstimates
from lungscope.reports.history import TrainingEpoch
from lungscope.reports.svg import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    PAPER,
    REFERENCE,
    SMALL,
    TEXT,
    Caption,
    dress,
    label,
    new_axes,
    new_figure,
    render,
)
from lungscope.stats.calibration import ReliabilityCurve
from lungscope.stats.estimate import Array
from lungscope.stats.metrics import PrecisionRecallCurve, RocCurve

WIDTH, HEIGHT = 330.0, 300.0
LINE = 1.8
STEP, NAME_WIDTH, MARGIN = 0.08, 0.26, 0.08
"""Between the names of operating points, their usual width and what stays free around: shares of the axis."""
BACKGROUND = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}

TICKS = np.linspace(0, 1, 6)
Place = tuple[float | None, float | None]


def roc_plot(curve: RocCurve, band: RocBand | None, points: Sequence[PointEstimates]) -> Markup:
    """ROC curve with its pointwise interval and the operating points."""
    figure, axes = new_axes(WIDTH, HEIGHT)
    if band:
        axes.fill_between(band.false_positive_rate, band.low, band.high, color=ACCENT, alpha=0.16, linewidth=0)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, dashes=(3, 3))
    axes.plot(curve.false_positive_rate, curve.sensitivity, color=ACCENT, linewidth=LINE, clip_on=False)
    places = [
        (None if each.specificity.value is None else 1 - each.specificity.value, each.sensitivity.value)
        for each in (point.estimates for point in points)
    ]
    _mark(axes, points, places, curve.false_positive_rate, curve.sensitivity)
    _unit_square(axes)
    label(axes, "False-positive rate (1 − specificity)", "Sensitivity")
    return render(
        figure,
        Caption(
            "roc",
            "ROC curve",
            f"Sensitivity against false-positive rate{_values_at(points, 'sensitivity', 'specificity')}",
        ),
    )


def precision_recall_plot(curve: PrecisionRecallCurve, prevalence: float, points: Sequence[PointEstimates]) -> Markup:
    """Precision against recall, the prevalence as the floor, and the operating points."""
    figure, axes = new_axes(WIDTH, HEIGHT)
    axes.axhline(prevalence, color=MUTED, linewidth=0.9, dashes=(3, 3))
    axes.annotate(
        f"prevalence {prevalence:.0%}", (0.02, prevalence), xytext=(0, 4), textcoords="offset points",
        size=SMALL, color=MUTED, bbox=BACKGROUND,
    )  # fmt: skip
    axes.step(curve.recall, curve.precision, where="pre", color=ACCENT, linewidth=LINE, clip_on=False)
    places = [(each.estimates.sensitivity.value, each.estimates.ppv.value) for each in points]
    _mark(axes, points, places, curve.recall, curve.precision)
    _unit_square(axes)
    label(axes, "Recall (sensitivity)", "Precision (PPV)")
    return render(
        figure,
        Caption(
            "precision-recall",
            "Precision-recall curve",
            f"Precision against recall, at a prevalence of {prevalence:.0%}{_values_at(points, 'sensitivity', 'ppv')}",
        ),
    )


def reliability_plot(curve: ReliabilityCurve, key: str = "reliability") -> Markup:
    """Outcome against probability, with the number of cases of every bin below; `key` is unique in the page."""
    figure = new_figure(WIDTH, HEIGHT)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    for axes in (above, below):
        dress(axes)
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, dashes=(3, 3))
    spread = [curve.observed - curve.low, curve.high - curve.observed]
    above.errorbar(curve.predicted, curve.observed, spread, color=ACCENT, linewidth=LINE, elinewidth=1.1)
    above.plot(curve.predicted, curve.observed, "o", color=ACCENT, markersize=7, markeredgecolor=PAPER, clip_on=False)
    _unit_square(above)
    below.bar(curve.predicted, curve.count, width=0.05, color=REFERENCE, alpha=0.8)
    below.set_yticks([int(curve.count.max())])
    below.grid(visible=False)
    label(above, "", "Share that is diseased")
    label(below, "Predicted probability of disease", "Cases")
    bins = zip(curve.predicted, curve.observed, curve.count, strict=True)
    description = "; ".join(f"predicted {p:.0%}, observed {o:.0%} of {n}" for p, o, n in bins)
    return render(figure, Caption(key, "Reliability diagram", f"By bin: {description}."))


def decision_plot(curve: DecisionCurve) -> Markup:
    """Net benefit by risk of acting on the model, on everybody and on nobody."""
    figure, axes = new_axes(WIDTH, HEIGHT)
    risks, model, everybody = curve.risks, curve.model, curve.everybody
    if curve.low is not None and curve.high is not None:
        axes.fill_between(risks, curve.low, curve.high, color=ACCENT, alpha=0.16, linewidth=0)
    axes.plot(risks, model, color=ACCENT, linewidth=LINE, label="the model")
    axes.plot(risks, everybody, color=REFERENCE, linewidth=1.2, dashes=(5, 2), label="everybody")
    axes.axhline(0, color=MUTED, linewidth=0.9, dashes=(3, 3), label="nobody")
    top = max(float(model.max()), float(everybody.max())) * 1.12 or 0.1
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.25 * top, top)
    axes.set_xticks(TICKS, _fractions(TICKS))
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=2.4, loc="lower left")
    label(axes, "Risk from which one acts", "Net benefit")
    description = "; ".join(
        f"at {risk:.0%} the model has {model[i]:.3f} and everybody {everybody[i]:.3f}"
        for risk in (0.1, 0.3, 0.5) for i in [int(np.argmin(np.abs(risks - risk)))]
    )  # fmt: skip
    return render(figure, Caption("decision", "Decision curve", f"Net benefit: {description}; nobody has 0."))


def scores_plot(histogram: Histogram, classes: Sequence[str], points: Sequence[PointEstimates]) -> Markup:
    """Distribution of p_abnormal, one row per class, the default threshold across them."""
    figure = new_figure(WIDTH, max(HEIGHT, 60.0 + 70.0 * len(classes)))
    rows = figure.subplots(len(classes), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, name, counts, k in zip(rows, classes, histogram.counts, range(len(classes)), strict=True):
        dress(axes)
        share = counts / max(int(counts.sum()), 1)
        axes.bar(
            histogram.edges[:-1], share, np.diff(histogram.edges) * 0.86, align="edge",
            color=ACCENT if k else REFERENCE, alpha=0.85,
        )  # fmt: skip
        axes.set_title(f"{name}  ({counts.sum()})", loc="left", size=TEXT, color=INK, parse_math=False)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        if points:
            axes.axvline(points[0].point.threshold, color=INK, linewidth=1, dashes=(2, 2))
    rows[-1].set_xlim(0, 1)
    rows[-1].set_xticks(TICKS, _fractions(TICKS))
    label(rows[-1], "Predicted probability of disease", "")
    line = f" The line is the threshold {points[0].point.threshold:.3f} of {points[0].point.name}." if points else ""
    description = f"Share of each class by predicted probability, for {', '.join(classes)}.{line}"
    return render(figure, Caption("scores", "Predicted probabilities by class", description))


def loss_plot(epochs: Sequence[TrainingEpoch]) -> Markup:
    """Training and validation loss by epoch."""
    figure, axes = new_axes(WIDTH, HEIGHT * 0.8)
    steps = np.arange(1, len(epochs) + 1)
    _phases(axes, epochs)
    for color, name, values in (
        (REFERENCE, "training", [epoch.train_loss for epoch in epochs]),
        (ACCENT, "validation", [epoch.validation_loss for epoch in epochs]),
    ):
        axes.plot(steps, values, color=color, linewidth=LINE, label=name, marker=_marker(epochs), markersize=4)
    legend = axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=1.4, loc="best")
    legend.set_zorder(5)
    label(axes, "Epoch", "Loss")
    last = epochs[-1]
    description = f"After {len(epochs)} epochs: training {last.train_loss:.3f}, validation {last.validation_loss:.3f}."
    return render(figure, Caption("loss", "Loss by epoch", description))


def validation_auroc_plot(epochs: Sequence[TrainingEpoch]) -> Markup:
    """Validation AUROC by epoch, the best one marked."""
    figure, axes = new_axes(WIDTH, HEIGHT * 0.8)
    areas = np.array([epoch.validation_auroc for epoch in epochs])
    steps = np.arange(1, len(epochs) + 1)
    _phases(axes, epochs)
    axes.plot(steps, areas, color=ACCENT, linewidth=LINE, marker=_marker(epochs), markersize=4)
    description = "No AUROC was recorded."
    if np.isfinite(areas).any():
        best = int(np.nanargmax(areas))
        axes.plot(steps[best], areas[best], "o", color=ACCENT, markersize=7, markeredgecolor=PAPER)
        axes.annotate(
            f"{areas[best]:.3f}", (float(steps[best]), areas[best]), xytext=(0, 8), textcoords="offset points",
            size=SMALL, color=INK, ha="center",
        )  # fmt: skip
        description = f"The best of {len(epochs)} epochs is number {best + 1} with an AUROC of {areas[best]:.3f}."
    label(axes, "Epoch", "Validation AUROC")
    return render(figure, Caption("learning", "Validation AUROC by epoch", description))


def _mark(axes: Axes, points: Sequence[PointEstimates], places: Sequence[Place], x: Array, y: Array) -> None:
    """Operating points of a curve (x, y), named in a column where it leaves room: they lie close together."""
    shown = [(each.point.name, place) for each, place in zip(points, places, strict=True) if None not in place]
    if not shown:
        return
    targets = np.array([place for _, place in shown], np.float64)
    column, bottom = _free_place(x, y, targets)
    levels = bottom + STEP * np.arange(len(shown))
    right = column + NAME_WIDTH / 2 > targets[:, 0].mean()
    anchors = np.column_stack([np.full(len(shown), column if right else column + NAME_WIDTH), levels])
    # The shortest leaders do not cross.
    order = linear_sum_assignment(np.linalg.norm(targets[:, None] - anchors[None], axis=2))[1]
    for (name, _), target, anchor in zip(shown, targets, anchors[order], strict=True):
        axes.plot(*np.stack([anchor, target], axis=1), color=MUTED, linewidth=0.6, alpha=0.7)
        axes.plot(*target, "o", color=ACCENT, markersize=7, markeredgecolor=PAPER, clip_on=False, zorder=4)
        axes.annotate(
            name, anchor, xytext=(4 if right else -4, 0), textcoords="offset points", size=SMALL, color=INK,
            va="center", ha="left" if right else "right", bbox=BACKGROUND, parse_math=False,
        )  # fmt: skip


def _free_place(x: Array, y: Array, targets: Array) -> tuple[float, float]:
    """Left end and lowest level of the column of names: near its points, but covering nothing."""
    size = np.array([NAME_WIDTH, STEP * (len(targets) - 1)])
    steps = np.linspace(0, 1, len(x))
    along = np.linspace(0, 1, 400)
    drawn = np.concatenate([np.column_stack([np.interp(along, steps, side) for side in (x, y)]), targets])

    def cost(place: tuple[float, float]) -> float:
        low, high = np.array(place) - MARGIN, np.array(place) + size + MARGIN
        covered = ((drawn > low) & (drawn < high)).all(axis=1).sum()
        return float(covered + np.linalg.norm((low + high) / 2 - targets.mean(axis=0)))

    columns = np.arange(0.04, 1 - NAME_WIDTH, 0.02).tolist()
    bottoms = np.arange(0.06, max(0.96 - size[1], 0.08), 0.02).tolist()
    return min(((column, bottom) for column in columns for bottom in bottoms), key=cost)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.005)
    axes.set_xticks(TICKS, _fractions(TICKS))
    axes.set_yticks(TICKS, _fractions(TICKS))


def _fractions(ticks: Array) -> list[str]:
    return [f"{tick:.1f}".removesuffix(".0") for tick in ticks]


def _phases(axes: Axes, epochs: Sequence[TrainingEpoch]) -> None:
    """A line where a phase begins, with its name."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.margins(y=0.12)
    starts = [i for i, epoch in enumerate(epochs) if i == 0 or epoch.phase != epochs[i - 1].phase]
    for start in starts:
        if start:
            axes.axvline(start + 0.5, color=GRID, linewidth=1.2)
        axes.annotate(
            epochs[start].phase, (start + 0.5, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", size=SMALL, color=MUTED, va="bottom", parse_math=False,
        )  # fmt: skip


def _marker(epochs: Sequence[TrainingEpoch]) -> str:
    return "o" if len(epochs) < 4 else ""


def _values_at(points: Sequence[PointEstimates], first: str, second: str) -> str:
    description = [
        f"{each.point.name} has {first} {getattr(each.estimates, first).value:.3f} and "
        f"{second} {getattr(each.estimates, second).value:.3f}"
        for each in points
        if getattr(each.estimates, first).value is not None and getattr(each.estimates, second).value is not None
    ]
    return f": {'; '.join(description)}." if description else "."
