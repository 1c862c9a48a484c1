"""`lungscope.stats` as users meet it: names that load what they need, and simple columns in."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lungscope import stats
from lungscope.errors import ConfigError, DataError
from lungscope.stats.resampling import estimate


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    labels = rng.random(200) < 0.3
    scores = (rng.normal(size=200) + labels).round(2)
    return labels, scores, np.arange(200) // 2


def test_every_name_is_there_once_and_type_checkers_see_the_same_ones():
    tree = ast.parse(Path(stats.__file__).read_text(encoding="utf-8"))
    seen = [
        (node.module.removeprefix("lungscope.stats."), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("lungscope.stats.")
        for alias in node.names
    ]
    assert {module for module, _ in seen} == set(stats._MODULES)
    assert sorted(name for _, name in seen) == sorted(stats.__all__) == dir(stats)
    for module, name in seen:
        assert getattr(stats, name).__name__ == name
        assert getattr(stats, name).__module__ == f"lungscope.stats.{module}"


def test_an_unknown_name_is_told_as_python_does():
    with pytest.raises(AttributeError, match=r"^module 'lungscope.stats' has no attribute 'aucroc'$"):
        stats.aucroc  # noqa: B018


def test_no_name_is_that_of_a_module_which_would_take_its_place():
    assert not {path.stem for path in Path(stats.__file__).parent.glob("*.py")} & set(stats.__all__)


def test_importing_it_loads_no_library():
    code = "import sys, lungscope.stats; print(*{'numpy', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_bootstrap_of_a_function_is_that_of_weights(columns):
    labels, scores, patients = columns
    found = stats.bootstrap(stats.auroc, labels, scores, patients=patients, resamples=200)
    wanted = estimate(lambda weights: stats.auroc(labels, scores, weights), patients, resamples=200)
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


def test_bootstrap_takes_functions_of_other_libraries(columns):
    from sklearn.metrics import balanced_accuracy_score

    labels, scores, patients = columns
    calls = scores > 0.5
    found = stats.bootstrap(balanced_accuracy_score, labels, calls, patients=patients, resamples=100)
    assert found.value == balanced_accuracy_score(labels, calls)
    assert found.low < found.value < found.high


def test_draws_without_a_class_are_left_out_and_too_many_of_them_are_said():
    labels = np.array([1] + [0] * 19)
    found = stats.bootstrap(stats.auroc, labels, np.linspace(1, 0, 20), resamples=200)
    assert found.value == 1.0
    assert "resamples lack a class" in found.reason


def test_a_metric_beyond_one_gets_a_percentile_interval(columns):
    labels, scores, _ = columns
    found = stats.bootstrap(lambda y, s: 100 * np.mean(s), labels, scores, shares=False, resamples=200)
    assert found.low < found.value < found.high


def test_one_class_only_is_a_reason(columns):
    _, scores, _ = columns
    assert "no negative case" in stats.bootstrap(stats.auroc, np.ones(200), scores).reason


def test_what_does_not_fit_is_told_in_one_line(columns):
    labels, scores, patients = columns
    with pytest.raises(ConfigError, match=r"^The metric 'auroc' is not a function\."):
        stats.bootstrap("auroc", labels, scores)
    with pytest.raises(DataError, match=r"^Columns of 200 and 199 rows do not fit"):
        stats.bootstrap(stats.auroc, labels, scores[1:])
    with pytest.raises(DataError, match=r"^Columns of 200 and 3 rows do not fit"):
        stats.bootstrap(stats.auroc, labels, scores, patients=patients[:3])


def test_operating_point_is_chosen_from_text():
    point = stats.operating_point("sensitivity >= 0.9", [0, 0, 0, 1, 1], [0.1, 0.4, 0.2, 0.6, 0.9])
    assert (point.threshold, point.sensitivity.value, point.specificity.value) == (0.5, 1.0, 1.0)
    with pytest.raises(ConfigError, match="sensitivity"):
        stats.operating_point("sensitive", [0, 1], [0.1, 0.9])
    with pytest.raises(DataError, match="0..1|probabilit"):
        stats.operating_point("0.5", [0, 1], [0.1, 1.9])
