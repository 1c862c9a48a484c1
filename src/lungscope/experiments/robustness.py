"""How far a model holds: strata of its data, corrupted pictures, an external data set, strata left out of training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.bundle.default_model import is_bundled
from lungscope.config.recipe import load_recipe
from lungscope.data.corruption import CORRUPTIONS, corrupt
from lungscope.data.dataset import Dataset, DataSource, load_for
from lungscope.data.manifest import Manifest
from lungscope.data.strata import Stratum, clusters, find_strata
from lungscope.errors import ConfigError, ManifestError
from lungscope.evaluation.strata import HeldOut, Robustness, StratumEstimates, by_stratum, measure
from lungscope.experiments.evaluate_run import known_split
from lungscope.experiments.finalize import apply, calibrate, choose_operating_points
from lungscope.inference.predictor import Predictor
from lungscope.reports.evaluation_json import strata_json
from lungscope.stats.patients import patient_index
from lungscope.system.files import write_atomically
from lungscope.system.progress import track

if TYPE_CHECKING:
    from lungscope.training.leave_out import Features

FILE = "robustness.json"


@dataclass(frozen=True)
class RobustnessReport:
    """What was found about one model."""

    held_out: Robustness
    """Its own held-out predictions, stratum by stratum."""
    corrupted: Robustness
    external: StratumEstimates | None
    left_out: Robustness | None
    """Every stratum, by heads that were trained without it."""
    split: str


def measure_robustness(
    run: Path,
    source: DataSource | None = None,
    *,
    split: str = "test",
    external: DataSource | None = None,
    leave_out: bool = False,
    weights: str = "imagenet",
    device: str = "auto",
) -> RobustnessReport:
    """Measure a run where its data differ most, and write robustness.json beside its model, but never into the package.

    Args:
        run: a run folder.
        source: the data as the run split them; its own manifest.csv when not given.
        split: the images that the model has not seen.
        external: another data set of the same classes, from elsewhere.
        leave_out: train again without each stratum, and measure it then; for frozen backbones.
        weights: of the backbone, for `leave_out`.
        device: for `leave_out`.

    Raises:
        ConfigError: the model has no threshold, or `leave_out` does not fit its recipe.
        ManifestError: the data are not there or have other classes.
    """
    bundle = load_bundle(run)
    if not bundle.card.operating_points:
        raise ConfigError(
            f"{run}: the model has no operating point, because none of its classes is a reference such as 'normal'. "
            "Name the reference class so, and train again."
        )
    data = load_for(bundle.card, source or DataSource(_own_table(bundle)))
    split = known_split(data, split)
    rows, predictor = data.rows(split), Predictor(bundle)
    held, pixels = data.manifest.select(rows), np.ascontiguousarray(data.pixels[rows])
    result = RobustnessReport(
        _held_out(predictor, held, pixels),
        _corrupted(predictor, held, pixels),
        _external(predictor, external) if external else None,
        _left_out(bundle, data, weights, device) if leave_out else None,
        split,
    )
    if not is_bundled(bundle.path):
        text = json.dumps(robustness_document(result), indent=2, allow_nan=False)
        write_atomically(bundle.path.with_name(FILE), text + "\n")
    return result


def robustness_document(found: RobustnessReport) -> dict[str, Any]:
    """For robustness.json."""
    return {
        "split": found.split,
        "held_out": strata_json(found.held_out),
        "corrupted": strata_json(found.corrupted),
        "external": strata_json(Robustness((found.external,))) if found.external else None,
        "left_out": strata_json(found.left_out) if found.left_out else None,
    }


def _own_table(bundle: Bundle) -> Path:
    table = bundle.path.with_name("manifest.csv")
    if not table.is_file():
        raise ManifestError(
            f"{bundle.path}: the run's manifest.csv is not beside it, so its data are not known. "
            "Name them after the model: lungscope robustness RUN DATA."
        )
    return table


def _held_out(predictor: Predictor, held: Manifest, pixels: NDArray[np.uint8]) -> Robustness:
    card, found = predictor.card, predictor.predict(pixels, heatmaps=False, embeddings=True)
    assert found.embeddings is not None  # asked for
    strata = (*find_strata(held), *clusters(found.embeddings, held.labels, card.classes))
    return by_stratum(HeldOut.of(held, found.probabilities, card.operating_points[0].threshold), strata)


def _corrupted(predictor: Predictor, held: Manifest, pixels: NDArray[np.uint8]) -> Robustness:
    kinds = track(CORRUPTIONS, "Corruptions", len(CORRUPTIONS), "kinds")
    names = ((f"{each.name} ({each.severity})", corrupt(pixels, each)) for each in kinds)
    return Robustness(tuple(measure(name, "corruption", _cases(predictor, held, shown)) for name, shown in names))


def _external(predictor: Predictor, source: DataSource) -> StratumEstimates:
    data = load_for(predictor.card, source)
    cases = _cases(predictor, data.manifest, np.ascontiguousarray(data.pixels))
    return measure("the external data set", "external", cases)


def _cases(predictor: Predictor, manifest: Manifest, pixels: NDArray[np.uint8]) -> HeldOut:
    found = predictor.predict(pixels, heatmaps=False)
    return HeldOut.of(manifest, found.probabilities, predictor.card.operating_points[0].threshold)


def _left_out(bundle: Bundle, data: Dataset, weights: str, device: str) -> Robustness:
    from lungscope.training.labelled_images import LabelledImages
    from lungscope.training.leave_out import compute_features

    manifest, recipe = data.manifest, load_recipe(bundle.path.with_name("recipe.toml"))
    images = LabelledImages.of(data, data.rows("all"))
    features = compute_features(images, len(manifest.classes), recipe, weights=weights, device=device)
    strata = (*find_strata(manifest), *clusters(features.views[0], manifest.labels, manifest.classes))
    found: list[StratumEstimates] = []
    for stratum in track(strata, "Strata left out", len(strata), "strata"):
        found += _without(features, data, stratum)
    return Robustness(tuple(found))


def _without(features: "Features", data: Dataset, stratum: Stratum) -> Sequence[StratumEstimates]:
    """Estimates of one stratum by a head trained without its patients; none where too little is left.

    Against it stand the images of the other class that are held out by the run's own split.
    """
    from lungscope.training.leave_out import train_without

    manifest, recipe, patients = data.manifest, features.recipe, patient_index(data.manifest.patients)
    inside = np.isin(np.arange(len(manifest)), stratum.rows)
    held = np.array(manifest.splits) == manifest.held_out
    away = np.flatnonzero(np.isin(patients, patients[inside]))
    training, validation = (np.setdiff1d(data.rows(name), away) for name in ("train", "validation"))
    if any(len(set(manifest.labels[rows])) < len(manifest.classes) for rows in (training, validation)):
        return ()
    logits, chosen = train_without(features, training, validation), manifest.select(validation)
    calibration = calibrate(logits[validation], chosen, recipe.calibration.method)
    probabilities = apply(calibration, logits)
    goals = dict(list(recipe.operating_points.items())[:1])
    threshold = choose_operating_points(probabilities[validation], chosen, goals)[0].threshold
    tested = np.flatnonzero(held | inside)
    cases = HeldOut.of(manifest.select(tested), probabilities[tested], threshold)
    share = float((manifest.labels[held] > 0).mean())
    return (measure(stratum.name, stratum.kind, cases, np.flatnonzero(inside[tested]), diseased=share),)
