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
def strangers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A stripe pattern, a blank picture, and one in colour."""
    folder = tmp_path_factory.mktemp("strangers")
    stripes = np.tile(np.where(np.arange(128) % 16 < 8, 0, 255), (128, 1)).astype(np.uint8)
    colour = np.stack((stripes, stripes.T, 255 - stripes), -1)
    for name, pixels in (("stripes", stripes), ("blank", stripes * 0), ("colour", colour)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in ("stripes", "blank", "colour")]


def test_what_is_like_the_training_images_is_assessed(predictor, pictures) -> None:
    readings = list(predictor.assess_files(pictures))
    assert np.mean([not reading.not_assessed for reading in readings]) >= 0.95
    assert all(reading.distance is not None for reading in readings)


def test_strangers_are_not_assessed_and_keep_their_probability_for_programs(predictor, strangers) -> None:
    stripes, blank, colour = predictor.assess_files(strangers)
    assert stripes.not_assessed
    assert "blank" in blank.not_assessed
    assert colour.not_assessed == "a picture in colour"
    for reading in (stripes, blank, colour):
        fields = row(reading, predictor.card)
        assert fields["finding"] is None
        assert fields["not_assessed"] == reading.not_assessed
        assert 0 <= fields["p_abnormal"] <= 1
        assert fields["error"] == ""


def test_many_at_once_are_judged_as_one_alone(predictor, pictures, strangers) -> None:
    paths = [*pictures[:20], *strangers, *pictures[20:]]
    together = {reading.source: reading.not_assessed for reading in predictor.assess_files(paths)}
    for path in (*strangers, *pictures[:3]):
        (alone,) = predictor.assess_files([path])
        assert bool(alone.not_assessed) == bool(together[path])


def test_tables_hold_the_reason_and_the_set(predictor, pictures, strangers, tmp_path) -> None:
    for name in ("out.csv", "out.jsonl"):
        readings = predictor.assess_files([pictures[0], strangers[1]], error_rate=0.2)
        assert write_table(readings, tmp_path / name, predictor.card) == 0  # declined is not failed
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0]["not_assessed"] == ""
    assert "blank" in rows[1]["not_assessed"]
    assert set(rows[0]["prediction_set"].split(" | ")) <= {"NORMAL", "PNEUMONIA"}
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [list(rows[0])] * 2


def test_no_heat_map_is_drawn_over_what_is_not_assessed(predictor, pictures, strangers, tmp_path) -> None:
    sources = find_sources([pictures[0], strangers[0]])
    readings = predictor.assess_files([source.path for source in sources], heatmaps=True)
    assert len(list(write_overlays(readings, sources, tmp_path))) == 2
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


def test_bundles_of_older_versions_assess_everything(checked_model, strangers, tmp_path) -> None:
    old = without(load_bundle(checked_model), tmp_path / "model.onnx", "input_check", "conformal")
    assert (old.card.input_check, old.card.conformal) == (None, None)
    predictor = Predictor(old)
    assert [reading.not_assessed for reading in predictor.assess_files(strangers)] == ["", "", ""]
    with pytest.raises(BundleError, match=r"no thresholds for prediction sets. Train it again"):
        next(predictor.assess_files(strangers, error_rate=0.1))


def test_the_gate_survives_the_file(checked_model) -> None:
    card = load_bundle(checked_model).card
    assert card.input_check.coverage == 0.95
    assert card.input_check.limit(0.9) <= card.input_check.limit() <= card.input_check.limit(0.99)
    assert card.input_check.checks[0] == "upright"
    assert card.conformal.images == (21, 20)


def test_openvino_judges_the_same(checked_model, pictures, strangers) -> None:
    pytest.importorskip("openvino")
    pixels = np.stack([read_radiograph(path, size=64).pixels for path in (*pictures, *strangers)])
    found, wanted = (
        Predictor(load_bundle(checked_model), runtime=name, precision="fp32").predict(pixels)
        for name in ("openvino", "onnxruntime")
    )
    np.testing.assert_allclose(found.distances, wanted.distances, rtol=1e-3)
    np.testing.assert_allclose(found.checks, wanted.checks, atol=1e-3)
