"""Every entry point of inference says which images it does not assess, and why."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from lungscope.bundle import checksum
from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.data.images.radiograph import read_radiograph
from lungscope.errors import BundleError, ConfigError
from lungscope.inference.overlay_files import write_overlays
from lungscope.inference.predictor import Predictor
from lungscope.inference.result_table import row, write_table
from lungscope.inference.sources import find_sources


@pytest.fixture(scope="module")
def predictor(checked_model: Path) -> Predictor:
    return Predictor(load_bundle(checked_model))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A stripe pattern, a blank picture, and one in colour."""
    folder = tmp_path_factory.mktemp("others")
    stripes = np.tile(np.where(np.arange(128) % 16 < 8, 0, 255), (128, 1)).astype(np.uint8)
    colour = np.stack((stripes, stripes.T, 255 - stripes), -1)
    for name, pixels in (("stripes", stripes), ("blank", stripes * 0), ("colour", colour)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in ("stripes", "blank", "colour")]


def test_what_is_like_the_training_images_is_assessed(predictor, pictures) -> None:
    results = list(predictor.assess_files(pictures))
    assert np.mean([not result.not_assessed for result in results]) >= 0.95
    assert all(result.distance is not None for result in results)


def test_others_are_not_assessed_and_keep_their_probability_for_programs(predictor, others) -> None:
    stripes, blank, colour = predictor.assess_files(others)
    assert stripes.not_assessed
    assert "blank" in blank.not_assessed
    assert colour.not_assessed == "a picture in colour"
    for result in (stripes, blank, colour):
        fields = row(result, predictor.card)
        assert fields["finding"] is None
        assert fields["not_assessed"] == result.not_assessed
        assert 0 <= fields["p_abnormal"] <= 1
        assert fields["error"] == ""


def test_many_at_once_are_assessed_as_one_alone(predictor, pictures, others) -> None:
    paths = [*pictures[:20], *others, *pictures[20:]]
    together = {result.source: result.not_assessed for result in predictor.assess_files(paths)}
    for path in (*others, *pictures[:3]):
        (alone,) = predictor.assess_files([path])
        assert bool(alone.not_assessed) == bool(together[path])


def test_tables_hold_the_reason_and_the_set(predictor, pictures, others, tmp_path) -> None:
    for name in ("out.csv", "out.jsonl"):
        results = predictor.assess_files([pictures[0], others[1]], error_rate=0.2)
        assert write_table(results, tmp_path / name, predictor.card) == 0  # not assessed is not failed
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0]["not_assessed"] == ""
    assert "blank" in rows[1]["not_assessed"]
    assert set(rows[0]["prediction_set"].split(" | ")) <= {"NORMAL", "PNEUMONIA"}
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [list(rows[0])] * 2


def test_no_heat_map_is_drawn_over_what_is_not_assessed(predictor, pictures, others, tmp_path) -> None:
    sources = find_sources([pictures[0], others[0]])
    results = predictor.assess_files([source.path for source in sources], heatmaps=True)
    assert len(list(write_overlays(results, sources, tmp_path))) == 2
    assert [path.name for path in tmp_path.iterdir()] == [f"{pictures[0].name}.png"]


def test_sets_are_given_when_asked_for(predictor, pictures) -> None:
    (plain,) = predictor.assess_files(pictures[:1])
    assert plain.prediction_set is None
    (asked,) = predictor.assess_files(pictures[:1], error_rate=0.01)
    assert asked.prediction_set == ("NORMAL", "PNEUMONIA")  # 41 images cannot promise one in a hundred
    with pytest.raises(ConfigError, match="Error rate 0.9 is not kept"):
        next(predictor.assess_files(pictures, error_rate=0.9))


def without(bundle: Bundle, path: Path, *fields: str) -> Bundle:
    """The bundle as a version without these fields wrote it."""
    graph = onnx.load_from_string(bundle.graph)
    graph.ClearField("metadata_props")
    card = {name: value for name, value in asdict(bundle.card).items() if name not in fields}
    path.write_bytes(checksum.append(graph.SerializeToString(), json.dumps(card)))
    return load_bundle(path)


def test_bundles_of_older_versions_assess_everything(checked_model, others, tmp_path) -> None:
    old = without(load_bundle(checked_model), tmp_path / "model.onnx", "input_check", "conformal")
    assert (old.card.input_check, old.card.conformal) == (None, None)
    predictor = Predictor(old)
    assert [result.not_assessed for result in predictor.assess_files(others)] == ["", "", ""]
    with pytest.raises(BundleError, match=r"no thresholds for prediction sets. Train it again"):
        next(predictor.assess_files(others, error_rate=0.1))


def test_the_input_check_survives_the_file(checked_model) -> None:
    card = load_bundle(checked_model).card
    assert card.input_check.coverage == 0.95
    assert card.input_check.limit(0.9) <= card.input_check.limit() <= card.input_check.limit(0.99)
    assert card.input_check.checks[0] == "upright"
    assert card.conformal.images == (21, 20)


def test_openvino_rejects_the_same(checked_model, pictures, others) -> None:
    pytest.importorskip("openvino")
    pixels = np.stack([read_radiograph(path, size=64).pixels for path in (*pictures, *others)])
    found, wanted = (
        Predictor(load_bundle(checked_model), runtime=name, precision="fp32").predict(pixels)
        for name in ("openvino", "onnxruntime")
    )
    np.testing.assert_allclose(found.distances, wanted.distances, rtol=1e-3)
    np.testing.assert_allclose(found.checks, wanted.checks, atol=1e-3)
