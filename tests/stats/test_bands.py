"""Columns as groups, and those that are refused."""

import numpy as np
import pytest

from lungscope.stats.bands import Bands, into_bands


def test_categories_stay_as_they_are_and_what_is_missing_is_unknown():
    bands = into_bands("sex", ["F", "M", "", "F", " M "])
    assert bands.names == ("F", "M", "unknown")
    assert bands.index.tolist() == [0, 1, 2, 0, 1]


def test_ages_are_cut_at_the_usual_years():
    bands = into_bands("age", ["0.5", "3", "5", "6", "17", "18", "39.9", "64", "65", "90"])
    assert bands.names[0] == "under 1 year"
    assert [bands.names[i] for i in bands.index[[1, 2, 3, 5, 8]]] == [
        "1 to 5 years", "1 to 5 years", "6 to 17 years", "18 to 39 years", "65 years and over",
    ]  # fmt: skip


def test_other_numbers_are_cut_at_their_quartiles():
    bands = into_bands("dose", [str(value) for value in np.arange(100) / 10])
    assert len(bands.names) == 4
    assert np.bincount(bands.index).tolist() == [25, 25, 25, 25]
    assert bands.names[0] == "under 2.475"


def test_codes_are_a_group_each_in_the_order_of_numbers():
    assert into_bands("view code", ["10", "2", "2", "10"]).names == ("2", "10")


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("site", ["a"] * 5, "one value only"),
        ("site", [""] * 5, "no value"),
        ("note", [f"text {i}" for i in range(20)], "20 different values, more than 12"),
        ("accession", [str(i) for i in range(20)], "looks like an identifier"),
        ("studyID", [str(i) for i in range(20)], "looks like an identifier"),
        ("number", [str(70_000_000 + i) for i in range(50)], "looks like an identifier"),
    ],
)
def test_what_gives_no_groups_is_refused_without_showing_a_value(column, values, reason):
    found = into_bands(column, values)
    assert not isinstance(found, Bands)
    assert reason in found
    assert values[0] not in found or len(values[0]) < 2
