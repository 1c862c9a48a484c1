"""Hard examples are found by heads that have not seen their patients, and are shown more often."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lungscope.config.recipe import load_recipe
from lungscope.errors import ConfigError, DataError
from lungscope.system.progress import show_progress
from lungscope.training.hard_examples import copies, cross_fitted, hard_example_copies
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.train import train

SMALL = (
    "network.backbone=cnn-4", "image.size=32", "head.epochs=3", "head.augmented_views=2", "head.batch=16",
    "finetune.batch=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def shortcut() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (400, 3): a device that tells the class but for 20 images, and noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    device = np.where(np.isin(np.arange(400), [*range(10), *range(200, 210)]), 1 - labels, labels)
    features = rng.normal(size=(400, 3)) * 0.3 + np.stack((3 * device, 0 * device, 0 * device), axis=1)
    return features.astype(np.float32), labels, np.array([f"p{i // 2}" for i in range(400)], dtype=object)


def test_those_that_break_the_rule_are_hard(shortcut) -> None:
    own = cross_fitted(*shortcut, seed=0)
    assert set(np.flatnonzero(own < 0.5)) == {*range(10), *range(200, 210)}


def test_no_head_has_seen_the_patient(shortcut) -> None:
    """Labels of chance are predicted no better than by chance, though each patient has two equal images."""
    rng = np.random.default_rng(1)
    labels, patients = np.repeat(rng.integers(0, 2, 200), 2), np.repeat(np.arange(200), 2).astype(object)
    features = np.repeat(rng.normal(size=(200, 300)), 2, axis=0).astype(np.float32)
    assert abs(float((cross_fitted(features, labels, patients, 0) > 0.5).mean()) - 0.5) < 0.1


def test_a_fold_is_what_scikit_learn_gives(shortcut) -> None:
    """Each probability is that of the head that was fitted without the image's fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    features, labels, patients = shortcut
    own = cross_fitted(features, labels, patients, seed=3)
    seen, unseen = next(StratifiedGroupKFold(5, shuffle=True, random_state=3).split(features, labels, patients))
    scale = StandardScaler().fit(features[seen])
    head = LogisticRegression(C=1e-3, class_weight="balanced", max_iter=2000)
    head.fit(scale.transform(features[seen]), labels[seen])
    expected = head.predict_proba(scale.transform(features[unseen]))[np.arange(len(unseen)), labels[unseen]]
    assert_allclose(own[unseen], expected)


def test_copies_are_in_proportion_and_of_the_seed() -> None:
    own = np.array([0.0, 1.0, 0.5, 0.99] * 500)
    rows = copies(own, 10.0, seed=0)
    counts = np.bincount(rows, minlength=len(own)).reshape(-1, 4)
    assert (counts[:, 0] == 10).all()
    assert (counts[:, 1] == 0).all()
    assert (counts[:, 2] == 5).all()
    assert abs(counts[:, 3].mean() - 0.1) < 0.04
    assert (rows == copies(own, 10.0, seed=0)).all()


def test_a_class_of_few_patients_is_refused_in_plain_words(shortcut) -> None:
    features, labels, _ = shortcut
    with pytest.raises(DataError, match="A class has 4 patients.*--set hard_examples=0"):
        cross_fitted(features, labels, np.array([f"p{i % 4}" for i in range(400)], dtype=object), 0)


def test_a_recipe_without_it_adds_none(shortcut) -> None:
    assert len(hard_example_copies(*shortcut, load_recipe("scratch", SMALL))) == 0


def test_a_recipe_without_a_first_phase_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hard_examples = 10.0.*first phase"):
        load_recipe("default", ["hard_examples=10.0", "head.epochs=0", "finetune.epochs=1"])


@pytest.fixture(scope="module")
def images() -> tuple[LabelledImages, LabelledImages]:
    """Dark and bright noise; six of either class are like the other one."""
    rng, labels = np.random.default_rng(0), np.arange(160) % 2
    bright = np.where(np.arange(160) < 12, 1 - labels, labels)
    pixels = (rng.integers(0, 120, (160, 32, 32)) + 100 * bright[:, None, None]).astype(np.uint8)
    owners = np.array([f"p{i}" for i in range(160)], dtype=object)
    return tuple(LabelledImages(pixels, labels, rows, owners) for rows in np.split(np.arange(160), [120]))


@pytest.mark.parametrize("phase", ["finetune.epochs=0", "finetune.epochs=1"])
def test_both_phases_see_the_copies(images, phase) -> None:
    recipes = [load_recipe("scratch", [*SMALL, phase, f"hard_examples={times}"]) for times in (0.0, 8.0)]
    plain, more = (train(*images, 2, recipe, device="cpu") for recipe in recipes)
    assert more.history[-1].train_loss != plain.history[-1].train_loss
    again = train(*images, 2, recipes[1], device="cpu")
    states = [trained.network.state_dict().values() for trained in (more, again)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("shown", [True, False])
def test_how_many_are_hard_is_told_where_progress_is_shown(shortcut, shown: bool, capsys) -> None:
    with show_progress(shown):
        more = hard_example_copies(*shortcut, load_recipe("scratch", [*SMALL, "hard_examples=8.0"]))
    told = f"20 of 400 training images are hard: heads that had not seen their patients got them wrong. {len(more)} "
    captured = capsys.readouterr()
    assert (told in captured.err) == shown
    assert captured.out == ""
