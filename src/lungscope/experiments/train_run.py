"""The main job: from a folder of radiographs to a trained, calibrated, evaluated model in a run folder."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, bundle_bytes, load_bundle
from lungscope.bundle.card import Calibration, Card
from lungscope.bundle.input_check import INPUT_CHECK_OUTPUTS, InputCheck, calibrate_input_check
from lungscope.bundle.validation_summary import summarise
from lungscope.config.recipe import Recipe, differences, dump_recipe, load_recipe
from lungscope.data.dataset import Dataset, DataSource, load_for, prepare
from lungscope.data.manifest import Manifest, read_manifest, write_csv
from lungscope.errors import ConfigError, DataError, UndefinedEstimate
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.evaluation.validation import validation_outcome
from lungscope.experiments.evaluate_run import Evaluated, evaluate_bundle
from lungscope.runtime.engine import choose_engine
from lungscope.runtime.session import open_session
from lungscope.stats.calibrator import choose_calibrator, fit
from lungscope.stats.conformal import fit_conformal
from lungscope.stats.operating_points import OperatingPoint, choose, parse_goal
from lungscope.system.files import claim_folder, write_atomically
from lungscope.system.progress import note

if TYPE_CHECKING:
    from lungscope.networks.input_check import InputCheckWeights
    from lungscope.training.train import Trained
from lungscope.stats.reference_class import p_abnormal, ranking_score

PARITY_IMAGES = 64
VERSIONED = ("lungscope", "torch", "timm", "onnx", "onnxruntime", "numpy", "pillow")


def train_run(
    source: Path,
    recipe: Recipe,
    out: Path,
    *,
    weights: str | Path = "imagenet",
    device: str = "auto",
    force: bool = False,
    resume: bool = False,
    allow_leakage: bool = False,
) -> Bundle:
    """Train on a data set and fill a run folder with everything but its evaluation.

    Args:
        source: class folders, folders of splits, or a CSV.
        recipe: what to do.
        out: the run folder; it must be empty unless `force` or `resume`.
        weights: "imagenet", "none" or a safetensors file.
        device: "auto", "cpu" or "cuda".
        force: replace a former run in `out`.
        resume: go on from the last checkpoint in `out`.
        allow_leakage: train even when a patient or a picture stands in two splits.

    Raises:
        LungscopeError: as the steps do; a run that fails leaves no model behind.
    """
    from lungscope.training.distributed import first_goes_first, is_first
    from lungscope.training.labelled_images import LabelledImages
    from lungscope.training.train import train

    for goal in recipe.operating_points.values():
        parse_goal(goal)  # refuses what cannot be chosen before anything is trained
    with first_goes_first(device):
        if is_first():
            _claim(out, recipe, force=force, resume=resume)
        data = prepare(source, recipe.data, recipe.image.size, recipe.seed, allow_leakage=allow_leakage)
    if is_first():
        for line in (*data.notes, *(finding.message for finding in data.audit.findings)):
            note(f"Note: {line}")
        _check_same_data(out, data.manifest)
        write_atomically(out / "recipe.toml", dump_recipe(recipe))
        write_csv(data.manifest, out / "manifest.csv")
    trained = train(
        LabelledImages.of(data, data.rows("train")),
        LabelledImages.of(data, data.rows("validation")),
        len(data.manifest.classes),
        recipe,
        weights=weights,
        device=device,
        folder=out,
    )
    if not is_first():
        raise SystemExit(0)  # of the processes of torchrun, the first one exports, evaluates and writes
    return write_bundle(out, trained, data, recipe)


def _claim(out: Path, recipe: Recipe, *, force: bool, resume: bool) -> None:
    """Make `out` this run's folder; a run is only continued by the recipe that began it."""
    former = out / "recipe.toml"
    if not resume or not former.exists():
        claim_folder(out, force=force)
        return
    changed = differences(load_recipe(former), recipe)
    if changed:
        name, (begun, wanted) = next(iter(changed.items()))
        raise ConfigError(
            f"{out}: this run was begun with {name} = {begun!r}, not {wanted!r}. "
            "Pass the same recipe to --resume, or --force to start again."
        )


def _check_same_data(out: Path, manifest: Manifest) -> None:
    former = out / "manifest.csv"
    if former.exists() and read_manifest(former, classes=manifest.classes).fingerprint() != manifest.fingerprint():
        raise DataError(
            f"{out}: this run was begun on other images, labels or splits. Pass the same data to --resume, "
            "or --force to start again."
        )


def train_and_evaluate(source: Path, recipe: Recipe, out: Path, **options: Any) -> Evaluated:
    """`train_run`, then the evaluation of its held-out part, beside the model.

    The test split is measured; where there is none, the validation split, on which choices were made.
    """
    bundle = train_run(source, recipe, out, **options)
    data = load_for(bundle.card, DataSource(out / "manifest.csv"))
    split = "test" if len(data.rows("test")) else "validation"
    return evaluate_bundle(bundle, data, out, EvaluationOptions(split))


