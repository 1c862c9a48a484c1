"""Probes find what was planted, leave chance alone, and say why a figure is undefined."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lungscope.data.audit.shortcuts import Probe, probe
from lungscope.data.audit.table_columns import column_traits
from lungscope.data.audit.traits import Trait
from lungscope.data.manifest import Manifest

RNG = np.random.default_rng(0)


def manifest(
    labels: np.ndarray, *, splits: tuple[str, ...] = (), patients: tuple[str, ...] = (), classes: int = 2
) -> Manifest:
    n = len(labels)
    return Manifest(
        tuple(Path(f"/data/{i}.png") for i in range(n)),
        labels,
        patients or tuple(f"DOE{i}" for i in range(n)),
        splits or ("",) * n,
        ("NORMAL", "BACTERIA", "VIRUS")[:classes],
    )


def trait(values: np.ndarray, name: str = "width", group: str = "file") -> Trait:
    return Trait(name, group, np.asarray(values, np.float32)[:, None], "The loader removes it.")


def label_probe(found: tuple[Probe, ...], name: str = "width") -> Probe:
    (one,) = [each for each in found if each.target == "label" and each.name == name]
    return one


LABELS = RNG.integers(0, 2, 300)


def test_a_trait_that_gives_the_label_away_is_found() -> None:
    values = LABELS * 100 + RNG.normal(0, 10, 300)
    one = label_probe(probe(manifest(LABELS), [trait(values)]))
    assert one.auroc.value == 1
    assert one.strong
    assert "Width alone: AUROC more than 0.99; this set lets a model cheat. The loader removes it." in one.verdict


def test_a_graded_trait_has_about_the_auroc_of_its_own_ranking() -> None:
    labels = RNG.integers(0, 2, 3000)
    values = labels + RNG.normal(0, 1, 3000)
    one = label_probe(probe(manifest(labels), [trait(values)]))
    assert one.auroc.value == pytest.approx(roc_auc_score(labels, values), abs=0.02)
    assert one.auroc.low is not None
    assert one.auroc.high is not None
    assert one.auroc.low < roc_auc_score(labels, values) < one.auroc.high


def test_a_trait_need_not_rise_with_the_label() -> None:
    values = np.where(LABELS == 1, RNG.choice([-1.0, 1.0], 300), 0) + RNG.normal(0, 0.1, 300)
    assert abs(roc_auc_score(LABELS, values) - 0.5) < 0.1
    assert label_probe(probe(manifest(LABELS), [trait(values)])).strong


def test_chance_is_called_chance() -> None:
    one = label_probe(probe(manifest(LABELS), [trait(RNG.normal(size=300))]))
    assert one.verdict == "No better than chance."
    assert not one.strong


def test_traits_that_tell_only_together_are_found_together() -> None:
    a, b = RNG.choice([-1.0, 1.0], 300), RNG.choice([-1.0, 1.0], 300)
    labels = (a * b > 0).astype(np.int64)
    found = probe(manifest(labels), [trait(a, "width"), trait(b, "height")])
    alone, together = label_probe(found), label_probe(found, "all of the file together")
    assert not alone.strong
    assert together.strong
    assert not together.alone


def test_each_group_and_everything_is_probed_together() -> None:
    names = [("width", "file"), ("height", "file"), ("border", "picture"), ("contrast", "picture")]
    found = probe(manifest(LABELS[:80]), [trait(RNG.normal(size=80), *each) for each in names])
    told = [each.name for each in found if each.target == "label" and not each.alone]
    assert told == ["all of the file together", "all of the picture together", "all together"]


def test_a_patient_in_training_is_not_tested_on() -> None:
    # Each patient has a value of his own, which tells his label only to who has seen him.
    patient = np.repeat(np.arange(60), 10)
    labels = RNG.permutation(np.repeat([0, 1], 30))[patient]
    values = RNG.permutation(1000)[patient]
    table = manifest(labels, patients=tuple(f"DOE{p}" for p in patient))
    by_patient = label_probe(probe(table, [trait(values)])).auroc
    by_image = label_probe(probe(manifest(labels), [trait(values)])).auroc
    assert by_image.value is not None
    assert by_patient.value is not None
    assert by_patient.value < 0.75 < by_image.value


def test_three_classes_give_the_mean_of_each_against_the_others() -> None:
    labels = RNG.integers(0, 3, 600)
    values = np.where(labels == 2, 10, 0) + RNG.normal(0, 1, 600)
    one = label_probe(probe(manifest(labels, classes=3), [trait(values)]))
    assert one.auroc.value == pytest.approx((0.75 + 0.75 + 1) / 3, abs=0.04)
    assert one.auroc.low is not None


def test_the_split_is_probed_as_the_label_is() -> None:
    splits = tuple(RNG.choice(["train", "test"], 300))
    values = np.array([split == "test" for split in splits]) + RNG.normal(0, 0.1, 300)
    one = next(each for each in probe(manifest(LABELS, splits=splits), [trait(values)]) if each.target == "split")
    assert one.auroc.value == 1
    assert "the splits were not drawn alike" in one.verdict


def test_rows_without_a_split_are_left_out_of_its_probe() -> None:
    splits = tuple(np.resize(["train", "test", ""], 300))
    values = np.array([{"train": 0, "test": 9, "": 4}[split] for split in splits]) + RNG.normal(0, 0.1, 300)
    one = next(each for each in probe(manifest(LABELS, splits=splits), [trait(values)]) if each.target == "split")
    assert one.auroc.value == 1


def test_the_same_data_give_the_same_figures() -> None:
    labels = LABELS[:80]
    traits = [trait(RNG.normal(size=80), "width"), trait(labels + RNG.normal(size=80), "height")]
    assert probe(manifest(labels), traits) == probe(manifest(labels), traits)


@pytest.mark.parametrize(
    ("labels", "patients", "values", "reason"),
    [
        (np.zeros(40, np.int64), (), np.arange(40), "all readable images have one label"),
        (np.zeros(1, np.int64), (), np.arange(1), "all readable images have one label"),
        (np.zeros(0, np.int64), (), np.zeros(0), "no image is readable"),
        (np.arange(40) % 2, ("DOE",) * 40, np.arange(40), "a class has fewer than 5 patients"),
        (np.array([0] * 36 + [1] * 4), (), np.arange(40), "a class has fewer than 5 patients"),
        (np.arange(40) % 2, (), np.full(40, 224), "it is the same in all images"),
    ],
)
def test_what_cannot_be_told_says_why(
    labels: np.ndarray, patients: tuple[str, ...], values: np.ndarray, reason: str
) -> None:
    one = label_probe(probe(manifest(labels, patients=patients), [trait(values)]))
    assert (one.auroc.value, one.auroc.reason) == (None, reason)
    assert one.verdict == f"Cannot be told: {reason}."
    assert not one.strong


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        (("",) * 300, "no two splits are assigned"),
        (("train",) * 300, "all assigned images are in one split"),
        (("train",) * 297 + ("test",) * 3, "a split has fewer than 5 patients"),
    ],
)
def test_a_split_that_cannot_be_told_says_why(splits: tuple[str, ...], reason: str) -> None:
    found = probe(replace(manifest(LABELS), splits=splits), [trait(RNG.normal(size=300))])
    (one,) = [each for each in found if each.target == "split"]
    assert (one.auroc.value, one.auroc.reason) == (None, reason)


def with_columns(labels: np.ndarray, **columns: list[str]) -> Manifest:
    return replace(manifest(labels), extra={name: tuple(values) for name, values in columns.items()})


def test_a_column_that_tells_the_label_is_found_and_one_that_does_not_is_not() -> None:
    sites = ["alder" if label or i % 10 == 0 else "birch" for i, label in enumerate(LABELS)]
    table = with_columns(LABELS, site=sites, sex=["F", "M"] * 150, age=[str(i % 90) for i in range(300)])
    found = {each.name: each for each in probe(table, column_traits(table)) if each.target == "label"}
    assert set(found) == {"column site", "column sex", "column age"}  # and not all of them together
    expected = roc_auc_score(LABELS, [site == "alder" for site in sites])
    assert found["column site"].auroc.value == pytest.approx(expected, abs=0.01)
    assert "a model may learn it in place of the disease. A model sees the picture" in found["column site"].verdict
    assert found["column sex"].verdict == "No better than chance."


def test_columns_that_say_what_was_found_or_who_it_is_are_no_shortcuts() -> None:
    boxes = ["1"] * 300
    table = with_columns(
        LABELS, stratum=["style 1", ""] * 150, x=boxes, y=boxes, width=boxes, height=boxes,
        patient_id=[f"DOE{i}" for i in range(300)], room=["7"] * 300,
    )  # fmt: skip
    assert column_traits(table) == ()
