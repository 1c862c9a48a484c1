"""Several models of one split as one model."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.bundle.card import Calibration, Parity
from lungscope.data.dataset import Dataset
from lungscope.data.manifest import write_csv
from lungscope.errors import BundleError, ConfigError
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.experiments.evaluate_run import Evaluated, evaluate_bundle, own_data
from lungscope.experiments.finalize import CheckOutputs, Choices, ModelOrigin, ValidationOutputs, apply, finalize
from lungscope.experiments.train_run import PARITY_IMAGES
from lungscope.inference.predictions import Predictions
from lungscope.inference.predictor import Predictor
from lungscope.networks.onnx_ensemble import average_heatmaps, merge_graphs
from lungscope.runtime.engine import choose_engine
from lungscope.runtime.session import open_session
from lungscope.stats.reference_class import p_abnormal
from lungscope.system.files import claim_folder, write_atomically

TOLERANCE = 1e-4
PACKAGES = ("lungscope", "onnx", "onnxruntime", "numpy")


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
    rows, card = data.rows("validation"), bundles[0].card
    pixels = np.ascontiguousarray(data.pixels[rows])
    predictors = [Predictor(each, runtime="onnxruntime", precision="fp32") for each in bundles]
    members = [each.predict(pixels, embeddings=True) for each in predictors]
    outputs, calibrations = _average(bundles, members), [each.card.calibration for each in bundles]

    def build(calibration: Calibration, threshold: float) -> tuple[bytes, Parity]:
        graph = merge_graphs([each.graph for each in bundles], calibrations, calibration, _limits(bundles))
        return graph, _check_parity(graph, apply(calibration, outputs.logits), members, pixels, threshold)

    goals = tomllib.loads(card.recipe).get("operating_points", {})
    recipe = _recipe(bundles, goals)
    origin = ModelOrigin(card.size, recipe, "ensemble", card.data, PACKAGES)
    content = finalize(outputs, data.manifest.select(rows), Choices("auto", goals), origin, build)
    write_atomically(out / "recipe.toml", recipe)
    write_csv(data.manifest, out / "manifest.csv")
    write_atomically(out / "model.onnx", content)
    return evaluate_bundle(load_bundle(out), data, out, EvaluationOptions(data.manifest.held_out))


def common_data(runs: Sequence[Path], bundles: Sequence[Bundle]) -> Dataset:
    """The data set that all members were trained on, with the same split.

    Raises:
        ConfigError: fewer than two members, or of other classes, input size, data or split.
        BundleError: the table of the first is not the one it was trained with.
    """
    if len(bundles) < 2:
        raise ConfigError("An ensemble needs at least two run folders. Name more.")
    first = bundles[0].card
    for run, bundle in zip(runs, bundles, strict=True):
        card, pair = bundle.card, f"{runs[0]} and {run} differ in"
        if card.classes != first.classes:
            raise ConfigError(
                f"{pair} classes ({', '.join(first.classes)} and {', '.join(card.classes)}). "
                "Train them on the same classes."
            )
        if card.size != first.size:
            raise ConfigError(
                f"{pair} input size ({first.size} and {card.size}). Train one again with --set image.size of the other."
            )
        if card.data.get("fingerprint") != first.data.get("fingerprint"):
            raise ConfigError(
                f"{pair} data or split. Train them on one split, as the seeds of 'lungscope compare' are."
            )
    return own_data(bundles[0])


def _average(bundles: Sequence[Bundle], members: Sequence[Predictions]) -> ValidationOutputs:
    """What the merged graph will compute of the validation images: the mean of the members' calibrated logits."""
    logits = [
        each.card.calibration.scale * found.logits + np.array(each.card.calibration.shift or 0.0)
        for each, found in zip(bundles, members, strict=True)
    ]
    embeddings = [each.embeddings for each in members if each.embeddings is not None]
    if len(embeddings) < len(members):
        raise BundleError("A member has no embedding. Train it again.")
    return ValidationOutputs(
        np.asarray(np.mean(logits, axis=0), np.float32), np.concatenate(embeddings, axis=1), _checks(bundles, members)
    )


def _checks(bundles: Sequence[Bundle], members: Sequence[Predictions]) -> CheckOutputs | None:
    """The mean of the members' input checks, whose distances are divided by what each accepts."""
    limits, first = _limits(bundles), bundles[0].card.input_check
    if not limits or first is None:
        return None
    distances = [each.distances for each in members if each.distances is not None]
    mean = np.mean([each / np.float32(limit) for each, limit in zip(distances, limits, strict=True)], 0)
    checks = np.mean([each.checks for each in members if each.checks is not None], 0)
    return CheckOutputs(mean, checks, first.checks, first.coverage)


def _check_parity(
    graph: bytes,
    wanted: NDArray[np.float64],
    members: Sequence[Predictions],
    pixels: NDArray[np.uint8],
    threshold: float,
) -> Parity:
    """Hold the graph against the average of its members, whose probabilities (N, K) are `wanted`."""
    n = min(PARITY_IMAGES, len(pixels))
    engine, wanted = choose_engine("onnxruntime", "fp32"), wanted[:n]
    found, heat = open_session(graph, engine, threads=1).run([pixels[:n]], ["probabilities", "heatmap"])
    maps = average_heatmaps([each.heatmaps[:n] for each in members if each.heatmaps is not None])
    difference, warmth = float(np.abs(found - wanted).max()), float(np.abs(heat - maps).max())
    if not difference <= TOLERANCE or not warmth <= 10 * TOLERANCE:
        raise BundleError(
            f"The merged graph differs from the average of its members by {difference:.2g} in probability and "
            f"{warmth:.2g} in heat (accepted: {TOLERANCE:.0e}, {10 * TOLERANCE:.0e}). Nothing was written; report it."
        )
    flips = int(((p_abnormal(found.astype(np.float64)) >= threshold) != (p_abnormal(wanted) >= threshold)).sum())
    return Parity(str(engine), n, difference, flips)


def _limits(bundles: Sequence[Bundle]) -> list[float]:
    """Largest distances that the members accept; none unless all have an input check."""
    limits = [each.card.input_check.limit() for each in bundles if each.card.input_check]
    return limits if len(limits) == len(bundles) else []


def _recipe(bundles: Sequence[Bundle], goals: dict[str, Any]) -> str:
    """What the ensemble is made of, as TOML; not a recipe that can be trained."""
    members = [{"name": each.card.recipe_name, "sha256": each.sha256, "recipe": each.card.recipe} for each in bundles]
    table = {
        "name": "ensemble",
        "description": f"Mean of the calibrated logits of {len(members)} models.",
        "data": {"label_pattern": bundles[0].card.label_pattern},
        "operating_points": goals,
        "members": members,
    }
    return tomli_w.dumps(table, multiline_strings=True)
