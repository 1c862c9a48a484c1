from pathlib import Path

import numpy as np
import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.data.images.radiograph import read_radiograph
from lungscope.errors import BundleError
from lungscope.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor(load_bundle(model))


@pytest.fixture(scope="module")
def pixels(pictures: list[Path]) -> np.ndarray:
    return np.stack([read_radiograph(path, size=64).pixels for path in pictures])


def test_the_number_of_images_does_not_change_a_probability(predictor: Predictor, pixels: np.ndarray) -> None:
    together = predictor.predict(pixels)
    for i in (0, 17, 40):
        alone = predictor.predict(pixels[i : i + 1])
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[i], atol=1e-6)
        np.testing.assert_allclose(alone.heatmaps[0], together.heatmaps[i], rtol=1e-4, atol=1e-4)
    assert together.probabilities.sum(1) == pytest.approx(np.ones(41), abs=1e-5)
    assert np.ptp(together.probabilities[:, 1]) > 0.01


def test_only_what_is_asked_for_is_returned(predictor: Predictor, pixels: np.ndarray) -> None:
    plain = predictor.predict(pixels[:3], heatmaps=False)
    assert plain.heatmaps is None
    assert plain.embeddings is None
    full = predictor.predict(pixels[:3], embeddings=True)
    assert full.heatmaps.shape == (3, 2, 2, 2)
    assert full.embeddings.shape == (3, 1280)


def test_files_come_back_in_order_with_the_probabilities_of_their_pixels(predictor, pictures, pixels) -> None:
    wanted = predictor.predict(pixels, heatmaps=False).probabilities
    results = list(predictor.assess_files(iter(pictures)))
    assert [result.source for result in results] == pictures
    np.testing.assert_allclose([result.probabilities for result in results], wanted, atol=1e-6)


@pytest.mark.parametrize("bad_at", [[0], [3, 20], [40], list(range(41))])
def test_a_bad_file_is_a_row_and_the_others_go_on(predictor, pictures, tmp_path, bad_at: list[int]) -> None:
    paths = list(pictures)
    for i in bad_at:
        paths[i] = tmp_path / f"bad{i}.jpeg"
        paths[i].write_bytes(b"" if i % 2 else pictures[i].read_bytes()[:200])
    results = list(predictor.assess_files(paths))
    assert [i for i, result in enumerate(results) if result.error] == bad_at
    assert all(result.decision is None for result in results if result.error)
    assert all(result.decision is not None for result in results if not result.error)


def test_a_vanished_file_is_a_row(predictor, pictures, tmp_path) -> None:
    (result,) = predictor.assess_files([tmp_path / "gone.jpeg"])
    assert "gone.jpeg" in result.error


def test_the_operating_point_moves_the_decision(predictor: Predictor, pictures: list[Path]) -> None:
    images = [read_radiograph(path, size=64) for path in pictures]
    default, strict = (predictor.assess(images, operating_point=name) for name in (None, "strict"))
    assert {each.decision.operating_point for each in default} == {"half"}
    assert {each.decision.threshold for each in strict} == {0.999}
    for one, other in zip(default, strict, strict=True):
        assert one.p_abnormal == other.p_abnormal == one.probabilities[1]
        assert one.finding == ("PNEUMONIA" if one.p_abnormal >= 0.5 else "NORMAL")
        assert other.finding == ("PNEUMONIA" if one.p_abnormal >= 0.999 else "NORMAL")
    assert {each.finding for each in default} != {each.finding for each in strict}


def test_an_unknown_operating_point_is_refused_before_any_work(predictor: Predictor) -> None:
    def never() -> None:
        raise AssertionError("work was begun")
        yield

    with pytest.raises(BundleError, match="no operating point 'best'. It has: half, strict"):
        next(predictor.assess_files(never(), operating_point="best"))


def test_no_files_give_no_rows(predictor: Predictor) -> None:
    assert list(predictor.assess_files([])) == []


def test_openvino_agrees(model: Path, pixels: np.ndarray, predictor: Predictor) -> None:
    pytest.importorskip("openvino")
    other = Predictor(load_bundle(model), runtime="openvino", precision="fp32")
    found, wanted = other.predict(pixels), predictor.predict(pixels)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-4)
    np.testing.assert_allclose(found.heatmaps, wanted.heatmaps, atol=1e-3 * wanted.heatmaps.max())
