import csv
import json
from pathlib import Path

import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.errors import ConfigError, OutputError
from lungscope.inference.predictor import Predictor
from lungscope.inference.result_table import check_table, write_table


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
