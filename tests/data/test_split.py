"""Splits: stratified, patient by patient, the same everywhere; what predefined parts are kept or completed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from lungscope.config.settings import DataSettings
from lungscope.data.decode import Record
from lungscope.data.manifest import Manifest, read_manifest
from lungscope.data.pack import Pack
from lungscope.data.split import assign_splits, folds, leave_out, link_patients
from lungscope.errors import ConfigError, ManifestError


def cohort(images: dict[str, list[int]], splits: tuple[str, ...] | None = None) -> Manifest:
    """Images per patient of every class, such as {"normal": [3, 1], "sick": [2]}."""
    rows = [
        (label, f"{name}{patient}", f"/data/{name}/{patient}_{i}.png")
        for label, (name, sizes) in enumerate(images.items())
        for patient, n in enumerate(sizes)
        for i in range(n)
    ]
    labels, patients, paths = zip(*rows, strict=True)
    return Manifest(tuple(map(Path, paths)), np.array(labels), patients, splits or ("",) * len(rows), tuple(images))


def random_cohort(seed: int, patients: tuple[int, ...] = (300, 500)) -> Manifest:
    rng = np.random.default_rng(seed)
    return cohort({f"class{i}": (rng.geometric(0.4, n)).tolist() for i, n in enumerate(patients)})


def patients_in(manifest: Manifest, split: str) -> set[str]:
    return set(manifest.split(split).patients)


def shares(manifest: Manifest, split: str) -> np.ndarray:
    classes = len(manifest.classes)
    return np.bincount(manifest.split(split).labels, minlength=classes) / np.bincount(
        manifest.labels, minlength=classes
    )


def by_path(manifest: Manifest) -> dict[Path, str]:
    return dict(zip(manifest.paths, manifest.splits, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_a_split_by_patient_is_stratified_and_keeps_patients_whole(seed: int) -> None:
    split, notes = assign_splits(random_cohort(seed), DataSettings(), seed)
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not patients_in(split, one) & patients_in(split, other)
    for name, share in [("train", 0.70), ("validation", 0.15), ("test", 0.15)]:
        np.testing.assert_allclose(shares(split, name), share, atol=0.005)
    assert "" not in split.splits
    assert "Split by patient" in notes[-1]


def test_the_deal_is_as_even_as_that_of_scikit_learn() -> None:
    manifest = random_cohort(7, (40, 90, 25))
    ours = np.array([shares(fold, "validation") for fold in folds(manifest, 5, seed=0)])
    reference = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(
        manifest.labels, manifest.labels, manifest.patients
    )
    totals = np.bincount(manifest.labels)
    theirs = np.array([np.bincount(manifest.labels[rows], minlength=3) / totals for _, rows in reference])
    assert np.abs(ours - 0.2).max() <= np.abs(theirs - 0.2).max() + 0.01


@pytest.mark.parametrize("kind", ["patients", "random"])
def test_splits_do_not_depend_on_the_order_of_files(kind: str) -> None:
    manifest = random_cohort(1)
    settings = DataSettings.model_validate({"split": kind})
    mixed = manifest.select(np.random.default_rng(5).permutation(len(manifest)))
    assert by_path(assign_splits(manifest, settings, 3)[0]) == by_path(assign_splits(mixed, settings, 3)[0])
    assert by_path(assign_splits(manifest, settings, 3)[0]) != by_path(assign_splits(manifest, settings, 4)[0])


def test_a_split_by_image_is_stratified_and_lets_patients_leak() -> None:
    split, notes = assign_splits(random_cohort(2), DataSettings(split="random"), 0)
    assert patients_in(split, "train") & patients_in(split, "test")
    np.testing.assert_allclose(shares(split, "test"), 0.15, atol=0.002)
    assert split.splits.count("validation") == round(0.15 * len(split))
    assert "patients may stand in several parts" in notes[-1]


def test_without_a_test_fraction_there_is_no_test_part() -> None:
    for kind in ("patients", "random"):
        settings = DataSettings.model_validate({"split": kind, "validation": 0.2, "test": 0.0})
        split, _ = assign_splits(random_cohort(0), settings, 0)
        assert set(split.splits) == {"train", "validation"}
        np.testing.assert_allclose(shares(split, "validation"), 0.2, atol=0.01)


@pytest.mark.parametrize("sizes", [[1, 1, 1], [30, 1, 1], [2, 2, 9, 1]])
def test_three_patients_of_a_class_are_enough_for_three_parts(sizes: list[int]) -> None:
    split, _ = assign_splits(cohort({"normal": sizes, "sick": [1] * 40}), DataSettings(), 0)
    for name in ("train", "validation", "test"):
        assert np.all(shares(split, name) > 0)


@pytest.mark.parametrize("n", [1, 2])
def test_a_class_with_too_few_patients_is_named_with_the_remedy(n: int) -> None:
    manifest = cohort({"normal": [1] * 9, "rare": [20] * n})
    with pytest.raises(ManifestError, match=rf"Class 'rare' has {n} patients?, and 3 splits need 3\. Add patients"):
        assign_splits(manifest, DataSettings(), 0)


def test_a_random_split_of_too_few_images_is_an_error() -> None:
    with pytest.raises(ManifestError, match=r"random split is not possible.*Add images"):
        assign_splits(cohort({"a": [1] * 20, "b": [1]}), DataSettings(split="random"), 0)


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.2), (0.5, 0.5), (0.9, 0.4)])
def test_fractions_that_leave_nothing_are_an_error(validation: float, test: float) -> None:
    for kind in ("patients", "random"):
        settings = DataSettings.model_validate({"split": kind, "validation": validation, "test": test})
        with pytest.raises(ConfigError, match="Validation must be above 0, and both together below 1"):
            assign_splits(random_cohort(0), settings, 0)


def predefined(train: int, validation: int, test: int, unassigned: int = 0) -> Manifest:
    """That many single-image patients of two classes in each part."""
    part = ["train"] * train + ["validation"] * validation + ["test"] * test + [""] * unassigned
    return cohort({"normal": [1] * len(part), "sick": [1] * len(part)}, tuple(part * 2))


def test_predefined_parts_that_will_do_are_kept() -> None:
    manifest = predefined(100, 30, 40)
    assert assign_splits(manifest, DataSettings(), 0) == (manifest, ())


def test_a_tiny_validation_part_is_drawn_anew_and_the_test_part_is_kept() -> None:
    manifest = predefined(300, 8, 50)
    split, notes = assign_splits(manifest, DataSettings(), 0)
    assert set(split.split("test").paths) == set(manifest.split("test").paths)
    np.testing.assert_allclose(np.bincount(split.split("validation").labels), 0.15 * 308, atol=1)
    assert "only 8 images of normal" in notes[0]
    assert "validation was drawn by patient" in notes[0]
    assert "data.split=predefined" in notes[0]


def test_train_and_a_tiny_validation_part_also_get_a_test_part() -> None:
    split, notes = assign_splits(predefined(300, 8, 0), DataSettings(), 0)
    assert np.bincount(split.split("test").labels).min() >= 44
    assert "validation and test were drawn" in notes[0]


def test_a_missing_validation_part_is_drawn() -> None:
    split, notes = assign_splits(predefined(100, 0, 20), DataSettings(), 0)
    assert split.splits.count("validation") == 30
    assert "is missing" in notes[0]


def test_a_small_validation_part_stays_when_the_data_give_no_larger_one() -> None:
    manifest = predefined(20, 8, 8)
    assert assign_splits(manifest, DataSettings(), 0) == (manifest, ())


def test_no_test_part_is_invented_beside_a_good_validation_part() -> None:
    manifest = predefined(100, 40, 0)
    split, notes = assign_splits(manifest, DataSettings(), 0)
    assert split == manifest
    assert "no test part" in notes[0]


def test_rows_without_a_split_join_training_or_on_request_are_left_out() -> None:
    manifest = predefined(100, 40, 40, unassigned=10)
    completed, notes = assign_splits(manifest, DataSettings(), 0)
    assert (completed.splits.count("train"), completed.splits.count("")) == (220, 0)
    assert "20 images without a split joined training" in notes[0]
    kept, notes = assign_splits(manifest, DataSettings(split="predefined"), 0)
    assert kept == manifest
    assert "20 images have no split and are left out" in notes[0]


def test_predefined_is_honoured_however_small() -> None:
    manifest = predefined(300, 1, 0)
    assert assign_splits(manifest, DataSettings(split="predefined"), 0) == (manifest, ())


@pytest.mark.parametrize(("train", "validation", "missing"), [(0, 50, "train"), (50, 0, "validation")])
def test_predefined_parts_without_training_or_validation_are_an_error(
    train: int, validation: int, missing: str
) -> None:
    with pytest.raises(ManifestError, match=rf"no image in {missing}\. Add some.*data\.split=patients"):
        assign_splits(predefined(train, validation, 9), DataSettings(split="predefined"), 0)


def test_a_class_that_only_the_test_part_has_is_an_error() -> None:
    parts = ("train",) * 50 + ("validation",) * 50
    manifest = cohort({"a": [1] * 100, "b": [1] * 100, "new": [1] * 5}, parts + parts + ("test",) * 5)
    with pytest.raises(ManifestError, match=r"Class 'new' has no image in train\..*remove the class"):
        assign_splits(manifest, DataSettings(), 0)


def test_unknown_patients_are_noted() -> None:
    manifest = cohort({"a": [1] * 9, "file:b": [1] * 9})
    assert "patient of 9 of 18 images is not known" in assign_splits(manifest, DataSettings(), 0)[1][0]


def test_every_patient_is_validated_in_one_fold() -> None:
    manifest = random_cohort(4)
    tables = folds(manifest, 5, seed=1)
    validated = [patients_in(table, "validation") for table in tables]
    assert sum(map(len, validated)) == len(set.union(*validated)) == len(set(manifest.patients))
    assert all(not patients_in(table, "train") & patients_in(table, "validation") for table in tables)
    assert all(set(table.splits) == {"train", "validation"} for table in tables)
    np.testing.assert_allclose([shares(table, "validation") for table in tables], 0.2, atol=0.01)


def test_folds_need_two_parts_and_as_many_patients() -> None:
    with pytest.raises(ConfigError, match="at least 2 are needed"):
        folds(random_cohort(0), 1, 0)
    with pytest.raises(ManifestError, match=r"Class 'b' has 4 patients, and 5 folds need 5\."):
        folds(cohort({"a": [1] * 9, "b": [5] * 4}), 5, 0)


def packed(pixels: str, patients: list[str]) -> Pack:
    """Rows whose picture is a letter each."""
    records = tuple(
        Record("", letter, 8, 8, 8, "DICOM", 9, (), "", who) for letter, who in zip(pixels, patients, strict=True)
    )
    return Pack(np.zeros((len(pixels), 8, 8), np.uint8), records)


def test_patients_who_share_a_picture_become_one() -> None:
    manifest = cohort({"a": [1, 1, 1, 1], "b": [1]})
    linked = link_patients(manifest, packed("xyxzy", [""] * 5))
    first, second, third, fourth, fifth = linked.patients
    assert first == third
    assert second == fifth
    assert len({first, second, fourth}) == 3


def test_unknown_patients_are_named_by_the_dicom_header() -> None:
    manifest = cohort({"file:a": [1, 1, 1], "known": [1]})
    linked = link_patients(manifest, packed("abcd", ["h1", "h1", "h2", "h3"]))
    assert linked.patients == ("h1", "h1", "h2", "known0")
    assert link_patients(manifest, packed("abcd", ["h1", "h1", "h1", ""])) == manifest


def test_the_kermany_set_gets_a_test_part_by_patient(shared: Path) -> None:
    split, notes = assign_splits(read_manifest(shared / "data" / "kermany224"), DataSettings(), 0)
    assert "8 images of NORMAL" in notes[0]
    for name, share in [("train", 0.70), ("validation", 0.15), ("test", 0.15)]:
        np.testing.assert_allclose(shares(split, name), share, atol=0.002)
    assert not patients_in(split, "train") & (patients_in(split, "validation") | patients_in(split, "test"))


def with_column(values: list[str]) -> Manifest:
    """Two classes of two patients of two images each."""
    manifest = cohort({"normal": [2, 2], "sick": [2, 2]})
    return Manifest(
        manifest.paths, manifest.labels, manifest.patients, manifest.splits, manifest.classes,
        extra={"site": tuple(values)},
    )  # fmt: skip


def test_values_of_a_column_are_held_out_in_turn_with_all_of_their_patients() -> None:
    first, second = leave_out(with_column(["a", "", "b", "b", "a", "a", "b", ""]), "site")
    assert first.splits == ("test", "", "train", "train", "test", "test", "train", "train")
    assert second.splits == ("train", "train", "test", "test", "train", "train", "test", "")


@pytest.mark.parametrize(
    ("values", "column", "message"),
    [
        (["a"] * 8, "site", "names 1 strata"),
        (["a"] * 8, "hospital", "Columns of this table beside those of every table: site"),
        (["a"] * 4 + ["b"] * 4, "site", "site 'a' has no image of sick"),
    ],
)
def test_what_cannot_be_held_out_in_turn_is_refused(values: list[str], column: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        leave_out(with_column(values), column)


def test_a_split_by_patient_is_stratified_by_site_too() -> None:
    manifest = cohort({"normal": [1] * 200, "sick": [1] * 200})
    sites = tuple("far" if i % 20 == 0 else "near" for i in range(400))
    known = replace(manifest, extra={"site": sites})
    found, _ = assign_splits(known, DataSettings(), 0)
    for label in (0, 1):
        for split, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
            inside = [
                s == split
                for s, site, k in zip(found.splits, sites, found.labels, strict=True)
                if site == "far" and k == label
            ]
            assert abs(sum(inside) - share * 10) <= 1
