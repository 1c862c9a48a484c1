"""What p_abnormal and the abnormality heat map mean with and without a reference class, at one place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Card
from lungscope.inference.result import Decision, ImageResult

HEAT = np.arange(12, dtype=np.float32).reshape(3, 2, 2)[::-1]
"""(3, 2, 2): hottest in the first class, coldest in the last."""
PROBABILITIES = np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]], np.float32)


@pytest.fixture
def two(model: Path) -> Card:
    return load_bundle(model).card


def test_of_two_classes_one_is_the_reference_also_without_an_operating_point(two: Card) -> None:
    bare = replace(two, operating_points=())
    for card in (two, bare):
        assert card.has_reference
        np.testing.assert_array_equal(card.p_abnormal(PROBABILITIES[:, :2]), PROBABILITIES[:, 1])


def test_of_three_classes_operating_points_tell_that_one_is_the_reference(two: Card) -> None:
    three = replace(two, classes=("NORMAL", "BACTERIAL", "VIRAL"))
    np.testing.assert_array_equal(three.p_abnormal(PROBABILITIES), 1 - PROBABILITIES[:, 0])
    np.testing.assert_array_equal(three.ranking_score(PROBABILITIES), 1 - PROBABILITIES[:, 0])
    without = replace(three, operating_points=())
    assert not without.has_reference
    assert without.p_abnormal(PROBABILITIES) is None
    np.testing.assert_array_equal(without.ranking_score(PROBABILITIES), PROBABILITIES.max(1))


def test_rounding_never_leads_outside_0_and_1(two: Card) -> None:
    three = replace(two, classes=("NORMAL", "BACTERIAL", "VIRAL"))
    assert three.p_abnormal(np.array([[1.0000001, 0, 0]], np.float32)).tolist() == [0]


def test_the_abnormality_heat_map_shows_what_is_not_the_reference_whatever_was_decided() -> None:
    result = ImageResult(None, (0.5, 0.2, 0.3), decision=Decision("NORMAL", 0.5, "half", 0.6), heatmaps=HEAT)
    np.testing.assert_array_equal(result.abnormality_heatmap, HEAT[1])


def test_without_a_reference_it_shows_the_likeliest_class() -> None:
    result = ImageResult(None, (0.1, 0.2, 0.7), decision=Decision("C", None), heatmaps=HEAT)
    assert result.p_abnormal is None
    np.testing.assert_array_equal(result.abnormality_heatmap, HEAT[2])


def test_there_is_no_finding_where_an_image_is_not_assessed_or_not_read() -> None:
    decision = Decision("PNEUMONIA", 0.9)
    assert ImageResult(decision=decision).finding == "PNEUMONIA"
    assert ImageResult(decision=decision, not_assessed="a picture in colour").finding is None
    assert ImageResult(error="damaged").finding is None
