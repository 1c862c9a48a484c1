"""Each measure of a heat map against closed forms, SciPy and scikit-image."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lungscope.data.lesions import Lesions, Region
from lungscope.evaluation.heatmaps.cases import HeatCases, draw, mean_estimate, shares
from lungscope.evaluation.heatmaps.deletion import ranks, stand_ins, trace_curves
from lungscope.evaluation.heatmaps.pointing import energy, hits, point
from lungscope.evaluation.heatmaps.randomised import spearman, structural_similarity
from lungscope.evaluation.heatmaps.regions import border, corners, erase, marks, measure_regions, single_corners
from lungscope.inference.predictions import Predictions

Maps = NDArray[np.float32]


class Brightness:
    """Stands for a predictor: the probability of disease is the mean brightness of the left half."""

    def predict(self, pixels: NDArray[np.uint8], *, heatmaps: bool = True) -> Predictions:
        disease = pixels[:, :, : pixels.shape[2] // 2].mean(axis=(1, 2)) / 255
        found = np.stack([1 - disease, disease], axis=1).astype(np.float32)
        return Predictions(found, found)


def cases(pixels: NDArray[np.uint8], heat: Maps, patients: tuple[str, ...] = ()) -> HeatCases:
    """Images of which `heat` (N, h, w) is the map of either class."""
    found = Brightness().predict(pixels).probabilities
    names = patients or tuple(f"p{i}" for i in range(len(pixels)))
    return HeatCases(pixels, found, np.stack([heat, heat], axis=1), names, ("NORMAL", "PNEUMONIA"))


def one_hot(row: int, column: int, n: int = 1) -> Maps:
    heat = np.zeros((n, 5, 5), np.float32)
    heat[:, row, column] = 1
    return heat


def uniform(n: int) -> Maps:
    return np.ones((n, 5, 5), np.float32)


def test_a_uniform_map_has_the_share_of_the_area_everywhere() -> None:
    maps = shares(uniform(1))
    assert (maps * border(100)).sum() == pytest.approx(1 - 0.8**2, abs=1e-5)
    assert (maps * corners(100)).sum() == pytest.approx(4 * 0.2**2, abs=1e-5)


def test_an_empty_map_stays_empty() -> None:
    assert not shares(np.zeros((1, 5, 5), np.float32)).any()


def test_the_corners_are_where_their_names_say() -> None:
    found = [
        (shares(one_hot(row, column)) * single_corners(100)).sum(axis=(1, 2)) for row in (0, 4) for column in (0, 4)
    ]
    assert np.argmax(found, axis=1).tolist() == [0, 1, 2, 3]


def test_the_hottest_point_hits_only_inside_the_mark() -> None:
    maps = shares(np.concatenate([one_hot(1, 1), one_hot(3, 3), np.zeros((1, 5, 5), np.float32)]))
    upper_left = np.zeros((3, 100, 100), bool)
    upper_left[:, :50, :50] = True
    assert hits(maps, upper_left).tolist() == [True, False, False]


def test_the_energy_of_a_uniform_map_is_the_marked_area() -> None:
    marked = np.random.default_rng(0).random((4, 100, 100)) < 0.3
    np.testing.assert_allclose(energy(shares(uniform(4)), marked), marked.mean(axis=(1, 2)), atol=1e-5)


def test_pointing_tells_a_map_that_knows_the_place_from_one_of_another_patient() -> None:
    n = 24
    places = [(1, 1) if i % 2 else (3, 3) for i in range(n)]
    heat = np.concatenate([one_hot(row, column) for row, column in places])
    regions = tuple((Region(0.2 * column + 0.1, 0.2 * row + 0.1, 0.1, 0.1),) for row, column in places)
    found = point(cases(np.zeros((n, 20, 20), np.uint8), heat), np.ones(n, np.int64), Lesions(regions, "t"))
    assert found.own.hits.value == 1
    assert found.other.hits.value == 0
    assert found.own.energy.value is not None
    assert found.own.energy.value > 5 * (found.area.value or 1)
    assert found.area.value == pytest.approx(np.pi * 0.1**2, rel=0.05)


def test_one_patient_has_no_other_and_the_reason_is_said() -> None:
    one = cases(np.zeros((3, 20, 20), np.uint8), uniform(3), ("p",) * 3)
    found = point(one, np.ones(3, np.int64), Lesions(((Region(0.5, 0.5, 0.2, 0.2),),) * 3, "t"))
    assert found.other.hits.value is None
    assert "one patient" in found.other.hits.reason


def test_erasing_takes_a_letter_away_and_leaves_the_rest() -> None:
    pixels = np.full((1, 100, 100), 90, np.uint8)
    pixels[0, 4:12, 4:6] = 255
    place = marks(pixels)
    assert place[0, 4:12, 4:6].all()
    assert place.mean() < 0.01
    cleaned = erase(pixels, place)
    assert cleaned.max() < 100
    np.testing.assert_array_equal(cleaned[~place], pixels[~place])


def test_broad_bright_shapes_are_no_marks() -> None:
    rows, columns = np.mgrid[:100, :100]
    blob = 200 * np.exp(-((rows - 50) ** 2 + (columns - 50) ** 2) / 300)
    assert not marks(blob[None].astype(np.uint8)).any()


def test_places_that_decide_are_told_by_changed_calls() -> None:
    pixels = np.full((20, 40, 40), 200, np.uint8)
    pixels[:10, 4:-4, 4:20] = 0  # only the outer tenth of the left half is bright: called NORMAL
    found = {each.name: each for each in measure_regions(cases(pixels, one_hot(0, 0, 20)), Brightness())}  # type: ignore[arg-type]
    diseased = found["PNEUMONIA"]
    assert diseased.images == 10
    assert diseased.corners[0].value is not None
    assert diseased.corners[0].value > 0.5
    assert diseased.regions[0].changed.value == 0


def test_ranks_put_the_hottest_first() -> None:
    rank = ranks(one_hot(0, 4)[0], 50)
    assert rank[2, -3] < 0.05
    assert rank.min() == 0
    assert len(np.unique(rank)) == 50 * 50


def test_stand_ins_are_similar_called_otherwise_and_of_somebody_else() -> None:
    pixels = np.stack([np.full((20, 20), grey, np.uint8) for grey in (200, 100, 20, 120)])
    found = stand_ins(cases(pixels, uniform(4), ("a", "a", "b", "c")), np.array([0]), np.array([1, 2, 3]))
    assert found.tolist() == [3]  # 1 is of the same patient
    assert stand_ins(cases(pixels, uniform(4)), np.array([0]), np.array([0])).tolist() == [-1]


def test_curves_of_a_known_model_have_the_known_areas() -> None:
    bright, dark = np.full((12, 40, 40), 255, np.uint8), np.zeros((12, 40, 40), np.uint8)
    left = np.zeros((12, 2, 2), np.float32)
    left[:, :, 0] = 1
    found = trace_curves(cases(bright, left), dark, Brightness(), seed=0)  # type: ignore[arg-type]
    own, other, _ = found.orders
    # The left half decides: its loss is complete at one half, and the probability falls linearly until then.
    assert own.deletion_area.value == pytest.approx(0.25, abs=0.02)
    assert own.insertion_area.value == pytest.approx(0.75, abs=0.02)
    assert own.deletion[0] == pytest.approx(1)
    assert own.deletion[-1] == pytest.approx(0)
    assert other.deletion_area.value == pytest.approx(0.5, abs=0.1)
    assert found.over_random.low is not None
    assert found.over_random.low > 0


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 6, (5, 4, 4)).astype(np.float32) for _ in range(2))
    wanted = [stats.spearmanr(one.ravel(), two.ravel()).statistic for one, two in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), wanted, atol=1e-12)
    assert spearman(np.ones((1, 4, 4), np.float32), a[:1])[0] == 0


def test_structural_similarity_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    a = rng.random((64, 64))
    b = np.clip(a + rng.normal(0, 0.2, a.shape), 0, 1)
    wanted = metrics.structural_similarity(
        a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert structural_similarity(a, b) == pytest.approx(wanted, abs=1e-6)
    assert structural_similarity(a, a) == pytest.approx(1)


def test_samples_are_balanced_bounded_and_repeatable() -> None:
    groups = np.array([0] * 90 + [1] * 10)
    drawn = draw(groups, 30, seed=1)
    assert len(drawn) == 30
    assert (groups[drawn] == 1).sum() == 10
    np.testing.assert_array_equal(drawn, draw(groups, 30, seed=1))
    assert len(set(draw(groups, 500, seed=1))) == 100


def test_means_have_intervals_of_patients_and_reasons_without() -> None:
    values = np.linspace(-1, 1, 40)
    found = mean_estimate(values, tuple(map(str, range(40))), signed=True)
    half = 1.96 * values.std(ddof=1) / np.sqrt(40)
    assert found.low == pytest.approx(-half, abs=0.05)
    assert found.high == pytest.approx(half, abs=0.05)
    assert mean_estimate(np.empty(0), ()).value is None
    assert "every image" in mean_estimate(np.ones(40), tuple(map(str, range(40)))).reason
