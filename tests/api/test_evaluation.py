"""`evaluate`: a model of any framework, from arrays or a table."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

import lungscope as ls
from lungscope.errors import ConfigError, DataError, ManifestError


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    p = 1 / (1 + np.exp(-(rng.normal(size=200) + 2 * labels - 1)))
    return labels, p, [f"p{i // 2}" for i in range(200)]


def test_its_figures_are_those_of_scikit_learn(scores) -> None:
    labels, p, patients = scores
    found = ls.evaluate(labels, p, patients=patients, classes=("NORMAL", "PNEUMONIA"))
    assert found.auroc.value == pytest.approx(roc_auc_score(labels, p))
    assert found.evaluation.accuracy.value == pytest.approx(accuracy_score(labels, p >= 0.5))
    # Over both classes, which is twice the score of one.
    assert found.evaluation.brier.value == pytest.approx(brier_score_loss(labels, p), rel=1)
    assert found.evaluation.patients == 100
    low, high = found.auroc.low, found.auroc.high
    assert low < found.auroc.value < high


def test_it_writes_the_whole_report(scores, tmp_path: Path, capsys) -> None:
    labels, p, patients = scores
    found = ls.evaluate(labels, np.column_stack([1 - p, p]), patients=patients, classes=("NORMAL", "PNEUMONIA"))
    page = found.report(tmp_path / "report.html").read_text()
    assert "Research use only" in page
    assert "p17" not in page
    found.write(tmp_path / "folder")
    document = json.loads((tmp_path / "folder" / "evaluation.json").read_text())
    assert document["auroc"]["value"] == pytest.approx(found.auroc.value, abs=1e-4)
    assert capsys.readouterr() == ("", "")


def test_a_table_gives_the_same(scores, tmp_path: Path) -> None:
    labels, p, patients = scores
    lines = [f"{('NORMAL', 'PNEUMONIA')[y]},{1 - q},{q},{who}" for y, q, who in zip(labels, p, patients, strict=True)]
    (tmp_path / "scores.csv").write_text("label,NORMAL,PNEUMONIA,patient\n" + "\n".join(lines))
    by_table = ls.evaluate(tmp_path / "scores.csv", thresholds=(0.3, 0.5))
    by_array = ls.evaluate(labels, p, patients=patients, classes=("NORMAL", "PNEUMONIA"), thresholds=(0.3, 0.5))
    assert by_table.auroc == by_array.auroc
    assert by_table.evaluation.operating_points[0].estimates == by_array.evaluation.operating_points[0].estimates


def test_it_shows_itself(scores) -> None:
    found = ls.evaluate(*scores[:2])
    assert str(found.auroc) in repr(found)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (([0, 1],), {}, ConfigError, "Labels without probabilities"),
        (("scores.csv", [0.2]), {}, ConfigError, "A CSV holds"),
        (("gone.csv",), {}, ManifestError, "gone.csv"),
        (([0, 1], [0.2, 1.2]), {}, DataError, "1.2"),
        (([0, 1, 1], [0.2, 0.8]), {}, DataError, "3"),
        (([0, 1], [0.2, 0.8]), {"thresholds": 7}, ConfigError, "7"),
        (([0, 1], [0.2, 0.8]), {"prevalence": 2}, ConfigError, "2"),
    ],
)
def test_wrong_input_is_refused_in_a_line(arguments, options, error, words) -> None:
    with pytest.raises(error, match=words) as caught:
        ls.evaluate(*arguments, **options)
    assert "\n" not in str(caught.value)
