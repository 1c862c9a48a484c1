"""A model under stress: parts of the data as other hospitals, corrupted pictures, a far data set, parts left out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.bundle.default_model import is_bundled
from lungscope.config.recipe import Recipe, load_recipe
from lungscope.data.corruption import CORRUPTIONS, corrupt
from lungscope.data.dataset import Dataset, DataSource, load_for
from lungscope.data.strata import Stratum, clusters, find_strata
from lungscope.errors import ConfigError, ManifestError
from lungscope.evaluation.strata import (
    HeldOut,
    Robustness,
    StratumEstimates,
    by_stratum,
    measure,
)
from lungscope.experiments.evaluate_run import known_split
from lungscope.inference.predictor import Predictor
from lungscope.reports.evaluation_json import strata_json
from lungscope.system.files import write_atomically
from lungscope.system.progress import Bar

if TYPE_CHECKING:
    from lungscope.training.leave_out import Features
from lungscope.stats.reference_class import p_abnormal

FILE = "robustness.json"


@dataclass(frozen=True)
class RobustnessReport:
    """What was found about one model."""

    held_out: Robustness
    """Its own held-out predictions, part by part."""
    corrupted: Robustness
    external: StratumEstimates | None
    left_out: Robustness | None
    """Every part, by heads that were trained without it."""
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
        split: the part that the model has not seen.
        external: another data set of the same classes, from elsewhere.
        leave_out: train again without each part, and measure it then; for frozen backbones.
        weights: of the backbone, for `leave_out`.
        device: for `leave_out`.

    Raises:
        ConfigError: the model has no threshold, or `leave_out` does not fit its recipe.
        ManifestError: the data are not there or have other classes.
    """
    bundle = load_bundle(run)
    card = bundle.card
    if not card.operating_points:
        raise ConfigError(
            f"{run}: the model has no operating point, because none of its classes is a reference such as 'normal'. "
            "Name the reference class so, and train again."
        )
    data = load_for(card, source or DataSource(_own_table(bundle)))
    split = known_split(data, split)
    rows, predictor = data.rows(split), Predictor(bundle)
    pixels = np.ascontiguousarray(data.pixels[rows])
    found = predictor.predict(pixels, heatmaps=False, embeddings=True)
    held = data.manifest.select(rows)
    assert found.embeddings is not None  # asked for
    sites = (*find_strata(held), *clusters(found.embeddings, held.labels, card.classes))
    threshold = card.operating_points[0].threshold

    def cases(probabilities: NDArray[np.float32]) -> HeldOut:
        return HeldOut(held.labels > 0, p_abnormal(probabilities.astype(np.float64)), held.patients, threshold)

    result = RobustnessReport(
        by_stratum(cases(found.probabilities), sites),
        Robustness(tuple(_corrupted(predictor, pixels, cases(found.probabilities)))),
        _external(predictor, external, threshold) if external else None,
        _left_out(data, load_recipe(bundle.path.with_name("recipe.toml")), weights, device) if leave_out else None,
        split,
    )
    if not is_bundled(bundle.path):
        text = json.dumps(robustness_document(result), indent=2, allow_nan=False)
        write_atomically(bundle.path.with_name(FILE), text + "\n")
    return result


def _own_table(bundle: Bundle) -> Path:
    table = bundle.path.with_name("manifest.csv")
    if not table.is_file():
        raise ManifestError(
            f"{bundle.path}: the run's manifest.csv is not beside it, so its data are not known. "
            "Name them after the model: lungscope robustness RUN DATA."
        )
    return table


def robustness_document(found: RobustnessReport) -> dict[str, Any]:
    """For robustness.json."""
    return {
        "split": found.split,
        "held_out": strata_json(found.held_out),
        "corrupted": strata_json(found.corrupted),
        "external": strata_json(Robustness((found.external,))) if found.external else None,
        "left_out": strata_json(found.left_out) if found.left_out else None,
    }


def _corrupted(predictor: Predictor, pixels: NDArray[np.uint8], plain: HeldOut) -> Iterator[StratumEstimates]:
    with Bar("Corruptions", len(CORRUPTIONS), "kinds") as bar:
        for corruption in CORRUPTIONS:
            found = predictor.predict(corrupt(pixels, corruption), heatmaps=False)
            changed = HeldOut(
                plain.positive,
                p_abnormal(found.probabilities.astype(np.float64)),
                plain.patients,
                plain.threshold,
            )
            yield measure(f"{corruption.name} ({corruption.severity})", "corruption", changed)
            bar.advance()


def _external(predictor: Predictor, source: DataSource, threshold: float) -> StratumEstimates:
    data = load_for(predictor.card, source)
    found = predictor.predict(np.ascontiguousarray(data.pixels), heatmaps=False)
    cases = HeldOut(
        data.manifest.labels > 0,
        p_abnormal(found.probabilities.astype(np.float64)),
        data.manifest.patients,
        threshold,
    )
    return measure("the external data set", "external", cases)


def _left_out(data: Dataset, recipe: Recipe, weights: str, device: str) -> Robustness:
    from lungscope.training.labelled_images import LabelledImages
    from lungscope.training.leave_out import compute_features

    manifest = data.manifest
    images = LabelledImages.of(data, data.rows("all"))
    features = compute_features(images, len(manifest.classes), recipe, weights=weights, device=device)
    sites = (*find_strata(manifest), *clusters(features.views[0], manifest.labels, manifest.classes))
    found: list[StratumEstimates] = []
    with Bar("Parts left out", len(sites), "parts") as bar:
        for site in sites:
            found += leave_out(features, data, site)
            bar.advance()
    return Robustness(tuple(found))


def leave_out(features: "Features", data: Dataset, site: Stratum) -> Sequence[StratumEstimates]:
    """Figures of one part by a head trained without its patients; none where too little is left.

    Against it stand the images of the other class that are held out by the run's own split.
    """
    from lungscope.experiments.finalize import apply, calibrate, choose_operating_points
    from lungscope.training.leave_out import train_without

    manifest, inside = data.manifest, np.zeros(len(data.manifest), bool)
    inside[site.rows] = True
    theirs = {manifest.patients[row] for row in site.rows}
    away = np.array([patient in theirs for patient in manifest.patients]) | inside
    held = np.isin(np.arange(len(manifest)), np.concatenate((data.rows("test"), _without_test(data))))
    training, validation = (
        np.array([row for row in data.rows(name) if not away[row]], np.int64) for name in ("train", "validation")
    )
    present = [set(manifest.labels[rows]) for rows in (training, validation)]
    if any(len(labels) < len(manifest.classes) for labels in present):
        return ()
    logits = train_without(features, training, validation)
    recipe = features.recipe
    calibration = calibrate(logits[validation], manifest.select(validation), recipe.calibration.method)
    probabilities = apply(calibration, logits)
    goals = dict(list(recipe.operating_points.items())[:1])
    threshold = choose_operating_points(probabilities[validation], manifest.select(validation), goals)[0].threshold
    judged = np.flatnonzero(held | inside)
    cases = HeldOut(
        manifest.labels[judged] > 0, p_abnormal(probabilities[judged].astype(np.float64)),
        tuple(manifest.patients[row] for row in judged), threshold,
    )  # fmt: skip
    share = float((manifest.labels[held] > 0).mean())
    return (measure(site.name, site.kind, cases, np.flatnonzero(inside[judged]), diseased=share),)


def _without_test(data: Dataset) -> NDArray[np.int64]:
    # A run without a test part judges by its validation part.
    return data.rows("validation") if not len(data.rows("test")) else np.array([], np.int64)
