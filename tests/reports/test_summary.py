"""Plain words: rounding that neither hides nor invents errors, and sentences that match the figures."""

from dataclasses import replace

import numpy as np
import pytest

from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.evaluate import Evaluation, evaluate
from lungscope.reports import summary
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

HALF = OperatingPoint("half", "0.5", 0.5, Estimate(0.9), Estimate(0.8))


def counted(found: int, missed: int, alarms: int, cleared: int, prevalence: float | None = None) -> Evaluation:
    """An evaluation with given counts at one operating point."""
    labels = np.repeat([1, 1, 0, 0], [found, missed, alarms, cleared])
    p_abnormal = np.repeat([0.9, 0.1, 0.8, 0.2], [found, missed, alarms, cleared])
    share = np.column_stack([1 - p_abnormal, p_abnormal])
    names = [f"p{i}" for i in range(len(labels))]
    return evaluate(
        check_cases(labels, share, names, ("NORMAL", "PNEUMONIA")), [HALF], prevalence=prevalence, resamples=50
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100"), (0.0, "0"), (0.999, "more than 99"), (0.001, "fewer than 1"), (0.958, "96"), (0.994, "99")],
)
def test_all_and_none_are_said_only_of_all_and_none(share: float, text: str) -> None:
    assert summary.per_hundred(share) == text


def test_the_first_sentence_tells_flags_among_diseased_and_healthy() -> None:
    first = summary.sentences(counted(96, 4, 10, 90))[0].replace("\N{NO-BREAK SPACE}", " ")
    assert first == (
        "Of 100 radiographs labelled PNEUMONIA this model flags 96 (90 to 98). "
        "Of 100 labelled NORMAL it flags 10 in error (6 to 17)."
    )


def test_the_second_sentence_tells_what_a_flag_means_here() -> None:
    second = summary.sentences(counted(90, 10, 30, 270))[1]
    assert second == (
        "In these data, where 25 of 100 are diseased, a flag is right 75 times in 100 and an all-clear 96 times in 100."
    )


def test_natural_frequencies_add_up_at_the_entered_prevalence() -> None:
    third = summary.sentences(counted(90, 10, 20, 80, prevalence=0.1))[2]
    assert third == (
        "Where 10% are diseased, as entered, 1,000 radiographs hold 100 of disease: the model flags 90 of them and "
        "misses 10, and flags 180 of the other 900 in error. A flag is then right 33 times in 100."
    )


def test_a_rare_disease_is_told_in_a_larger_crowd() -> None:
    third = summary.sentences(counted(90, 10, 20, 80, prevalence=0.0005))[2]
    assert "100,000 radiographs hold 50 of disease" in third


def test_what_is_undefined_is_left_out_of_the_sentences() -> None:
    told = summary.sentences(counted(0, 0, 5, 95))
    assert told[0].startswith("Of 100 labelled NORMAL it flags 5 in error")
    assert "PNEUMONIA" not in " ".join(told)
    assert [group.group for group in summary.dots(counted(0, 0, 5, 95))] == ["NORMAL"]


def test_a_single_miss_in_thousands_stays_visible_among_the_dots() -> None:
    diseased, healthy = summary.dots(counted(1999, 1, 1, 1999))
    assert (diseased.flagged, healthy.flagged) == (99, 1)
    assert "more than 99 of 100" in diseased.text


def test_without_operating_points_the_share_of_right_names_is_told(three) -> None:
    found = evaluate(three.without_reference(), [], resamples=50)
    (sentence,) = summary.sentences(found)
    assert f"names the right class for {round(100 * found.accuracy.value)}" in sentence
    assert [headline.name for headline in summary.headlines(found)][:2] == ["AUROC", "Accuracy"]


def test_several_diseases_are_named_together(three) -> None:
    assert "labelled BACTERIAL or VIRAL this model flags" in summary.sentences(three.evaluation())[0]


def test_every_headline_has_a_value_an_interval_and_a_meaning(two) -> None:
    for headline in summary.headlines(two.evaluation()):
        assert headline.cell.value != "–"
        assert " to " in headline.cell.interval
        assert headline.meaning.endswith(".")


def test_rows_of_the_points_follow_the_prevalences(two) -> None:
    names = [row.name for row in summary.point_rows(two.evaluation(prevalence=0.05))]
    here = summary.cell(two.evaluation().prevalence).value
    assert names[:6] == [
        "Sensitivity", "Specificity", f"PPV at {here}", f"NPV at {here}", "PPV at 5%", "NPV at 5%"
    ]  # fmt: skip
    assert all(len(row.cells) == 3 for row in summary.point_rows(two.evaluation()))


def test_a_cell_gives_value_interval_or_reason() -> None:
    assert summary.cell(Estimate(0.9691, 0.9467, 0.9822)) == summary.Cell("96.9%", "94.7 to 98.2%", "")
    assert summary.cell(Estimate(-0.0061, -0.18, 0.17), summary.decimal).interval == "−0.180 to 0.170"
    assert summary.cell(Estimate(None, reason="no case")) == summary.Cell("–", "", "no case")


@pytest.mark.parametrize(
    ("slope", "large", "words"),
    [
        (
            (1.5, 1.2, 1.8),
            (0.0, -0.1, 0.1),
            "too cautious (slope 1.500), and on the whole neither too high nor too low",
        ),
        ((0.5, 0.4, 0.6), (0.5, 0.3, 0.7), "too extreme (slope 0.500), and on the whole too low"),
        ((1.0, 0.9, 1.1), (-0.5, -0.7, -0.3), "neither too extreme nor too cautious"),
    ],
)
def test_calibration_is_judged_by_its_interval(two, slope, large, words) -> None:
    found = two.evaluation()
    shown = replace(found.recalibration, slope=Estimate(*slope), in_the_large=Estimate(*large))
    assert words in summary.calibration_sentence(replace(found, recalibration=shown))


def test_calibration_without_an_interval_is_not_judged() -> None:
    assert summary.calibration_sentence(counted(3, 1, 1, 3)) == ""
