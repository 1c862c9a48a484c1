"""A model's predictions of a data set, and what they cost on this machine."""

import csv
import json
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle
from lungscope.data.dataset import Dataset
from lungscope.data.images.radiograph import Radiograph
from lungscope.evaluation.usage import count_evaluation
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor

SINGLES, WARM_UP = 15, 2
"""Images predicted one by one for the median time, after so many that are not counted."""
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Scores:
    """Predictions of the rows asked for, in their order."""

    paths: tuple[Path, ...]
    probabilities: NDArray[np.float32]
    """(N, K), calibrated."""
    images_per_s: float
    milliseconds: float
    """Median time of one image by itself, on all cores."""
    engine: str
    evaluations: int
    """How often this model was evaluated on these images, with this time; 0 when that is not counted."""


def score(bundle: Bundle, data: Dataset, split: str) -> Scores:
    """Predict a split, with the time it takes; pixels are in memory, so decoding is not in it.

    Args:
        bundle: the model.
        data: images of the bundle's size and classes.
        split: "train", "validation", "test" or "all"; it must hold an image.
    """
    rows = data.rows(split)
    chosen, images = data.manifest.select(rows), data.radiographs(rows)
    predictor = Predictor(bundle)
    predictor.assess(images[: 2 * predictor.threads])  # loads the graph
    started = time.perf_counter()
    results = predictor.assess(images)
    seconds = time.perf_counter() - started
    return Scores(
        paths=chosen.paths,
        probabilities=Predictions.of(results).probabilities,
        images_per_s=len(images) / seconds,
        milliseconds=_single(predictor, images),
        engine=str(predictor.engine),
        evaluations=count_evaluation(bundle, split, chosen.fingerprint()),
    )


def parameters(run: Path) -> int | None:
    """How many weights the run's network has, from the header of its safetensors file; None without one."""
    path = run / "weights.safetensors"
    if not path.exists():
        return None
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, list[int]]] = json.loads(file.read(length))
    return sum(
        prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__" and not name.endswith(BUFFERS)
    )


def epochs_s(run: Path) -> float | None:
    """Seconds that the epochs of a run took, from its history; None without one."""
    path = run / "history.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def _single(predictor: Predictor, images: Sequence[Radiograph]) -> float:
    seconds = []
    for i in range(SINGLES + WARM_UP):
        started = time.perf_counter()
        predictor.assess([images[i % len(images)]])
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[WARM_UP:]))
