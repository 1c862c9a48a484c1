"""Several models of one split as one model."""

import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, bundle_bytes, load_bundle
from lungscope.bundle.card import Calibration, Card, Parity
from lungscope.bundle.input_check import InputCheck, calibrate_input_check
from lungscope.bundle.validation_summary import summarise
from lungscope.data.dataset import Dataset, DataSource, load_for
from lungscope.data.manifest import write_csv
from lungscope.errors import BundleError, ConfigError
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.evaluation.validation import validation_outcome
from lungscope.experiments.evaluate_run import Evaluated, evaluate_bundle
from lungscope.experiments.train_run import (
    PARITY_IMAGES,
    apply,
    calibrate,
    choose_operating_points,
)
from lungscope.experiments.training_run import held_out
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor
from lungscope.runtime.engine import choose_engine
from lungscope.runtime.session import open_session
from lungscope.stats.conformal import fit_conformal
from lungscope.stats.reference_class import p_abnormal, ranking_score
from lungscope.system.files import claim_folder, write_atomically

TOLERANCE = 1e-4
VERSIONED = ("lungscope", "onnx", "onnxruntime", "numpy")


def build_ensemble(runs: Sequence[Path], out: Path, *, force: bool = False) -> Evaluated:
    """Average models into one, calibrate it on their common validation split, and evaluate it.

    The result is a run folder like any other.

    Args:
        runs: run folders, of the same classes, input size and split.
        out: the run folder to fill.
        force: replace a former run in `out`.

    Raises:
        ConfigError: fewer than two members, or they do not fit together.
        BundleError: a member cannot be read, or the graph differs from the average of its members.
    """
    bundles = [load_bundle(run) for run in runs]
    data = common_data(runs, bundles)
    claim_folder(out, force=force)
    members = _members(bundles, data)
    logits = _average(bundles, members)
    validation = data.manifest.select(data.rows("validation"))
    calibration = calibrate(logits, validation, "auto")
    settings = tomllib.loads(bundles[0].card.recipe)
    probabilities = apply(calibration, logits)
    points = choose_operating_points(probabilities, validation, settings.get("operating_points", {}))
    input_check = _input_check(bundles, members, validation.patients)
    graph, parity = _merge(bundles, calibration, members, logits, data, points[0].threshold if points else 0.5)
    recipe = _recipe(bundles, settings)
    card = Card(
        classes=data.manifest.classes,
        size=bundles[0].card.size,
        operating_points=points,
        calibration=calibration,
        recipe=recipe,
        recipe_name="ensemble",
        versions={name: version(name) for name in VERSIONED},
        data=bundles[0].card.data,
        parity=(parity,),
        validation=summarise(
            ranking_score(probabilities, has_reference=bool(points)),
            np.concatenate([_embeddings(each) for each in members], axis=1),
            validation.labels > 0 if points else None,
            validation.patients,
            validation_outcome(
                validation.labels,
                probabilities,
                validation.patients,
                validation.classes,
                has_reference=bool(points),
            ),
        ),
        input_check=input_check,
        conformal=fit_conformal(validation.labels, probabilities),
    )
    write_atomically(out / "recipe.toml", recipe)
    write_csv(data.manifest, out / "manifest.csv")
    write_atomically(out / "model.onnx", bundle_bytes(graph, card))
    return evaluate_bundle(load_bundle(out), data, out, EvaluationOptions(held_out(data.manifest)))


def common_data(runs: Sequence[Path], bundles: Sequence[Bundle]) -> Dataset:
    """The data set that all members were trained on, with the same split.

    Raises:
        ConfigError: fewer than two members, or of other classes, input size, data or split.
        BundleError: the table of the first is not the one it was trained with.
    """
    if len(bundles) < 2:
        raise ConfigError("An ensemble needs at least two run folders. Name more.")
    for what, remedy in (
        ("classes", "Train them on the same classes."),
        ("size", "Train one again with --set image.size of the other."),
        ("fingerprint", "Train them on one split, as the seeds of 'lungscope compare' are."),
    ):
        values = [_property(each, what) for each in bundles]
        for run, value in zip(runs, values, strict=True):
            if value != values[0]:
                name = {"size": "input size", "fingerprint": "data or split"}.get(what, what)
                shown = "" if what == "fingerprint" else f" ({_shown(values[0])} and {_shown(value)})"
                raise ConfigError(f"{runs[0]} and {run} differ in {name}{shown}. {remedy}")
    table = bundles[0].path.parent / "manifest.csv"
    card = bundles[0].card
    data = load_for(card, DataSource(table))
    if data.manifest.fingerprint() != card.data.get("fingerprint"):
        raise ConfigError(f"{table}: not the table the model was trained with. Restore it, or train again.")
    return data


