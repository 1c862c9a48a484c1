"""The learning curve: figures, page and table."""

import csv
import io

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lungscope.evaluation.comparison import Candidate
from lungscope.evaluation.learning_curve import learning_point
from lungscope.reports.sections.learning_curve import learning_csv, learning_section

CLASSES = ("NORMAL", "PNEUMONIA")


def point(fraction, gain, seeds=2, n=200):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    columns = []
    for _ in range(seeds):
        p = 1 / (1 + np.exp(-rng.normal(gain * (labels - 0.5), 1)))
        columns.append(np.column_stack([1 - p, p]))
    candidate = Candidate("default", tuple(range(seeds)), tuple(columns))
    size = round(1000 * fraction)
    return (labels, columns, learning_point(candidate, fraction, (size, size // 2), labels, np.arange(n), CLASSES))


def test_the_auroc_is_the_mean_over_seeds() -> None:
    labels, columns, found = point(0.25, 2.0)
    each = [roc_auc_score(labels, column[:, 1]) for column in columns]
    assert found.auroc.value == pytest.approx(np.mean(each))
    assert found.auroc_by_seed == pytest.approx(each)
    assert found.spread == pytest.approx(np.std(each, ddof=1))
    assert found.auroc.low < found.auroc.value < found.auroc.high


def test_the_section_tells_what_the_last_step_brought() -> None:
    points = [point(0.25, 1.0)[2], point(1.0, 3.0)[2]]
    section = learning_section(points)
    assert "From 250 to 1,000 images default gained" in section.lead
    assert [row[2] for row in section.tables[0].rows] == ["250", "1,000"]
    assert 'role="img"' in section.plots[0].svg


def test_the_table_has_every_point_and_an_undefined_auroc_has_its_reason() -> None:
    labels = np.ones(30, int)
    flat = np.full((30, 2), 0.5)
    missing = learning_point(Candidate("a,b", (0,), (flat,)), 1.0, (9, 5), labels, np.arange(30), CLASSES)
    rows = list(csv.DictReader(io.StringIO(learning_csv([point(0.5, 2.0)[2], missing]))))
    assert float(rows[0]["auroc_low"]) < float(rows[0]["auroc"])
    assert (rows[1]["method"], rows[1]["auroc"]) == ("a,b", "")
    assert "every case is PNEUMONIA" in rows[1]["reason"]
    assert learning_section([missing]).plots == ()
