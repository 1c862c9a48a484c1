"""The plots of a leaderboard: all ROC curves in one plot, and the AUROCs with their intervals and seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from lungscope.evaluation.comparison import Standing
from lungscope.reports.forest_plot import Line, forest_plot
from lungscope.reports.svg import ACCENT, INK, MUTED, REFERENCE, SMALL, Caption, label, new_axes, render

if TYPE_CHECKING:
    from lungscope.evaluation.learning_curve import LearningPoint

WIDTH, HEIGHT = 420.0, 380.0
COLOURS = (ACCENT, INK, REFERENCE)
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (7, 2, 1.5, 2))
"""With the colours, so that a dozen curves can be told apart without their colours."""
TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def roc_plot(standings: Sequence[Standing]) -> Markup:
    """The ROC curve of every method, the leader's thickest."""
    figure, axes = new_axes(WIDTH, HEIGHT)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, dashes=(3, 3))
    drawn = [(i, each, each.roc) for i, each in enumerate(standings) if each.roc]
    for i, each, roc in reversed(drawn):
        colour, dashes = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        (line,) = axes.plot(
            roc.false_positive_rate, roc.sensitivity, color=colour, linewidth=2.2 if i == 0 else 1.3,
            label=each.name, clip_on=False,
        )  # fmt: skip
        if dashes:
            line.set_dashes(dashes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.005)
    axes.set_xticks(TICKS)
    axes.set_yticks(TICKS)
    label(axes, "False-positive rate (1 − specificity)", "Sensitivity")
    legend = axes.legend(
        loc="lower right", frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=2.4, reverse=True
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    description = "; ".join(f"{each.name} has an AUROC of {_value(each)}" for _, each, _ in drawn)
    return render(figure, Caption("all-roc", "ROC curves of all methods", f"{description}."))


def auroc_plot(standings: Sequence[Standing]) -> Markup:
    """AUROC of every method: a bar for its interval, a dot for its mean, a ring for every seed."""
    shown = [each for each in standings if each.auroc.value is not None]
    lines = [Line(each.name, each.auroc, each is shown[0], each.auroc_by_seed) for each in shown]
    return forest_plot(lines, WIDTH, "all-auroc", "AUROC of all methods")


def learning_curve_plot(points: "Sequence[LearningPoint]") -> Markup:
    """AUROC against the number of training images, a line per method; points have an AUROC."""
    figure, axes = new_axes(WIDTH, HEIGHT * 0.8)
    names = list(dict.fromkeys(each.method for each in points))
    for i, name in enumerate(names):
        own = [each for each in points if each.method == name]
        colour, dashes = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        x, y = [each.images for each in own], [each.auroc.value or 0.0 for each in own]
        (line,) = axes.plot(x, y, color=colour, linewidth=1.8, marker="o", markersize=5, label=name)
        if dashes:
            line.set_dashes(dashes)
        for each in own:
            if each.auroc.low is not None and each.auroc.high is not None:
                axes.plot([each.images] * 2, [each.auroc.low, each.auroc.high], color=colour, alpha=0.5)
    axes.set_xscale("log")
    sizes = sorted({each.images for each in points})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    label(axes, "Training images", "AUROC")
    if len(names) > 1:
        legend = axes.legend(loc="lower right", frameon=False, fontsize=SMALL, labelcolor=INK)
        for text in legend.get_texts():
            text.set_parse_math(False)
    description = "; ".join(f"{each.method} from {each.images:,} images {each.auroc}" for each in points)
    return render(figure, Caption("learning-curve", "AUROC by training images", f"{description}."))


def _value(standing: Standing) -> str:
    return "none" if standing.auroc.value is None else f"{standing.auroc.value:.3f}"