def write_bundle(out: Path, trained: "Trained", data: Dataset, recipe: Recipe) -> Bundle:
    """Calibrate a trained network, choose its operating points, fit its input check, and seal it into `out`.

    Args:
        out: the run folder.
        trained: the network, its exported backbone and its history.
        data: with the validation rows that all choices are made on.
        recipe: what it was trained by.

    Raises:
        DataError: validation images lack a class.
        BundleError: the graph differs from the network.
    """
    from safetensors.torch import save

    from lungscope.networks.onnx_graph import build_graph, check_parity
    from lungscope.training.history import history_csv

    network, rows = trained.network, data.rows("validation")
    weights = _fit_input_check(trained, data, recipe)
    pixels = np.ascontiguousarray(data.pixels[rows])
    validation = data.manifest.select(rows)
    found = _run(build_graph(network, trained.backbone, Calibration(), weights), pixels, input_check=bool(weights))
    logits = found["logits"]
    calibration = calibrate(logits, validation, recipe.calibration.method)
    probabilities = apply(calibration, logits)
    points = choose_operating_points(probabilities, validation, recipe.operating_points)
    graph = build_graph(network, trained.backbone, calibration, weights)
    threshold = points[0].threshold if points else 0.5
    parity = check_parity(graph, network, calibration, pixels[:PARITY_IMAGES], threshold, input_check=weights)
    card = Card(
        classes=data.manifest.classes,
        size=recipe.image.size,
        operating_points=points,
        calibration=calibration,
        recipe=dump_recipe(recipe),
        recipe_name=recipe.name,
        versions={name: version(name) for name in VERSIONED},
        data={
            "fingerprint": data.manifest.fingerprint(),
            **{name: len(data.rows(name)) for name in ("train", "validation", "test")},
        },
        parity=(parity,),
        validation=summarise(
            ranking_score(probabilities, has_reference=bool(points)),
            found["embedding"],
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
        input_check=_calibrate_input_check(found, validation, recipe) if weights else None,
        conformal=fit_conformal(validation.labels, probabilities),
    )
    if trained.history:
        write_atomically(out / "history.csv", history_csv(trained.history))
    write_atomically(out / "weights.safetensors", save(network.state_dict()))
    write_atomically(out / "model.onnx", bundle_bytes(graph, card))
    return load_bundle(out)


def calibrate(logits: NDArray[np.float32], validation: Manifest, method: str) -> Calibration:
    """Fit what turns logits (N, K) of validation images into probabilities.

    Args:
        logits: (N, K).
        validation: the N images.
        method: "none", "temperature", "platt", or "auto" for the one that cross-validation chooses.
    """
    if method == "auto":
        chosen = choose_calibrator(logits, validation.labels, validation.patients)
        return Calibration(chosen.method, chosen.scale, chosen.shift, chosen.candidates, chosen.reason)
    found = fit(method, logits, validation.labels)
    return Calibration(method, found.scale, found.shift, reason="as the recipe says")


def apply(calibration: Calibration, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities (N, K) as the graph will compute them."""
    from scipy.special import softmax

    probabilities: NDArray[np.float64] = softmax(
        calibration.scale * logits.astype(np.float64) + np.array(calibration.shift), axis=1
    )
    return probabilities


def choose_operating_points(
    probabilities: NDArray[np.float64], validation: Manifest, goals: dict[str, str]
) -> tuple[OperatingPoint, ...]:
    """Thresholds for each goal on the probability of not being of the reference class.

    Two classes always have operating points; more than two only when the first is a reference such as
    "normal", since otherwise no class is the one to be told from the rest.

    Raises:
        DataError: validation images lack a class, so that a goal has no threshold.
    """
    if len(validation.classes) > 2 and not validation.has_reference:
        return ()
    try:
        return tuple(
            choose(
                parse_goal(goal),
                validation.labels > 0,
                p_abnormal(probabilities),
                name=name,
                patients=validation.patients,
            )
            for name, goal in goals.items()
        )
    except UndefinedEstimate as error:
        raise DataError(f"No operating point can be chosen on validation: {error} Add validation images.") from None


def _fit_input_check(trained: "Trained", data: Dataset, recipe: Recipe) -> "InputCheckWeights | None":
    if not recipe.input_check.enabled:
        return None
    from lungscope.training.features import graph_embedder
    from lungscope.training.input_check import fit_input_check
    from lungscope.training.labelled_images import LabelledImages

    images = LabelledImages.of(data, data.rows("train"))
    return fit_input_check(
        images, graph_embedder(trained.backbone), recipe.input_check, recipe.seed, trained.embeddings
    )


def _calibrate_input_check(found: dict[str, NDArray[np.float32]], validation: Manifest, recipe: Recipe) -> InputCheck:
    from lungscope.training.input_check import CHECKS

    return calibrate_input_check(
        found["distance"], found["checks"], CHECKS, validation.patients, recipe.input_check.coverage
    )


def _run(graph: bytes, pixels: NDArray[np.uint8], *, input_check: bool) -> dict[str, NDArray[np.float32]]:
    session = open_session(graph, choose_engine(), threads=1)
    wanted = ("logits", "embedding", *(INPUT_CHECK_OUTPUTS if input_check else ()))
    parts = [session.run([pixels[i : i + 16]], wanted) for i in range(0, len(pixels), 16)]
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return dict(zip(wanted, columns, strict=True))
