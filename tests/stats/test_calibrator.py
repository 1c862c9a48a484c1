"""The calibration that cross-validation chooses, against data whose truth is known."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lungscope.errors import DataError
from lungscope.stats.calibrator import choose_calibrator, fit


def logits_of(n, scale=1.0, shift=0.0, seed=0):
    """Logits whose true calibration is scale and shift, and labels."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, n)
    labels = (rng.random(n) < expit(odds)).astype(int)
    z = (odds - shift) / scale
    return np.column_stack([-z / 2, z / 2]), labels


@pytest.mark.parametrize(
    ("scale", "shift", "method"), [(1.0, 0.0, "none"), (0.4, 0.0, "temperature"), (0.4, 1.2, "platt")]
)
def test_the_simplest_that_the_data_need_is_chosen(scale, shift, method):
    logits, labels = logits_of(1500, scale, shift)
    chosen = choose_calibrator(logits, labels, np.arange(1500))
    assert chosen.method == method
    assert chosen.scale == pytest.approx(scale, rel=0.15)
    assert chosen.shift[1] == pytest.approx(shift, abs=0.25)
    assert [each.method for each in chosen.candidates] == ["none", "temperature", "platt"]
    assert min(each.behind for each in chosen.candidates) == 0


def test_the_choice_is_repeatable_and_gives_its_reason():
    logits, labels = logits_of(400, 0.5)
    first, second = (choose_calibrator(logits, labels, np.arange(400)) for _ in range(2))
    assert first == second
    assert "held-out patients" in first.reason


def test_images_of_one_patient_never_stand_on_both_sides():
    # Two hundred patients with ten copies of one image: by image every method would look certain.
    logits, labels = logits_of(200, 0.4)
    rows = np.repeat(np.arange(200), 10)
    once = choose_calibrator(logits, labels, np.arange(200))
    copies = choose_calibrator(logits[rows], labels[rows], rows)
    for one, many in zip(once.candidates, copies.candidates, strict=True):
        assert many.error == pytest.approx(one.error, rel=0.5, abs=1e-4)


def test_few_patients_get_temperature_and_the_reason():
    logits, labels = logits_of(60, 0.5)
    chosen = choose_calibrator(logits, labels, np.array(["a"] * 30 + ["b"] * 30))
    assert (chosen.method, chosen.candidates) == ("temperature", ())
    assert "too few" in chosen.reason


def test_platt_of_two_classes_is_a_logistic_regression():
    logits, labels = logits_of(5000, 0.6, 0.8)
    found = fit("platt", logits, labels)
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(logits[:, 1:] - logits[:, :1], labels)
    assert found.scale == pytest.approx(float(theirs.coef_[0, 0]), rel=5e-3)
    assert found.shift[1] == pytest.approx(float(theirs.intercept_[0]), abs=5e-3)


def test_three_classes_are_served_in_the_same_form():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 900)
    logits = rng.normal(size=(900, 3)) + 2 * np.eye(3)[labels]
    chosen = choose_calibrator(logits * 3, labels, np.arange(900))
    assert chosen.method in ("temperature", "platt")
    assert chosen.scale < 1
    assert len(chosen.shift) == 3


def test_a_class_without_a_case_is_refused():
    with pytest.raises(DataError, match="has no validation case"):
        choose_calibrator(np.zeros((30, 2)), np.zeros(30, int), np.arange(30))
