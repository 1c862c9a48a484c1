"""Whether the model may assess an image: a frontal chest radiograph like those it was trained on.

Three kinds of check, in this order: what the file says of itself, whether there is a picture at all, and what the
graph says of it (`distance` from the training images and `checks` of how it lies). NumPy only: `predict` loads it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.data.images.radiograph import Radiograph
from lungscope.errors import ConfigError
from lungscope.stats.conformal import quantile
from lungscope.stats.patients import Patients, count_patients

INPUT_CHECK_OUTPUTS = ("distance", "checks")
"""What a graph with an input check puts out for it: (N,) and (N, C), float32."""
ENLARGED = 4
"""Times that a picture may be enlarged to the model's input: 40 pixels made 160 cost 8 points of accuracy."""
LONGEST_SHAPE = 4.0
"""Longer side by shorter; radiographs of the lungs stay below 3.5."""
FAINTEST = 4.0
"""Standard deviation of the grey levels, of 255, below which a picture counts as blank."""
UNRELATED = 4.0
"""Times the accepted distance from which a picture is something else altogether, however it lies."""
COVERAGES = (0.9, 0.95, 0.98, 0.99, 0.995)
"""For which a bundle keeps the accepted distance, besides its own."""
SHARE_OF_CHECKS = 0.25
"""Of the images that the input check may reject on validation, how many the checks of how an image lies may take."""
CERTAIN = 0.9
"""Probability from which a check is given as the reason why a picture is unlike the training images."""
UPRIGHT = "upright"
WORDS = {
    "upside-down": "the picture seems to be upside down",
    "sideways": "the picture seems to lie on its side",
    "inverted": "black and white seem to be exchanged",
}
"""What each check found, for people."""
CHECKS = (UPRIGHT, *WORDS)
"""Columns of the graph's `checks`, in their order."""


@dataclass(frozen=True)
class Level:
    """Largest distance that is accepted when so large a share of validation images is to be assessed."""

    coverage: float
    distance: float


@dataclass(frozen=True)
class InputCheck:
    """How the graph's outputs `distance` and `checks` decide; chosen on validation images."""

    coverage: float
    """Share of validation images that are assessed; the default."""
    levels: tuple[Level, ...]
    checks: tuple[str, ...]
    """Names of the columns of `checks`, which are probabilities; the first is `UPRIGHT`."""
    largest_p_not_upright: float
    """An image whose probability of lying otherwise than upright, or of being inverted, is above this is rejected."""
    images: int
    patients: int
    """Validation images behind the levels, and whose they are."""

    def limit(self, coverage: float | None = None) -> float:
        """Largest accepted distance at a coverage, by default the input check's own.

        Raises:
            ConfigError: a coverage that the bundle does not keep.
        """
        wanted = self.coverage if coverage is None else coverage
        for level in self.levels:
            if abs(level.coverage - wanted) < 1e-9:
                return level.distance
        known = ", ".join(f"{level.coverage:g}" for level in self.levels)
        raise ConfigError(f"The model's input check keeps no limit for coverage {wanted:g}. It has: {known}.")

    def reasons(
        self, distances: NDArray[np.float32], checks: NDArray[np.float32] | None = None, coverage: float | None = None
    ) -> tuple[str, ...]:
        """Why each image is not assessed, in plain words; empty where it is.

        Of the graph: distances (N,) and checks (N, C), None when it has none; `coverage` is one of the levels.
        """
        limit, n = self.limit(coverage), len(distances)
        shown = np.ones((n, 1)) if checks is None else checks
        # NaN is not below any limit, and must not pass.
        passed = (distances <= limit) & (1 - shown[:, 0] <= self.largest_p_not_upright)
        return tuple("" if passed[i] else self._words(shown[i], float(distances[i]), limit) for i in range(n))

    def _words(self, shown: NDArray[np.floating], distance: float, limit: float) -> str:
        likeliest = int(shown.argmax())
        if likeliest and distance <= UNRELATED * limit and (shown[likeliest] >= CERTAIN or distance <= limit):
            return WORDS.get(self.checks[likeliest], self.checks[likeliest])
        return f"unlike the images the model was trained on (distance {distance:.2f}, accepted up to {limit:.2f})"


def calibrate_input_check(
    distances: NDArray[np.float32],
    checks: NDArray[np.float32],
    names: tuple[str, ...],
    patients: Patients,
    coverage: float,
) -> InputCheck:
    """Choose limits on validation images so that a stated share of them passes all checks.

    A check rejects only what is more likely lying wrongly than not. Limits are conformal quantiles: a new image
    like the validation images passes with at least the stated probability. Where these are too few for that, the
    limit is the largest distance seen.

    Args:
        distances: (N,).
        checks: (N, C), probabilities; the first column is `UPRIGHT`.
        names: of the columns.
        patients: (N,), whose each image is.
        coverage: the default share.
    """
    not_upright = 1 - checks[:, 0].astype(np.float64)
    tail = quantile(not_upright, 1 - SHARE_OF_CHECKS * (1 - coverage))
    largest_p = max(0.5, min(tail, float(not_upright.max())))
    # What the checks reject is beyond every distance, so that both together keep the share.
    remaining = np.where(not_upright <= largest_p, distances.astype(np.float64), np.inf)
    largest = float(np.max(remaining, where=np.isfinite(remaining), initial=0.0))
    levels = [Level(share, min(quantile(remaining, share), largest)) for share in sorted({*COVERAGES, coverage})]
    return InputCheck(coverage, tuple(levels), names, largest_p, len(distances), count_patients(patients))


def rejection_reason(radiograph: Radiograph, size: int) -> str:
    """Why a picture cannot be a frontal chest radiograph by its file and its grey levels; empty when it can.

    `size` is the side of the model's input, in pixels.
    """
    if radiograph.foreign:
        return radiograph.foreign
    short, long = sorted((radiograph.width, radiograph.height))
    if ENLARGED * short < size:
        least = -(-size // ENLARGED)
        return f"too small ({radiograph.width} × {radiograph.height} pixels; {least} a side are the least)"
    if long > LONGEST_SHAPE * short:
        return f"too long and narrow for a chest radiograph ({radiograph.width} × {radiograph.height} pixels)"
    if float(radiograph.pixels.std()) < FAINTEST:
        return "blank: the picture has hardly any contrast"
    return ""