def _property(bundle: Bundle, what: str) -> object:
    return bundle.card.data.get(what) if what == "fingerprint" else getattr(bundle.card, what)


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _members(bundles: Sequence[Bundle], data: Dataset) -> list[Predictions]:
    """What each member says of the validation images."""
    pixels = np.ascontiguousarray(data.pixels[data.rows("validation")])
    predictors = [Predictor(each, runtime="onnxruntime", precision="fp32") for each in bundles]
    return [each.predict(pixels, embeddings=True) for each in predictors]


def _average(bundles: Sequence[Bundle], members: Sequence[Predictions]) -> NDArray[np.float32]:
    """Mean of the members' calibrated logits, (N, K)."""
    each = [
        bundle.card.calibration.scale * found.logits + np.array(bundle.card.calibration.shift or 0.0)
        for bundle, found in zip(bundles, members, strict=True)
    ]
    return np.asarray(np.mean(each, axis=0), np.float32)


def _merge(
    bundles: Sequence[Bundle],
    calibration: Calibration,
    members: Sequence[Predictions],
    logits: NDArray[np.float32],
    data: Dataset,
    threshold: float,
) -> tuple[bytes, Parity]:
    """The graph, held against the average of its members."""
    from lungscope.networks.onnx_ensemble import average_heatmaps, merge_graphs

    graph = merge_graphs(
        [each.graph for each in bundles], [each.card.calibration for each in bundles], calibration,
        _limits(bundles),
    )  # fmt: skip
    n = min(PARITY_IMAGES, len(logits))
    pixels = np.ascontiguousarray(data.pixels[data.rows("validation")[:n]])
    engine = choose_engine("onnxruntime", "fp32")
    found, heat = open_session(graph, engine, threads=1).run([pixels], ["probabilities", "heatmap"])
    wanted = apply(calibration, logits[:n])
    maps = average_heatmaps([each.heatmaps[:n] for each in members if each.heatmaps is not None])
    difference, warmth = float(np.abs(found - wanted).max()), float(np.abs(heat - maps).max())
    if not difference <= TOLERANCE or not warmth <= 10 * TOLERANCE:
        raise BundleError(
            f"The merged graph differs from the average of its members by {difference:.2g} in probability and "
            f"{warmth:.2g} in heat (accepted: {TOLERANCE:.0e}, {10 * TOLERANCE:.0e}). Nothing was written; report it."
        )
    flips = int(((p_abnormal(found.astype(np.float64)) >= threshold) != (p_abnormal(wanted) >= threshold)).sum())
    return graph, Parity(str(engine), n, difference, flips)


def _limits(bundles: Sequence[Bundle]) -> list[float]:
    """Largest distances that the members accept; none unless all have an input check."""
    gates = [each.card.input_check for each in bundles if each.card.input_check]
    return [input_check.limit() for input_check in gates] if len(gates) == len(bundles) else []


def _input_check(
    bundles: Sequence[Bundle], members: Sequence[Predictions], patients: Sequence[str]
) -> InputCheck | None:
    """The ensemble's own input check on the validation images, over what its graph will compute of them."""
    limits, first = _limits(bundles), bundles[0].card.input_check
    if not limits or first is None:
        return None
    distances = [
        each.distances / np.float32(limit)
        for each, limit in zip(members, limits, strict=True)
        if each.distances is not None
    ]
    checks = [each.checks for each in members if each.checks is not None]
    return calibrate_input_check(np.mean(distances, 0), np.mean(checks, 0), first.checks, patients, first.coverage)


def _embeddings(found: Predictions) -> NDArray[np.float32]:
    if found.embeddings is None:
        raise BundleError("A member has no embedding. Train it again.")
    return found.embeddings


def _recipe(bundles: Sequence[Bundle], settings: dict[str, Any]) -> str:
    """What the ensemble is made of, as TOML; not a recipe that can be trained."""
    members = [{"name": each.card.recipe_name, "sha256": each.sha256, "recipe": each.card.recipe} for each in bundles]
    table = {
        "name": "ensemble",
        "description": f"Mean of the calibrated logits of {len(members)} models.",
        "data": {"label_pattern": bundles[0].card.label_pattern},
        "operating_points": settings.get("operating_points", {}),
        "members": members,
    }
    return tomli_w.dumps(table, multiline_strings=True)
