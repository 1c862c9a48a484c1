"""The main job: from a folder of radiographs to a trained, calibrated, evaluated model in a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.bundle.card import Calibration, Parity
from lungscope.bundle.input_check import CHECKS, INPUT_CHECK_OUTPUTS
from lungscope.config.recipe import Recipe, differences, dump_recipe, load_recipe
from lungscope.data.dataset import Dataset, DataSource, load_for, prepare
from lungscope.data.manifest import Manifest, read_manifest, write_csv
from lungscope.errors import ConfigError, DataError
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.experiments.evaluate_run import Evaluated, evaluate_bundle
from lungscope.experiments.finalize import CheckOutputs, Choices, ModelOrigin, ValidationOutputs, finalize
from lungscope.runtime.engine import choose_engine
from lungscope.runtime.session import open_session
from lungscope.stats.operating_points import parse_goal
from lungscope.system.files import claim_folder, write_atomically
from lungscope.system.progress import note

if TYPE_CHECKING:
    from lungscope.networks.input_check import InputCheckWeights
    from lungscope.training.train import Trained

PARITY_IMAGES = 64
PACKAGES = ("lungscope", "torch", "timm", "onnx", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class TrainOptions:
    """How a training is run, whatever its recipe."""

    weights: str | Path = "imagenet"
    """What the network starts from: "imagenet", "none", or a safetensors file."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    force: bool = False
    """Replace a former run in the folder."""
    resume: bool = False
    """Go on from the last checkpoint in the folder."""
    allow_leakage: bool = False
    """Train even when a patient or a picture stands in two splits."""


DEFAULTS = TrainOptions()


def train_run(source: Path, recipe: Recipe, out: Path, options: TrainOptions = DEFAULTS) -> Bundle | None:
    """Train on a data set and fill a run folder with everything but its evaluation.

    Of the processes that `torchrun` starts, the first one exports and writes; the others get None.

    Args:
        source: class folders, folders of splits, or a CSV.
        recipe: what to do.
        out: the run folder; it must be empty unless options say otherwise.
        options: where to start, and on what.

    Raises:
        LungscopeError: as the steps do; a run that fails leaves no model behind.
    """
    from lungscope.training.distributed import first_goes_first, is_first
    from lungscope.training.labelled_images import LabelledImages
    from lungscope.training.train import train

    for goal in recipe.operating_points.values():
        parse_goal(goal)  # refuses what cannot be chosen before anything is trained
    with first_goes_first(options.device):
        if is_first():
            _claim(out, recipe, options)
        data = prepare(source, recipe.data, recipe.image.size, recipe.seed, allow_leakage=options.allow_leakage)
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
        weights=options.weights,
        device=options.device,
        folder=out,
    )
    return write_bundle(out, trained, data, recipe) if is_first() else None


def train_and_evaluate(source: Path, recipe: Recipe, out: Path, options: TrainOptions = DEFAULTS) -> Evaluated | None:
    """`train_run`, then the evaluation on its held-out images, beside the model; None where that gives None.

    The test split is measured; where there is none, the validation split, on which choices were made.
    """
    bundle = train_run(source, recipe, out, options)
    if bundle is None:
        return None
    data = load_for(bundle.card, DataSource(out / "manifest.csv"))
    return evaluate_bundle(bundle, data, out, EvaluationOptions(data.manifest.held_out))


def write_bundle(out: Path, trained: "Trained", data: Dataset, recipe: Recipe) -> Bundle:
    """Finish a trained network on validation images, and write model, weights and history into `out`.

    Raises:
        DataError: validation images lack a class.
        BundleError: the graph differs from the network.
    """
    from safetensors.torch import save

    from lungscope.networks.onnx_graph import build_graph, check_parity
    from lungscope.training.history import history_csv

    network, rows = trained.network, data.rows("validation")
    pixels = np.ascontiguousarray(data.pixels[rows])
    weights = _fit_input_check(trained, data, recipe)

    def build(calibration: Calibration, threshold: float) -> tuple[bytes, Parity]:
        graph = build_graph(network, trained.backbone, calibration, weights)
        some = pixels[:PARITY_IMAGES]
        return graph, check_parity(graph, network, calibration, some, threshold, input_check=weights)

    counts = {name: len(data.rows(name)) for name in ("train", "validation", "test")}
    uncalibrated = build_graph(network, trained.backbone, Calibration(), weights)
    content = finalize(
        _run(uncalibrated, pixels, recipe.input_check.coverage if weights else None),
        data.manifest.select(rows),
        Choices(recipe.calibration.method, recipe.operating_points),
        ModelOrigin(
            recipe.image.size, dump_recipe(recipe), recipe.name,
            {"fingerprint": data.manifest.fingerprint(), **counts}, PACKAGES,
        ),
        build,
    )  # fmt: skip
    if trained.history:
        write_atomically(out / "history.csv", history_csv(trained.history))
    write_atomically(out / "weights.safetensors", save(network.state_dict()))
    write_atomically(out / "model.onnx", content)
    return load_bundle(out)


def _claim(out: Path, recipe: Recipe, options: TrainOptions) -> None:
    """Make `out` this run's folder; a run is only continued by the recipe that began it."""
    former = out / "recipe.toml"
    if not options.resume or not former.exists():
        claim_folder(out, force=options.force)
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


def _run(graph: bytes, pixels: NDArray[np.uint8], coverage: float | None) -> ValidationOutputs:
    """What a graph says of images; `coverage` is that of its input check, None without one."""
    session = open_session(graph, choose_engine(), threads=1)
    wanted = ("logits", "embedding", *(INPUT_CHECK_OUTPUTS if coverage else ()))
    batches = [session.run([pixels[i : i + 16]], wanted) for i in range(0, len(pixels), 16)]
    logits, embeddings, *checks = (np.concatenate(column) for column in zip(*batches, strict=True))
    input_check = CheckOutputs(checks[0], checks[1], CHECKS, coverage) if coverage else None
    return ValidationOutputs(logits, embeddings, input_check)
