from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.bundle.bundle import load_bundle
from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.data.manifest import Manifest
from lungscope.errors import ManifestError
from lungscope.evaluation import out_of_distribution as ood
from lungscope.evaluation.input_check import COMMON, RATES, InputCheckEstimates, measure_input_check, measure_sets
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import ImageResult
from lungscope.reports.sections.input_check import input_check_section
from lungscope.stats.estimate import Estimate

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.fixture(scope="module")
def predictor(checked_model: Path) -> Predictor:
    return Predictor(load_bundle(checked_model))


@pytest.fixture(scope="module")
def images(pictures: list[Path]) -> list[Radiograph]:
    return [read_radiograph(path, size=64) for path in pictures]


@pytest.fixture(scope="module")
def results(predictor: Predictor, images: list[Radiograph]) -> list[ImageResult]:
    return predictor.assess(images)


@pytest.fixture(scope="module")
def predictions(results: list[ImageResult]) -> Predictions:
    return Predictions.of(results)


@pytest.fixture(scope="module")
def chosen(pictures: list[Path]) -> Manifest:
    n = len(pictures)
    return Manifest(tuple(pictures), np.arange(n) % 2, tuple(map(str, range(n))), ("test",) * n, CLASSES)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adults")
    for i in range(6):
        Image.fromarray(np.kron(np.eye(8), np.full((16, 16), 40 * i + 30)).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def estimates(predictor, chosen, images, results, others) -> InputCheckEstimates:
    found = measure_input_check(predictor, chosen, images, results, [others])
    assert found is not None
    return found


def test_coverage_is_the_share_of_images_that_pass(predictor, predictions, estimates) -> None:
    input_check = predictor.card.input_check
    upright = 1 - predictions.checks[:, 0] <= input_check.largest_p_not_upright
    passed = (predictions.distances <= input_check.limit(COMMON)) & upright
    assert estimates.assessed_common.value == pytest.approx(passed.mean())
    assert estimates.assessed_common.low < estimates.assessed_common.value


def test_every_kind_is_measured(estimates, others) -> None:
    kinds = {each.kind: each for each in estimates.detections}
    assert list(kinds) == [
        "photographs and other pictures", "CT and MR slices", "noise", "blank", "radiographs upside down",
        "radiographs turned to the left", "radiographs turned to the right", "radiographs inverted",
        f"other data: {others.name}",
    ]  # fmt: skip
    assert kinds["blank"].rejected.value == 1
    assert kinds["CT and MR slices"].rejected.value == 1  # by their headers
    assert kinds["CT and MR slices"].images >= 3
    assert kinds[f"other data: {others.name}"].images == 6
    assert kinds["radiographs inverted"].images == 41


def test_sets_are_measured_for_each_class(predictor, chosen, predictions) -> None:
    found = measure_sets(predictor, chosen, predictions)
    assert [each.error_rate for each in found] == list(RATES)
    for each in found:
        sets = predictor.card.conformal.sets(predictions.probabilities, each.error_rate)
        for k, estimate in enumerate(each.missed):
            assert estimate.value == pytest.approx(1 - sets[chosen.labels == k, k].mean())
        # Measured on the very images they were fitted to, no class can be missed more often.
        assert all(estimate.value <= each.error_rate for estimate in each.missed)


def test_the_section_shows_what_was_measured(estimates, predictor, chosen, predictions) -> None:
    sets = measure_sets(predictor, chosen, predictions)
    section = input_check_section(estimates, sets, CLASSES)
    assert "set to 95%" in section.tables[0].rows[0][0]
    assert len(estimates.detections) == len(section.tables[1].rows)
    assert len(section.tables[2].rows) == len(RATES)
    for table in section.tables:
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_a_model_without_an_input_check_says_so(model, chosen, images, predictions) -> None:
    old = Predictor(load_bundle(model))
    assert measure_input_check(old, chosen, images, old.assess(images)) is None
    assert measure_sets(old, chosen, predictions) == ()
    assert "has no input check" in input_check_section(None, (), CLASSES).lead


def test_far_fewer_assessed_than_planned_is_a_warning(estimates) -> None:
    from dataclasses import replace

    short = replace(estimates, assessed=Estimate(0.6, 0.5, 0.7))
    assert "Look at some that were rejected" in input_check_section(short, (), CLASSES).warnings[0]
    fine = replace(estimates, assessed=Estimate(0.94, 0.9, 0.97), notes=())
    assert input_check_section(fine, (), CLASSES).warnings == ()


def test_pictures_that_are_not_installed_are_left_out_with_a_note(monkeypatch) -> None:
    monkeypatch.setattr(ood, "find_spec", lambda name: None if name == "skimage" else find_spec(name))
    found, notes = ood.other_pictures(64)
    assert found.radiographs  # of scikit-learn and Matplotlib
    assert "pip install scikit-image" in notes[0]


def test_nothing_installed_is_an_undefined_figure(monkeypatch, predictor, chosen, images, results) -> None:
    monkeypatch.setattr(ood, "find_spec", lambda name: None)
    found = measure_input_check(predictor, chosen, images, results)
    assert found.detections[0].rejected == Estimate(None, reason="no such picture is installed")


def test_a_folder_without_images_names_the_remedy(tmp_path) -> None:
    with pytest.raises(ManifestError, match=r"--ood .* Name a folder of other images"):
        ood.out_of_distribution(tmp_path, 64)


def test_turning_is_what_it_says() -> None:
    picture = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
    ways = {each.kind: each.radiographs[0].pixels for each in ood.misplaced(picture, ("a",))}
    np.testing.assert_array_equal(ways["radiographs upside down"], picture[0, ::-1, ::-1])
    assert ways["radiographs turned to the left"][0, 0] == 2  # what was at the right is at the top
    assert ways["radiographs turned to the right"][0, 0] == 6
    assert ways["radiographs inverted"][0, 0] == 255
