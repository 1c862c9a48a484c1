"""How much more data would help."""

import csv
import io
from collections.abc import Sequence

from lungscope.evaluation.learning_curve import LearningPoint
from lungscope.reports import summary
from lungscope.reports.leaderboard_plots import learning_curve_plot
from lungscope.reports.section import Plot, Row, Section, SectionKey, Table


def learning_section(points: Sequence[LearningPoint]) -> Section:
    """The curve, and what the last step of each method brought."""
    rows: list[Row] = [
        (
            each.method,
            f"{each.fraction:.3g}",
            f"{each.images:,}",
            f"{each.patients:,}",
            summary.cell(each.auroc, summary.decimal),
            "–" if each.spread is None else f"± {each.spread:.3f}",
        )
        for each in points
    ]
    header = ("Method", "Fraction", "Images", "Patients", "AUROC", "Over seeds")
    drawn = [each for each in points if each.auroc.value is not None]
    return Section(
        SectionKey.LEARNING_CURVE,
        title="Learning curve",
        lead=f"{_verdict(points)} Smaller parts lie within larger ones, and all are measured on the same images.",
        tables=(Table("By part of the training patients", header, tuple(rows), "Brackets are 95% intervals."),),
        plots=(
            Plot(
                "AUROC by training images",
                learning_curve_plot(drawn),
                "A curve that still rises at its end would gain from more data; a flat one would not.",
            ),
        )
        if drawn
        else (),
    )


def learning_csv(points: Sequence[LearningPoint]) -> str:
    """One line per method and fraction."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*"method fraction images patients auroc auroc_low auroc_high sd_over_seeds reason".split(),))
    for each in points:
        area = each.auroc
        sizes = (each.method, each.fraction, each.images, each.patients)
        writer.writerow([*sizes, area.value, area.low, area.high, each.spread, area.reason])
    return text.getvalue()


def _verdict(points: Sequence[LearningPoint]) -> str:
    """What the last step of every method brought."""
    steps = []
    for name in dict.fromkeys(each.method for each in points):
        own = [each for each in points if each.method == name and each.auroc.value is not None]
        if len(own) > 1 and own[-1].auroc.value is not None and own[-2].auroc.value is not None:
            gain = own[-1].auroc.value - own[-2].auroc.value
            steps.append(
                f"From {own[-2].images:,} to {own[-1].images:,} images {name} {'gained' if gain >= 0 else 'lost'} "
                f"{abs(gain):.3f} of AUROC."
            )
    return " ".join(steps)
