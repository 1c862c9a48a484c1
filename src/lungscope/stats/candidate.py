"""A way of calibrating that was tried. Apart from the trying, so that a card can be read without SciPy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CalibrationCandidate:
    """A method and how it did on patients it was not fitted on."""

    method: str
    log_loss: float
    """Mean over images, lower is better."""
    behind: float
    """Its log loss minus that of the best."""
    error: float
    """Standard error of that difference, over patients; 0 for the best."""
