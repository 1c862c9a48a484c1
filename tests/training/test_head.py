import numpy as np
import pytest
import torch
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lungscope.config.recipe import Recipe
from lungscope.config.settings import HeadSettings, MixSettings, NetworkSettings
from lungscope.networks.network import Head
from lungscope.training.head import HeadData, train_head
from lungscope.training.imbalance import plan


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    x = rng.normal(3.0, 0.2, (600, 20)) + 0.15 * labels[:, None] * (np.arange(20) < 5)
    x = x.astype(np.float32)
    return (x[:400], labels[:400]), (x[400:], labels[400:])


def fit(problem, seed: int = 0, **settings: object):
    """Probabilities of the held-out rows, and the epochs."""
    (x, y), (held_out, y_held_out) = problem
    recipe = Recipe(**{"imbalance": "none", "seed": seed, "head": HeadSettings(learning_rate=5e-3), **settings})
    torch.manual_seed(seed)
    head = Head(20, 2, recipe.network)
    rows = train_head(head, HeadData(x[None], y, held_out, y_held_out), recipe, plan(y, 2, recipe))
    with torch.inference_mode():
        return head.eval()(torch.from_numpy(held_out)).softmax(1)[:, 1].numpy(), rows


@pytest.mark.parametrize(("hidden", "margin"), [((), 0.01), ((16,), 0.03)])
def test_the_head_ranks_as_well_as_logistic_regression(problem, hidden: tuple[int, ...], margin: float) -> None:
    (x, y), (held_out, y_held_out) = problem
    scores, _ = fit(problem, network=NetworkSettings(hidden=hidden))
    reference = LogisticRegression(max_iter=2000).fit((x - 3) / 0.2, y).decision_function((held_out - 3) / 0.2)
    assert roc_auc_score(y_held_out, scores) > roc_auc_score(y_held_out, reference) - margin


def test_the_kept_weights_are_those_of_the_best_epoch(problem) -> None:
    _, (_, y) = problem
    scores, rows = fit(problem)
    best = max(rows, key=lambda row: (row.validation_auroc, -row.validation_loss))
    # The head now takes raw features, so this also shows that the standardisation was folded in.
    assert roc_auc_score(y, scores) == pytest.approx(best.validation_auroc, abs=2e-4)


def test_it_stops_when_nothing_improves(problem) -> None:
    _, rows = fit(problem, head=HeadSettings(epochs=60, learning_rate=1e-30, patience=8))
    assert len(rows) == 1 + 8  # no weight changes, so the first epoch stays the best


def test_it_goes_on_while_something_improves(problem) -> None:
    _, rows = fit(problem)
    best = rows.index(max(rows, key=lambda row: (row.validation_auroc, -row.validation_loss)))
    assert 0 < best < len(rows) - 1 == best + 8 < 59


def test_the_same_seed_gives_the_same_head(problem) -> None:
    first, again, other = fit(problem, 4)[0], fit(problem, 4)[0], fit(problem, 5)[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mixed_feature_vectors_make_a_less_certain_head_that_ranks_as_well(problem) -> None:
    _, (_, y) = problem
    plain, mixed = (fit(problem, mix=MixSettings(mixup=mixup, cutmix=1.0))[0] for mixup in (0.0, 1.0))
    assert np.std(logit(mixed)) < 0.95 * np.std(logit(plain))
    assert roc_auc_score(y, mixed) > roc_auc_score(y, plain) - 0.01
