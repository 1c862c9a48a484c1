import numpy as np
import pytest

from lungscope.bundle.validation_summary import BINS, SKETCH, Reference, sketch, summarise
from lungscope.serve.drift import stability_index, summarise_day
from lungscope.serve.store.daily_counts import Day

RNG = np.random.default_rng(0)


def reference_of(p_abnormal: np.ndarray, embeddings: np.ndarray) -> Reference:
    return summarise(p_abnormal, embeddings, None).reference


def day_of(p_abnormal: np.ndarray, embeddings: np.ndarray, failed: int = 0) -> Day:
    counts, _ = np.histogram(p_abnormal, bins=BINS, range=(0, 1))
    n = len(p_abnormal)
    total = p_abnormal.sum()
    return Day(20_000, n + failed, n, int((p_abnormal > 0.5).sum()), total, counts, sketch(embeddings).sum(0), 3, 1)


@pytest.fixture
def reference() -> Reference:
    return reference_of(RNG.beta(2, 5, 600), RNG.normal(size=(600, 64)).astype(np.float32))


def test_the_same_images_show_no_drift_beyond_chance(reference: Reference) -> None:
    day = day_of(RNG.beta(2, 5, 400), RNG.normal(size=(400, 64)).astype(np.float32), failed=100)
    found = summarise_day(day, reference, binary=True)
    assert found.score_shift is not None
    assert found.score_shift < 0.1
    assert found.embedding_shift is not None
    assert found.embedding_shift_by_chance == pytest.approx(np.sqrt(1 / 400 + 1 / 600))
    assert found.embedding_shift < 2 * found.embedding_shift_by_chance
    assert (found.images, found.not_assessed_share) == (500, pytest.approx(0.2))
    assert (found.agreements, found.disagreements) == (3, 1)


def test_other_images_show_drift(reference: Reference) -> None:
    day = day_of(RNG.beta(5, 2, 400), RNG.normal(1, 1, size=(400, 64)).astype(np.float32))
    found = summarise_day(day, reference, binary=True)
    assert found.score_shift is not None
    assert found.score_shift > 0.5
    assert found.embedding_shift is not None
    assert found.embedding_shift > 5 * (found.embedding_shift_by_chance or 0)


def test_the_stability_index_is_its_formula() -> None:
    reference = Reference(1000, 0.5, (0.5, 0.5, *[0.0] * 8), (0.0,) * SKETCH, (1.0,) * SKETCH)
    bins = np.array([200, 800, *[0] * 8])
    p = (bins + 0.5) / 1005
    q = (np.array([500, 500, *[0] * 8]) + 0.5) / 1005
    assert stability_index(bins, reference) == pytest.approx(float(np.sum((p - q) * np.log(p / q))))
    assert stability_index(np.array([500, 500, *[0] * 8]), reference) == pytest.approx(0)


def test_a_day_without_an_assessed_image_or_without_reference_says_nothing(reference: Reference) -> None:
    empty = summarise_day(day_of(np.zeros(0), np.zeros((0, 64), np.float32), failed=2), reference, binary=True)
    assert (empty.not_assessed_share, empty.positive_share, empty.score_shift, empty.shares) == (1, None, None, None)
    plain = summarise_day(day_of(np.full(3, 0.7), np.ones((3, 64), np.float32)), None, binary=False)
    assert (plain.mean_p_abnormal, plain.score_shift, plain.positive_share) == (None, None, None)
