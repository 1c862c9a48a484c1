"""Counting evaluations in a run folder."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.evaluation.usage import count_evaluation, evaluations
from lungscope.reports.summary import repeated_evaluation_warning


@pytest.fixture
def bundle(model: Path, tmp_path: Path) -> Bundle:
    (tmp_path / "recipe.toml").write_text("")
    return replace(load_bundle(model), path=tmp_path / "model.onnx")


def test_each_set_of_images_is_counted_by_itself(bundle: Bundle) -> None:
    assert [count_evaluation(bundle, "test", "a") for _ in range(3)] == [1, 2, 3]
    assert count_evaluation(bundle, "all", "b") == 1
    assert evaluations(bundle.path.parent, "a") == 3


def test_training_and_validation_and_bare_models_are_not_counted(bundle: Bundle, model: Path) -> None:
    assert count_evaluation(bundle, "validation", "a") == 0
    assert not (bundle.path.parent / "evaluations.csv").exists()
    assert count_evaluation(load_bundle(model), "test", "a") == 0


def test_none_is_lost_when_several_count_at_once(bundle: Bundle) -> None:
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda _: count_evaluation(bundle, "test", "a"), range(200)))
    assert evaluations(bundle.path.parent, "a") == 200


def test_a_folder_that_cannot_be_written_is_no_hindrance(bundle: Bundle) -> None:
    (bundle.path.parent / "evaluations.csv").mkdir()
    assert count_evaluation(bundle, "test", "a") == 0


def test_only_repeated_looks_are_told() -> None:
    assert repeated_evaluation_warning(0) == repeated_evaluation_warning(1) == ()
    assert "evaluated 4 times on these images" in repeated_evaluation_warning(4)[0]
