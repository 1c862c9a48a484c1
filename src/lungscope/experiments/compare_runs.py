"""Models that exist already, held side by side on the same images."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.data.dataset import Dataset, DataSource, load_for
from lungscope.data.manifest import Manifest, read_manifest
from lungscope.data.pack import pack
from lungscope.errors import ConfigError, LeakageError, ManifestError
from lungscope.evaluation.comparison import Candidate, Cost, compare
from lungscope.evaluation.cost import epochs_s, parameters, score
from lungscope.experiments.compare import machine
from lungscope.experiments.evaluate_run import known_split
from lungscope.reports.leaderboard import Leaderboard, write_leaderboard
from lungscope.reports.summary import repeated_evaluation_warning


def check_inputs(runs: Sequence[Path], recipes: str) -> list[str]:
    """The recipes of a comparison; none where models are compared.

    Raises:
        ConfigError: neither or both are given, or a single model.
    """
    names = [name.strip() for name in recipes.split(",") if name.strip()]
    if names and runs:
        raise ConfigError(
            "Recipes and existing models cannot be compared in one go. Give one DATA with --recipes, or RUN RUN DATA."
        )
    if not names and len(runs) < 2:
        raise ConfigError("Nothing to compare. Give --recipes A,B and DATA, or two models or more before DATA.")
    return names


def compare_runs(runs: Sequence[Path], source: DataSource, out: Path, *, split: str = "test") -> Leaderboard:
    """Predict the same images with every model, compare them, and write the leaderboard.

    Args:
        runs: run folders or model files.
        source: the images, and how their names are read.
        out: folder for leaderboard.html and leaderboard.csv.
        split: which part of the data; data without splits are taken whole.

    Raises:
        ConfigError: the models know different classes.
        LeakageError: a model was trained on some of the images.
        LungscopeError: a model or the data cannot be read.
    """
    bundles = [load_bundle(run) for run in runs]
    classes = bundles[0].card.classes
    for run, bundle in zip(runs, bundles, strict=True):
        if bundle.card.classes != classes:
            raise ConfigError(
                f"{run} tells {', '.join(bundle.card.classes)} apart, and {runs[0]} {', '.join(classes)}. "
                "Compare models of the same classes."
            )
    candidates, notes = [], []
    for name, bundle in zip(_names(runs), bundles, strict=True):
        card = bundle.card
        data = load_for(card, source)
        split = known_split(data, split)
        notes += _refuse_seen(name, bundle, data, split)
        found = score(bundle, data, split)
        notes += (f"{name}: {line}" for line in repeated_evaluation_warning(found.evaluations))
        run = bundle.path.parent
        cost = Cost(parameters(run), epochs_s(run), found.images_per_s, found.milliseconds)
        candidates.append(Candidate(name, (0,), (found.probabilities,), cost))
    chosen = data.manifest.select(data.rows(split))
    board = Leaderboard(
        compare(
            chosen.labels, chosen.patients, classes, candidates,
            has_reference=all(bundle.card.has_reference for bundle in bundles),
        ),
        f"Models that existed already, on {'all images' if split == 'all' else f'the {split} split'}. Each stands "
        "for itself, with one training run; training time is that of its epochs.",
        chosen.fingerprint(), machine(), (*data.notes, *notes),
    )  # fmt: skip
    write_leaderboard(out, board)
    return board


def _names(runs: Sequence[Path]) -> list[str]:
    short = [(run if run.is_dir() else run.parent).resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def _refuse_seen(name: str, bundle: Bundle, data: Dataset, split: str) -> list[str]:
    """Refuse images that the model learned from or was chosen on; a note where that is not known."""
    path = bundle.path.parent / "manifest.csv"
    try:
        known = read_manifest(path)
    except ManifestError:
        return [f"What {name} was trained on is not at hand, so it is not known whether it has seen these images."]
    seen = known.select(np.array([each in ("train", "validation") for each in known.splits]))
    rows = data.rows(split)
    n = _shared(seen, data.manifest.select(rows), data.pixels[rows])
    if n:
        raise LeakageError(
            f"{name} was trained on {n} of the {len(rows)} images, so its figures there mean nothing. Compare on "
            f"other data, or on the test split of the run: {path} with --split test."
        )
    return []


def _shared(seen: Manifest, chosen: Manifest, pixels: NDArray[np.uint8]) -> int:
    """How many of the chosen images are among those seen, by path or by picture."""
    paths, pictures = set(seen.paths), set(_digests(pack(seen.paths, pixels.shape[-1]).pixels))
    pairs = zip(chosen.paths, _digests(pixels), strict=True)
    return sum(path in paths or picture in pictures for path, picture in pairs)


def _digests(pixels: NDArray[np.uint8]) -> Iterator[bytes]:
    return (hashlib.sha256(image.tobytes()).digest() for image in pixels)
