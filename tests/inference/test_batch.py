import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from lungscope.bundle.bundle import load_bundle
from lungscope.errors import ConfigError, ManifestError, OutputError
from lungscope.inference.batch import check_table, find_sources, write_overlays, write_table
from lungscope.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor(load_bundle(model))


@pytest.fixture
def mixed(pictures, tmp_path: Path) -> list[Path]:
    bad = tmp_path / "bad, with a comma.jpeg"
    bad.write_bytes(b"\xff\xd8")
    return [pictures[0], bad, pictures[1]]


def test_csv_has_a_row_per_file_and_counts_failures(predictor, mixed, tmp_path) -> None:
    out = tmp_path / "new" / "out.csv"
    assert write_table(predictor.assess_files(mixed), out, predictor.card) == 1
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["file"] for row in rows] == [str(path) for path in mixed]
    assert rows[0]["finding"] in {"NORMAL", "PNEUMONIA"}
    assert float(rows[0]["p_NORMAL"]) + float(rows[0]["p_PNEUMONIA"]) == pytest.approx(1, abs=2e-6)
    assert (rows[1]["finding"], rows[1]["p_abnormal"]) == ("", "")
    assert rows[1]["error"]
    assert rows[2]["error"] == ""


def test_jsonl_has_the_same_columns(predictor, mixed, tmp_path) -> None:
    write_table(predictor.assess_files(mixed), tmp_path / "out.jsonl", predictor.card)
    write_table(predictor.assess_files(mixed), tmp_path / "out.csv", predictor.card)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    header = (tmp_path / "out.csv").read_text().splitlines()[0]
    assert [list(line) for line in lines] == [header.split(",")] * 3
    assert lines[1]["p_abnormal"] is None


def test_a_stopped_run_leaves_no_half_file_and_keeps_the_former_one(predictor, pictures, tmp_path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("former")

    def stopped():
        yield from predictor.assess_files(pictures[:1])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(stopped(), out, predictor.card)
    assert out.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_an_unwritable_place_names_the_remedy(predictor, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written .* Choose a place"):
        write_table([], tmp_path / "file" / "out.csv", predictor.card)


def test_another_ending_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="Use .csv or .jsonl"):
        check_table(Path("out.xlsx"))


def test_overlays_are_named_after_the_file_and_its_folder(predictor, pictures, tmp_path) -> None:
    for site in ("a", "b"):
        (tmp_path / "in" / site).mkdir(parents=True)
        (tmp_path / "in" / site / "x.jpeg").write_bytes(pictures[0].read_bytes())
    sources = find_sources([tmp_path / "in"])
    readings = predictor.assess_files([source.path for source in sources], heatmaps=True)
    list(write_overlays(readings, sources, tmp_path / "maps"))
    found = sorted(
        path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png")
    )
    assert found == ["a/x.jpeg.png", "b/x.jpeg.png"]
    with Image.open(tmp_path / "maps" / "a" / "x.jpeg.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (90, 70))


def test_an_image_that_vanishes_before_its_overlay_keeps_its_probabilities(
    predictor, pictures, tmp_path
) -> None:
    path = tmp_path / "x.jpeg"
    path.write_bytes(pictures[0].read_bytes())
    sources = find_sources([path])
    readings = list(predictor.assess_files([path], heatmaps=True))
    path.unlink()
    (reading,) = write_overlays(readings, sources, tmp_path / "maps")
    assert reading.decision is not None
    assert reading.notes[-1].startswith("no heat map: ")


@pytest.mark.parametrize(
    ("name", "message"), [("", "no image in this folder"), ("gone", "no such file or folder")]
)
def test_inputs_without_images_are_refused(tmp_path, name: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        find_sources([tmp_path / name])
