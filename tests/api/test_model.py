"""`load_model`, `predict` and `predict_files`: what a data scientist types first."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lungscope as ls
from lungscope.bundle.bundle import load_bundle
from lungscope.errors import BundleError, ConfigError, DataError, ManifestError, UnreadableImage, UnsupportedImage
from lungscope.inference.predictor import Predictor


@pytest.fixture(scope="module")
def loaded(checked_model: Path) -> ls.Model:
    return ls.load_model(checked_model)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


def test_without_a_name_it_is_the_bundled_model() -> None:
    model = ls.load_model()
    assert model.card.statement is not None
    assert model.size == 160
    assert "NORMAL" in repr(model)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_string_or_a_path(model: Path, kind: type) -> None:
    assert ls.load_model(kind(model)).classes == ("NORMAL", "PNEUMONIA")


def test_a_result_is_that_of_the_predictor(loaded: ls.Model, checked_model: Path, pictures: list[Path]) -> None:
    (wanted,) = Predictor(load_bundle(checked_model)).assess_files(pictures[:1], heatmaps=True)
    found = loaded.predict(pictures[0], heatmap=True)
    assert (found.finding, found.p_abnormal, found.not_assessed) == (
        wanted.finding, wanted.p_abnormal, wanted.not_assessed
    )  # fmt: skip
    assert tuple(found.probabilities.values()) == wanted.probabilities
    assert list(found.probabilities) == ["NORMAL", "PNEUMONIA"]
    if wanted.not_assessed:
        assert found.heatmap is None
    else:
        np.testing.assert_array_equal(found.heatmap, wanted.abnormality_heatmap)


def test_a_picture_in_memory_is_the_file(model: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (90, 80), dtype=np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    loaded = ls.load_model(model)
    wanted = loaded.predict(path).probabilities
    for image in (str(path), path.read_bytes(), pixels, Image.open(path), ls.read_image(path, size=64)):
        assert loaded.predict(image).probabilities == wanted
    assert loaded.predict(pixels.astype(np.uint16) * 257).probabilities == pytest.approx(wanted, abs=0.05)


def test_orientation_of_a_pillow_image_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(tmp_path / "turned.png", exif=exif)
    wanted = ls.read_image(tmp_path / "turned.png")
    assert wanted.pixels.shape == (20, 10)
    with Image.open(tmp_path / "turned.png") as image:
        np.testing.assert_array_equal(ls.read_image(image).pixels, wanted.pixels)


def test_a_floating_point_array_spans_its_own_range() -> None:
    pixels = np.linspace(-3, 5, 400, dtype=np.float32).reshape(20, 20)
    read = ls.read_image(pixels).pixels
    assert (read[0, 0], read[-1, -1]) == (0, 255)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("gone.png", UnreadableImage, "cannot be read"),
        (b"text", UnreadableImage, "the content is text"),
        (b"", UnreadableImage, "empty"),
        (np.zeros((4, 4, 4), np.uint8), UnsupportedImage, "(4, 4, 4) of uint8"),
        (np.zeros((4, 4)), UnsupportedImage, "of float64"),
        (np.zeros((0, 4), np.uint8), UnsupportedImage, "(0, 4)"),
        (7, UnsupportedImage, "int is no picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_line(loaded: ls.Model, image: object, error: type, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        loaded.predict(image)
    assert "\n" not in str(caught.value)


def test_a_radiograph_of_another_size_is_refused(loaded: ls.Model, pictures: list[Path]) -> None:
    with pytest.raises(DataError, match=re.escape("read_image(path, size=64)")):
        loaded.predict(ls.read_image(pictures[0]))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"operating_point": "sensitive"}, (BundleError, ConfigError), "sensitive"),
        ({"error_rate": 2.0}, (BundleError, ConfigError), "2"),
    ],
)
def test_what_the_model_cannot_serve_is_refused(loaded: ls.Model, pictures, options, error, words) -> None:
    with pytest.raises(error, match=words):
        loaded.predict(pictures[0], **options)


def test_a_prediction_set_is_asked_for_by_its_error_rate(loaded: ls.Model, pictures: list[Path]) -> None:
    assert loaded.predict(pictures[0]).details.prediction_set is None
    assert set(loaded.predict(pictures[0], error_rate=0.1).details.prediction_set) <= set(loaded.classes)


def test_what_is_not_assessed_has_no_finding_and_no_heat_map(loaded: ls.Model, photograph: Path) -> None:
    result = loaded.predict(photograph, heatmap=True)
    assert result.not_assessed
    assert (result.finding, result.heatmap) == (None, None)
    with pytest.raises(BundleError, match=re.escape(result.not_assessed)):
        result.overlay()


def test_files_and_folders_are_a_table(loaded: ls.Model, pictures: list[Path], tmp_path: Path, photograph) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    table = loaded.predict_files([pictures[0], tmp_path])
    assert len(table) == 3
    assert [Path(row["file"]).name for row in table.rows()] == [pictures[0].name, "broken.png", "photograph.png"]
    assert table[1].error
    assert table[1].probabilities == {}
    assert table[2].not_assessed
    assert repr(table) == "ResultTable(3 images, 1 not assessed, 1 failed)"
    assert len(table[:2]) == 2
    assert loaded.predict_files(pictures[0])[0].as_dict() == table[0].as_dict()


def test_a_table_is_a_data_frame_and_a_file(loaded: ls.Model, pictures: list[Path], tmp_path: Path) -> None:
    table = loaded.predict_files(pictures[:3])
    frame = table.to_pandas()
    assert list(frame["p_abnormal"]) == [round(each.p_abnormal, 6) for each in table]
    table.write(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["p_abnormal"]) for row in rows] == list(frame["p_abnormal"])
    with pytest.raises(ConfigError, match="rows.xlsx"):
        table.write(tmp_path / "rows.xlsx")


def test_a_path_that_does_not_exist_is_refused_before_any_work(loaded: ls.Model, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        loaded.predict_files([tmp_path / "gone"])


def test_it_is_silent_unless_asked(loaded: ls.Model, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    loaded.predict_files(pictures)
    assert capsys.readouterr() == ("", "")


def test_a_result_shows_itself(loaded: ls.Model, pictures: list[Path], photograph: Path) -> None:
    for result in (loaded.predict(pictures[0], heatmap=True), loaded.predict(photograph)):
        shown = result._repr_html_()
        assert "Research use only" in shown
        assert "data:image/png;base64," in shown
    assert "not assessed" in shown
    table = loaded.predict_files([photograph, pictures[0]])
    assert "Research use only" in table._repr_html_()


def test_names_are_escaped_in_a_notebook(loaded: ls.Model, pictures: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "<b>x.jpeg"
    path.write_bytes(pictures[0].read_bytes())
    assert "<b>" not in loaded.predict_files(path)._repr_html_()


def test_the_overlay_has_the_size_of_the_radiograph(model: Path, pictures: list[Path]) -> None:
    overlay = ls.load_model(model).predict(pictures[0], heatmap=True).overlay()
    assert (overlay.mode, overlay.size) == ("RGB", (90, 70))


def test_it_is_measured_on_a_folder_or_a_data_set(model: Path, table: Path, tmp_path: Path) -> None:
    loaded = ls.load_model(model)
    by_path = loaded.evaluate(table)
    by_data = loaded.evaluate(ls.load_dataset(table, split="predefined", size=64), out=tmp_path / "out")
    assert by_path.evaluation.auroc == by_data.evaluation.auroc
    assert by_path.evaluation.n == 20
    assert (tmp_path / "out" / "report.html").exists()
