"""How fast a model is on this machine, from pixels in memory, with heat maps."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle
from lungscope.inference.predictor import Predictor

MANY, WARM_UP, SINGLES = 256, 32, 30


@dataclass(frozen=True)
class Speed:
    """Of one model."""

    images_per_s: float
    """Of many images, on all cores."""
    milliseconds: float
    """Median of one image, on all cores."""
    engine: str


def measure_speed(bundle: Bundle, pixels: NDArray[np.uint8]) -> Speed:
    """Time a model on images (N, S, S), which are repeated where they are few."""
    predictor = Predictor(bundle)
    many = np.resize(pixels, (MANY, *pixels.shape[1:]))
    predictor.predict(many[:WARM_UP])
    started = time.perf_counter()
    predictor.predict(many)
    seconds = time.perf_counter() - started
    singles = [_seconds(predictor, many[i : i + 1]) for i in range(WARM_UP + SINGLES)]
    return Speed(MANY / seconds, 1000 * float(np.median(singles[WARM_UP:])), str(predictor.engine))


def _seconds(predictor: Predictor, image: NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    predictor.predict(image)
    return time.perf_counter() - started
