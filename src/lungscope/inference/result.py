"""What is found in one image."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RESEARCH_USE = "Research use only. Not a medical device."


@dataclass(frozen=True)
class Decision:
    """What probabilities come to at an operating point."""

    finding: str
    p_abnormal: float | None
    """Probability that the image is not of the reference class; None where no class is one."""
    operating_point: str = ""
    threshold: float | None = None
    """Both empty where the likeliest class is the finding."""


@dataclass(frozen=True)
class ImageResult:
    """One image: what was found, or the reason why nothing was.

    What is not assessed keeps its decision for programs, which must look at `not_assessed` first.
    """

    source: Path | None = None
    """The file; None for an image that was in memory."""
    probabilities: tuple[float, ...] = ()
    """(K,), calibrated; empty for a file that could not be read."""
    logits: tuple[float, ...] = field(default=(), repr=False)
    """(K,), before calibration."""
    decision: Decision | None = None
    notes: tuple[str, ...] = ()
    """What was done to the image before the model saw it."""
    error: str = ""
    """Why the file could not be read; empty when it could."""
    not_assessed: str = ""
    """Why the input check rejects the image, in plain words; empty when it does not."""
    distance: float | None = None
    """Squared Mahalanobis distance per dimension from the training images; None without an input check."""
    prediction_set: tuple[str, ...] | None = None
    """Classes that cannot be ruled out at the error rate asked for; None when none was."""
    heatmaps: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """(K, h, w), one for each class; None unless asked for."""
    embedding: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """(D,), pooled features; None unless asked for."""
    checks: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """(C,), probabilities of how the image lies, named in the card's input check; None without one."""

    @property
    def finding(self) -> str | None:
        """The class decided for; None for what could not be read or is not assessed."""
        return self.decision.finding if self.decision and not self.not_assessed else None

    @property
    def p_abnormal(self) -> float | None:
        """Probability that the image is not of the reference class; None where no class is one."""
        return self.decision.p_abnormal if self.decision else None

    @property
    def abnormality_heatmap(self) -> NDArray[np.float32] | None:
        """(h, w), the evidence for any class but the reference, whichever way the decision went.

        Where no class is a reference it is the evidence for the likeliest class.
        """
        if self.heatmaps is None:
            return None
        if self.p_abnormal is None:
            likeliest: NDArray[np.float32] = self.heatmaps[int(np.argmax(self.probabilities))]
            return likeliest
        strongest: NDArray[np.float32] = self.heatmaps[1:].max(0)
        return strongest
