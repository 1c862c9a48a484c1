from collections import Counter

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from lungscope.config.recipe import Recipe
from lungscope.config.settings import HeadSettings, NetworkSettings
from lungscope.errors import ConfigError, DataError
from lungscope.networks.network import Head, Network
from lungscope.training.head import HeadData, train_head
from lungscope.training.imbalance import batches, plan, smote, undo_balance
from lungscope.training.loss import Loss

LABELS = np.array([0] * 30 + [1] * 90 + [2] * 60)
KINDS = ["none", "class-weights", "oversample", "balanced-batches", "focal", "smote"]


def recipe(kind: str, **settings: object) -> Recipe:
    return Recipe(imbalance=kind, **settings)


def test_none_changes_nothing() -> None:
    found = plan(LABELS, 3, recipe("none"))
    assert np.array_equal(found.rows, np.arange(180))
    assert torch.equal(found.factor, torch.ones(3))
    assert (found.sampling, found.smote) == ("shuffled", False)


def test_class_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(plan(LABELS, 3, recipe("class-weights")).loss.weights, expected, rtol=1e-6)


def test_oversampling_makes_all_classes_as_large_as_the_largest() -> None:
    found = plan(LABELS, 3, recipe("oversample"))
    assert Counter(LABELS[found.rows].tolist()) == {0: 90, 1: 90, 2: 90}
    assert np.array_equal(found.rows[: found.originals], np.arange(180))
    times = Counter(found.rows.tolist())
    assert {times[row] for row in range(30)} == {3}
    assert {times[row] for row in range(120, 180)} == {1, 2}


@pytest.mark.parametrize("size", [6, 8, 32])
def test_balanced_batches_hold_the_same_number_of_each_class(size: int) -> None:
    labels = torch.from_numpy(LABELS)
    drawn = batches(labels, size, "balanced", torch.Generator().manual_seed(0))
    for rows in drawn:
        counts = labels[rows].bincount(minlength=3)
        assert len(rows) == size
        assert counts.max() - counts.min() <= 1
    assert sum(map(len, drawn)) == len(LABELS) // size * size
    seen = Counter(torch.cat(drawn).tolist())
    few = [seen[row] for row in range(30)]  # of the smallest class, none is drawn twice before all are drawn once
    assert max(few) - min(few) <= 1


def test_shuffled_batches_hold_every_row_once() -> None:
    drawn = torch.cat(batches(torch.from_numpy(LABELS), 32, "shuffled", torch.Generator().manual_seed(0)))
    assert sorted(drawn.tolist()) == list(range(180))


def test_smote_is_imbalanced_learns() -> None:
    x = np.random.default_rng(0).normal(size=(180, 5)).astype(np.float32)
    found, labels = smote(torch.from_numpy(x), torch.from_numpy(LABELS), 3)
    wanted, wanted_labels = SMOTE(random_state=3).fit_resample(x, LABELS)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(labels, wanted_labels)


def test_smote_refuses_a_class_of_one() -> None:
    with pytest.raises(DataError, match="at least 2 training images of every class. Choose class-weights"):
        smote(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), 0)


def test_focal_loss_is_its_published_formula() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(20, 3), torch.randint(0, 3, (20,))
    p = logits.softmax(1)[torch.arange(20), labels]
    expected = (-((1 - p) ** 2) * p.log()).mean()
    loss = Loss(torch.ones(3), focal_gamma=2.0)
    torch.testing.assert_close(loss(logits, labels), expected)
    torch.testing.assert_close(loss.total(logits, labels) / loss.weight_of(labels), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_loss_is_its_total_over_its_weight(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(20, 3), torch.randint(0, 3, (20,))
    weights = torch.tensor([0.5, 1.0, 4.0])
    loss = Loss(weights, smoothing)
    torch.testing.assert_close(loss.total(logits, labels) / loss.weight_of(labels), loss(logits, labels))
    torch.testing.assert_close(
        loss(logits, labels), functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    )


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_refer_to_the_classes_as_they_occur(kind: str, output: str) -> None:
    """Two overlapping Gaussians, 4 to 1: what is learned is the posterior that logistic regression finds."""
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.2).astype(np.int64)
    x = (rng.normal(size=(3000, 2)) + 0.8 * y[:, None]).astype(np.float32)
    settings = recipe(
        kind, network=NetworkSettings(output=output, pooled_dropout=0.0),
        head=HeadSettings(epochs=60, learning_rate=2e-2, weight_decay=0.0, keep="loss", patience=60),
    )  # fmt: skip
    balance = plan(y, 2, settings)
    torch.manual_seed(0)
    head = Head(2, 2, settings.network)
    train_head(head, HeadData(x[balance.rows][None], y[balance.rows], x, y), settings, balance)
    network = Network(torch.nn.Identity(), head, settings.image)
    undo_balance(network, balance.factor)
    head.eval()
    with torch.no_grad():
        found = head(torch.from_numpy(x)).softmax(1)[:, 1].numpy()
    wanted = LogisticRegression().fit(x, y).predict_proba(x)[:, 1]
    if kind == "focal":  # moderates probabilities, but ranks alike and leaves those near 0.5 where they are
        near = np.abs(wanted - 0.5) < 0.05
        assert np.abs(found - wanted)[near].max() < 0.08
        assert np.corrcoef(np.argsort(np.argsort(found)), np.argsort(np.argsort(wanted)))[0, 1] > 0.99
    else:
        assert np.abs(found - wanted).max() < 0.05
        assert abs(found.mean() - y.mean()) < 0.02


def test_oversampling_by_site_makes_every_class_of_every_site_as_large_as_the_largest() -> None:
    sites = np.array(["a"] * 100 + ["b"] * 80, dtype=object)  # b has no image of class 0
    found = plan(LABELS, 3, recipe("oversample-sites"), sites)
    shown = Counter(zip(sites[found.rows].tolist(), LABELS[found.rows].tolist(), strict=True))
    assert set(shown.values()) == {70}
    assert set(shown) == {("a", 0), ("a", 1), ("b", 1), ("b", 2)}
    # Classes are shown 70, 140 and 70 times and occur 30, 90 and 60 times.
    relative = found.factor / found.factor[0]
    np.testing.assert_allclose(relative, [1, (140 / 90) / (70 / 30), (70 / 60) / (70 / 30)], rtol=1e-6)


def test_oversampling_by_site_without_sites_is_refused() -> None:
    with pytest.raises(ConfigError, match="Add a column 'site'"):
        plan(LABELS, 3, recipe("oversample-sites"))
