"""Hard examples: images that a head gets wrong unless it was trained on their patients; training shows them more often.

Among the normals those are often the few that were photographed as the pneumonias were, and the other way
round: what breaks the rule that a device or ward tells the class. Showing them more often is "Just train
twice" (Liu et al. 2021); the first training is a linear head on the features of a frozen backbone here, cross-fitted
by patient, so that no image is predicted by a head that learned it by heart.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe
from lungscope.errors import DataError
from lungscope.system.progress import note

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FOLDS = 5
PENALTY = 1e-3
"""C of the logistic regression; a strong penalty, for there are about as many features as images."""


def cross_fitted(
    features: NDArray[np.float32], labels: NDArray[np.int64], patients: NDArray[np.object_], seed: int
) -> NDArray[np.float64]:
    """Probability (N,) of each image's own class, by a head that has not seen its patient.

    Args:
        features: (N, C).
        labels: (N,).
        patients: (N,).
        seed: of the folds.

    Raises:
        DataError: a class has fewer patients than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    for label in np.unique(labels):
        if (n := len(set(patients[labels == label]))) < FOLDS:
            raise DataError(
                f"A class has {n} patients, and {FOLDS} are needed to find hard examples. "
                "Add patients, or train without with --set hard_examples=0."
            )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(linear_head(), features, labels, groups=patients, cv=folds, method="predict_proba")
    own: NDArray[np.float64] = found[np.arange(len(labels)), np.searchsorted(np.unique(labels), labels)]
    return own


def linear_head() -> "Pipeline":
    """A logistic regression on standardised features, for classes of any size."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=2000))


def copies(own: NDArray[np.float64], times: float, seed: int) -> NDArray[np.int64]:
    """Positions to show once more: `times` copies of an image that is surely wrong, fewer in proportion.

    Args:
        own: (N,), probability of each image's own class.
        times: copies where it is 0.
        seed: decides about the fractions.
    """
    wanted = times * (1 - own)
    more = np.random.default_rng(seed).random(len(own)) < wanted % 1
    return np.repeat(np.arange(len(own)), wanted.astype(np.int64) + more)


def hard_example_copies(
    features: NDArray[np.float32], labels: NDArray[np.int64], patients: NDArray[np.object_], recipe: Recipe
) -> NDArray[np.int64]:
    """Positions of the images that a recipe shows once more, repeated as often as they are; notes how many.

    Args:
        features: (N, C), of the images as they are.
        labels: (N,).
        patients: (N,).
        recipe: its `hard_examples` and `seed` count here.

    Raises:
        DataError: as `cross_fitted`.
    """
    if not recipe.hard_examples:
        return np.array([], np.int64)
    own = cross_fitted(features, labels, patients, recipe.seed)
    more = copies(own, recipe.hard_examples, recipe.seed)
    note(
        f"{(own < 0.5).sum()} of {len(own)} training images are hard: heads that had not seen their patients got them "
        f"wrong. {len(more)} copies of these and of uncertain ones are shown besides."
    )
    return more
