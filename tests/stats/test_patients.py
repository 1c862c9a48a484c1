"""Numbering of patients."""

import numpy as np
import pytest

from lungscope.stats.patients import patient_index


@pytest.mark.parametrize("patients", [["b", "a", "b", "c"], ("b", "a", "b", "c"), np.array([7, 1, 7, 9])])
def test_rows_of_one_patient_share_a_number(patients):
    index = patient_index(patients)
    assert index[0] == index[2]
    assert sorted(set(index.tolist())) == [0, 1, 2]


def test_rows_without_a_patient_belong_together_with_nobody():
    index = patient_index(["", "a", "", "a"])
    assert index[1] == index[3]
    assert len(set(index.tolist())) == 3


def test_no_rows_have_no_patients():
    assert patient_index([]).size == 0
