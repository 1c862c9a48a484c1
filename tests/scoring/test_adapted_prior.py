"""Scores corrected for the prevalence of the files themselves: the truth is known, nothing is lost or overwritten."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.bundle.validation_summary import SKETCH, Curve, Reference, Validation
from lungscope.cli.app import main
from lungscope.errors import ConfigError
from lungscope.scoring.adapted_prior import adapt_scores, check_adaptable
from lungscope.scoring.listing import WHOLE, Shard
from lungscope.scoring.parquet import Row
from lungscope.scoring.parts import Parts, make_plan, open_parts


def scores(diseased: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,), exactly calibrated where half of the cases are diseased: normal scores, two deviations apart."""
    found = rng.normal(diseased * 2.0, 1.0)
    return 1 / (1 + np.exp(-2.0 * (found - 1.0)))


@pytest.fixture(scope="module")
def bundle(tiny: Path) -> Bundle:
    """A bundle that keeps a validation of 2,000 cases, half of them diseased."""
    truth = np.arange(2000) % 2 == 1
    given = scores(truth, np.random.default_rng(1))
    thresholds = np.concatenate(([0.0], np.linspace(0.01, 0.99, 99), [1.01]))
    curve = Curve(
        tuple(thresholds),
        tuple(float((given[truth] >= t).mean()) for t in thresholds),
        tuple(float((given[~truth] < t).mean()) for t in thresholds),
        1000,
        1000,
    )
    reference = Reference(2000, 0.5, (0.1,) * 10, (0.0,) * SKETCH, (1.0,) * SKETCH)
    loaded = load_bundle(tiny)
    kept = Validation(curve, reference)
    return replace(loaded, card=replace(loaded.card, validation=kept))


def written(bundle: Bundle, out: Path, prevalence: float, n: int, shard: Shard = WHOLE) -> tuple[Parts, np.ndarray]:
    """Parts of `n` scored rows, one that failed and one that was not assessed; and the truth of the scored ones."""
    rng = np.random.default_rng(2)
    truth = rng.random(n) < prevalence
    rows = [Row(f"{i}.png", (1 - p, p), "NORMAL", p) for i, p in enumerate(map(float, scores(truth, rng)))]
    rows += [Row("bad.png", error="the file is empty"), Row("cat.png", (0.0, 1.0), None, 1.0, "a photograph")]
    parts = open_parts(out, make_plan("files", bundle), shard, engine="test", rows=1000, resume=False)
    with parts:
        parts.add(rows)
    return parts, truth


def test_a_known_prevalence_is_found_and_the_corrected_scores_are_better(bundle: Bundle, tmp_path: Path) -> None:
    parts, truth = written(bundle, tmp_path / "out", 0.1, 3000)
    before = {path.name: path.read_bytes() for path in parts.all()}
    found = adapt_scores(parts, tmp_path / "out", bundle.card)
    low, high = found.estimated["PNEUMONIA"]["ci95"]
    assert not found.refused
    assert low < truth.mean() < high < 0.2
    assert {path.name: path.read_bytes() for path in parts.all()} == before
    raw = pyarrow.parquet.read_table(tmp_path / "out" / "parts")
    corrected = pyarrow.parquet.read_table(tmp_path / "out" / "adapted")
    assert corrected["path"].to_pylist() == raw["path"].to_pylist()
    column = "p_PNEUMONIA"
    errors = [((np.array(table[column].to_pylist()[:3000]) - truth) ** 2).mean() for table in (raw, corrected)]
    assert errors[1] < 0.8 * errors[0]


def test_a_row_without_a_score_stays_without_one(bundle: Bundle, tmp_path: Path) -> None:
    parts, _ = written(bundle, tmp_path / "out", 0.3, 1500)
    adapt_scores(parts, tmp_path / "out", bundle.card)
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "adapted").to_pylist()
    (failed,) = [row for row in rows if row["path"] == "bad.png"]
    assert failed["p_abnormal"] is None
    assert failed["p_NORMAL"] is None
    assert sum(row["p_abnormal"] is not None for row in rows) == 1501


def test_too_few_files_are_left_uncorrected_with_the_reason(bundle: Bundle, tmp_path: Path) -> None:
    parts, _ = written(bundle, tmp_path / "out", 0.5, 20)
    found = adapt_scores(parts, tmp_path / "out", bundle.card)
    assert "too few" in found.refused
    assert not list((tmp_path / "out" / "adapted").iterdir())


def test_a_former_correction_does_not_stay_beside_new_scores(bundle: Bundle, tmp_path: Path) -> None:
    parts, _ = written(bundle, tmp_path / "out", 0.3, 60)
    (tmp_path / "out" / "adapted").mkdir()
    (tmp_path / "out" / "adapted" / "part-000009.parquet").touch()
    adapt_scores(parts, tmp_path / "out", bundle.card)
    assert not (tmp_path / "out" / "adapted" / "part-000009.parquet").exists()


def test_one_shard_is_refused_with_the_way_to_do_it(bundle: Bundle, tmp_path: Path) -> None:
    parts, _ = written(bundle, tmp_path / "out", 0.3, 60, Shard(1, 2))
    with pytest.raises(ConfigError, match="without --shard"):
        check_adaptable(parts, bundle.card)


def test_a_bundle_that_does_not_keep_its_prevalence_is_refused_before_anything_is_scored(
    tiny: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(
        sys, "argv", ["lungscope", "score", str(folder), "-m", str(tiny), "--out", str(out), "--adapt-prior"]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "does not keep the prevalence" in capsys.readouterr().err
    assert not list(out.rglob("*.parquet"))
