"""Fitting the input check: distance from the training images, and how an image lies.

The distance is Mahalanobis' in a space where pooled features, which are skewed, spread about evenly (their square
root), with a covariance shrunk after Ledoit & Wolf (2004) of which the leading directions are kept and the rest is
taken as round (Tipping & Bishop 1999). The checks are a linear classifier on the leading directions that learned
from the training images themselves, turned and inverted.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.input_check import CHECKS
from lungscope.config.settings import InputCheckSettings
from lungscope.networks.input_check import Array, InputCheckWeights
from lungscope.training.features import Embed, plain_features
from lungscope.training.labelled_images import LabelledImages

MOST_IMAGES = 2048
"""Training images whose embeddings are computed where none are at hand."""
TURNED_IMAGES = 200
"""Training images that are shown in each of the ways that `CHECKS` finds."""
ROUNDING = 0.02
"""Of the mean feature: where the square root becomes a straight line, so that 0 is no singular point."""
RIDGE = 0.01
"""scikit-learn's C of the classifier, on whitened directions."""


def fit_input_check(
    images: LabelledImages,
    embed: Embed,
    settings: InputCheckSettings,
    seed: int,
    embeddings: NDArray[np.float32] | None = None,
) -> InputCheckWeights:
    """Learn an input check from the training images.

    Args:
        images: N of them.
        embed: see `features.embedder`.
        settings: how many directions are kept.
        seed: which images are taken where not all are.
        embeddings: (N, D), of the images as they are, where they were computed before.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:MOST_IMAGES])
    if embeddings is None:
        embeddings = _embeddings(images.pixels, images.rows[chosen], embed)
    weights = _fit_distance(embeddings.astype(np.float64), settings.directions)
    some = images.rows[chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), TURNED_IMAGES)).astype(int)]]
    shown = _shown(images.pixels[some])
    found = _embeddings(shown, np.arange(len(shown)), embed)
    kinds = np.repeat(np.arange(len(CHECKS)), len(some))
    return _fit_checks(weights, found.astype(np.float64), kinds)


def spread(embeddings: Array, rounding: float) -> Array:
    """Signed square root (N, D), straight around 0, as in `InputCheckTail`; PyTorch roots differ in the last bit."""
    root = np.sqrt(np.abs(embeddings) + rounding) - np.sqrt(rounding)
    spread: Array = np.sign(embeddings) * root
    return spread


def _fit_distance(embeddings: Array, directions: int) -> InputCheckWeights:
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.utils.extmath import svd_flip

    rounding = max(ROUNDING * float(np.abs(embeddings).mean()), 1e-9)
    values = spread(embeddings, rounding)
    centre = values.mean(0)
    apart = values - centre
    variances, axes = np.linalg.eigh(apart.T @ apart / len(apart))
    shrinkage = float(ledoit_wolf_shrinkage(apart, assume_centered=True))
    mean = max(float(variances.mean()), 1e-9)
    shrunk = (1 - shrinkage) * np.maximum(variances[::-1], 0) + shrinkage * mean + 1e-6 * mean
    r = min(directions, len(shrunk) - 1) or 1
    rest = float(shrunk[r:].mean()) if len(shrunk) > r else mean
    none = np.zeros((len(CHECKS), r))
    # An eigenvector has no sign of its own; the largest entry decides, so that a library cannot.
    leading, _ = svd_flip(axes[:, ::-1][:, :r], None)
    return InputCheckWeights(rounding, centre, leading, shrunk[:r], rest, none, none[:, 0])


def _fit_checks(weights: InputCheckWeights, embeddings: Array, kinds: NDArray[np.int64]) -> InputCheckWeights:
    from sklearn.linear_model import LogisticRegression

    scores = (spread(embeddings, weights.rounding) - weights.centre) @ weights.directions
    fitted = LogisticRegression(C=RIDGE, max_iter=1000).fit(scores / np.sqrt(weights.variances), kinds)
    return replace(weights, slopes=fitted.coef_, offsets=fitted.intercept_)


def _shown(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, S, S) in each of the ways of `CHECKS`, one after the other; sideways to either side in turn."""
    sideways = np.rot90(pixels, 1, (1, 2)).copy()
    sideways[1::2] = np.rot90(pixels[1::2], -1, (1, 2))
    return np.concatenate((pixels, pixels[:, ::-1, ::-1], sideways, 255 - pixels))


def _embeddings(pixels: NDArray[np.uint8], rows: NDArray[np.int64], embed: Embed) -> NDArray[np.float32]:
    return plain_features(LabelledImages(pixels, np.zeros(len(pixels), np.int64), rows), embed)
