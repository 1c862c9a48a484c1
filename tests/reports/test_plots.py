"""The figures of a report: that each draws, says what it shows, and keeps its names off the curve."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lungscope.reports import plots
from lungscope.reports.history import TrainingEpoch
from lungscope.stats.estimate import Estimate


def description(svg: str) -> str:
    return re.search(r"<desc[^>]*>(.*?)</desc>", svg, re.S)[1]


def epochs(n: int, phase: str = "head") -> list[TrainingEpoch]:
    return [TrainingEpoch(phase, i, 1 / i, 1.2 / i, 0.9 + 0.01 * i - 0.002 * i * i) for i in range(1, n + 1)]


def test_the_roc_figure_names_every_operating_point(two) -> None:
    found = two.evaluation()
    svg = str(plots.roc_plot(found.curves.roc, found.curves.band, found.operating_points))
    for each in found.operating_points:
        assert f">{each.point.name}</text>" in svg
        told = f"{each.point.name} has sensitivity {each.estimates.sensitivity.value:.3f}"
        assert told in description(svg)


def test_an_operating_point_that_is_undefined_is_not_drawn(two) -> None:
    found = two.evaluation()
    first, *others = found.operating_points
    blank = replace(first, estimates=replace(first.estimates, specificity=Estimate(None, reason="no negative case")))
    svg = str(plots.roc_plot(found.curves.roc, None, [blank, *others]))
    assert first.point.name not in svg
    assert others[0].point.name in svg


def test_a_curve_without_operating_points_is_drawn(two) -> None:
    found = two.evaluation()
    assert "<svg" in str(plots.roc_plot(found.curves.roc, found.curves.band, []))


def test_the_precision_recall_figure_shows_the_prevalence(two) -> None:
    found = two.evaluation()
    svg = str(plots.precision_recall_plot(found.curves.precision_recall, 0.25, found.operating_points))
    assert ">prevalence 25%</text>" in svg


def test_the_reliability_figure_tells_every_bin(two) -> None:
    curve = two.evaluation().curves.reliability
    told = description(str(plots.reliability_plot(curve)))
    assert told.count("observed") == len(curve.count)


def test_the_score_figure_has_a_row_per_class(three) -> None:
    found = three.evaluation()
    svg = str(plots.scores_plot(found.curves.histogram, found.classes, found.operating_points))
    for each in found.per_class:
        assert f"{each.name} ({each.support})" in re.sub(r"\s+", " ", svg)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_training_curves_draw_from_the_first_epoch_on(n: int) -> None:
    history = epochs(n)
    assert f"After {n} epochs" in description(str(plots.loss_plot(history)))
    assert "AUROC of" in description(str(plots.validation_auroc_plot(history)))


def test_the_best_epoch_is_told_and_phases_are_named() -> None:
    history = [*epochs(2), *epochs(5, "finetune")]
    best = int(np.argmax([epoch.validation_auroc for epoch in history])) + 1
    svg = str(plots.validation_auroc_plot(history))
    assert f"The best of 7 epochs is number {best} " in description(svg)
    assert ">head</text>" in svg
    assert ">finetune</text>" in svg


def test_epochs_without_any_auroc_are_drawn_as_such() -> None:
    history = [replace(epoch, validation_auroc=float("nan")) for epoch in epochs(3)]
    assert "No AUROC was recorded" in description(str(plots.validation_auroc_plot(history)))


@pytest.mark.parametrize("power", [0.05, 0.3, 0.9])
def test_names_of_operating_points_cover_neither_curve_nor_points(power: float) -> None:
    x = np.linspace(0, 1, 200)
    y = x**power
    targets = np.column_stack([[0.1, 0.15, 0.2], np.array([0.1, 0.15, 0.2]) ** power])
    column, bottom = plots._free_place(x, y, targets)
    inside = (x > column) & (x < column + plots.NAME_WIDTH) & (y > bottom) & (y < bottom + 2 * plots.STEP)
    assert not inside.any()
    assert 0 <= column <= 1 - plots.NAME_WIDTH
    assert 0 <= bottom <= 1 - 2 * plots.STEP
