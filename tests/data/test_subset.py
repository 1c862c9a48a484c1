"""Parts of the training patients lie within each other and leave the rest whole."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from lungscope.data.manifest import Manifest
from lungscope.data.subset import part_of_training
from lungscope.errors import DataError


@pytest.fixture
def manifest() -> Manifest:
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 120, 400)
    label_of = (np.arange(120) % 4 == 0).astype(int)
    split_of = np.array(["train"] * 80 + ["validation"] * 20 + ["test"] * 20)
    return Manifest(
        paths=tuple(Path(f"{i}.png") for i in range(400)),
        labels=label_of[patients],
        patients=tuple(f"p{each}" for each in patients),
        splits=tuple(split_of[patients].tolist()),
        classes=("NORMAL", "PNEUMONIA"),
    )


def test_a_smaller_part_lies_within_every_larger_one(manifest) -> None:
    parts = [set(part_of_training(manifest, each).paths) for each in (0.1, 0.25, 0.5, 1)]
    assert all(small < large for small, large in itertools.pairwise(parts))
    assert parts[-1] == set(manifest.paths)


def test_whole_patients_of_every_class_are_kept(manifest) -> None:
    part = part_of_training(manifest, 0.25)
    kept = set(part.split("train").patients)
    everyone = manifest.split("train")
    assert len(kept) == pytest.approx(0.25 * len(set(everyone.patients)), abs=1.01)
    assert len(part.split("train")) == sum(each in kept for each in everyone.patients)
    assert set(part.split("train").labels.tolist()) == {0, 1}


def test_validation_and_test_stay_whole(manifest) -> None:
    part = part_of_training(manifest, 0.1)
    for split in ("validation", "test"):
        assert part.split(split).paths == manifest.split(split).paths


def test_the_seed_decides_who_is_kept(manifest) -> None:
    parts = [part_of_training(manifest, 0.25, seed).paths for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5])
def test_a_fraction_that_is_none_is_refused(manifest, fraction) -> None:
    with pytest.raises(DataError, match="above 0 and at most 1"):
        part_of_training(manifest, fraction)
