import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungscope.errors import ConfigError, DataError
from lungscope.stats.conformal import ERROR_RATES, Conformal, fit_conformal, quantile


@pytest.mark.parametrize(
    ("n", "share", "wanted"),
    # The rank is ⌈(n + 1) · share⌉: with 19 scores at 95 % the largest; with 18 none is enough.
    [(19, 0.95, 19), (18, 0.95, math.inf), (99, 0.9, 90), (100, 0.9, 91), (9, 0.5, 5), (0, 0.5, math.inf)],
)
def test_the_quantile_has_the_rank_of_the_textbook(n: int, share: float, wanted: float) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert quantile(scores, share) == wanted


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=60), st.floats(0.02, 0.98))
def test_the_quantile_covers_its_share_of_the_scores_themselves(scores: list[int], share: float) -> None:
    assert (np.array(scores) <= quantile(scores, share)).mean() >= share


def test_new_images_of_each_class_are_missed_as_seldom_as_asked() -> None:
    rng = np.random.default_rng(1)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random(n) < 0.8).astype(int)
        positive = 1 / (1 + np.exp(-(1.5 * labels - 0.7 + rng.normal(size=n))))
        return labels, np.column_stack((1 - positive, positive))

    missed = []
    for _ in range(200):
        conformal = fit_conformal(*draw(300))
        labels, probabilities = draw(300)
        inside = conformal.sets(probabilities, 0.1)[np.arange(300), labels]
        missed.append([1 - inside[labels == k].mean() for k in (0, 1)])
    # Exchangeability promises at most 0.1 on average over calibrations, and at least 0.1 - 1 / (n + 1).
    mean, error = np.mean(missed, 0), np.std(missed, 0) / np.sqrt(200)
    assert (mean <= 0.1 + 3 * error).all()
    assert (mean >= 0.1 - 1 / np.array([60, 240]) - 0.01 - 3 * error).all()


def test_a_set_is_never_empty_and_grows_as_fewer_errors_are_allowed() -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet((1, 1, 1), 400)
    labels = np.array([rng.choice(3, p=row) for row in probabilities])
    conformal = fit_conformal(labels, probabilities)
    before = conformal.sets(probabilities, ERROR_RATES[0])
    for rate in ERROR_RATES[1:]:
        now = conformal.sets(probabilities, rate)
        assert now.any(1).all()
        assert (now <= before).all()
        before = now


def test_too_few_images_of_a_class_put_it_into_every_set() -> None:
    labels = np.array([0] * 30 + [1] * 5)
    probabilities = np.tile([0.99, 0.01], (35, 1))
    conformal = fit_conformal(labels, probabilities)
    assert conformal.at(0.1)[1] == 0
    assert conformal.sets(probabilities, 0.1).all()


def test_a_rate_between_two_kept_ones_is_the_stricter() -> None:
    conformal = Conformal((0.05, 0.1), ((0.1, 0.2), (0.3, 0.4)), (50, 50))
    assert conformal.at(0.07) == (0.1, 0.2)
    assert conformal.at(0.1) == (0.3, 0.4)


@pytest.mark.parametrize("rate", [0.0, 0.6, -1.0, math.nan])
def test_a_rate_that_is_not_kept_is_refused(rate: float) -> None:
    conformal = fit_conformal([0, 1] * 20, np.full((40, 2), 0.5))
    with pytest.raises(ConfigError, match=r"is not kept. Choose one from 0.01 to 0.3"):
        conformal.at(rate)


def test_labels_of_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match="Check the order of the classes"):
        fit_conformal([0, 2], np.full((2, 2), 0.5))
