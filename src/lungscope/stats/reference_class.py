"""The reference class, such as "normal": the first one, which all others are told from. NumPy only."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating[Any])


def p_abnormal(probabilities: NDArray[Float]) -> NDArray[Float]:
    """Probability (N,) of not being of the reference class, which the caller knows to be one.

    Args:
        probabilities: (N, K), calibrated. Of two classes it is the second column to the bit, not 1 minus the first.
    """
    columns = probabilities[:, 1] if probabilities.shape[1] == 2 else 1 - probabilities[:, 0]
    clipped: NDArray[Float] = np.clip(columns, 0, 1)  # a sum of probabilities is 1 but for rounding
    return clipped


def ranking_score(probabilities: NDArray[Float], *, has_reference: bool) -> NDArray[Float]:
    """What images (N, K) are ranked and watched for drift by: p_abnormal, else the likeliest class' probability."""
    likeliest: NDArray[Float] = probabilities.max(axis=1)
    return p_abnormal(probabilities) if has_reference else likeliest
