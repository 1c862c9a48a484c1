"""One training run of a contest: its run folder, and its predictions of the held-out images beside it."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe, dump_recipe
from lungscope.data.dataset import DataSource, load_for
from lungscope.errors import ConfigError, OutputError
from lungscope.evaluation.cost import Scores, score
from lungscope.experiments.train_run import TrainOptions, train_run
from lungscope.system.files import write_atomically
from lungscope.system.progress import note

FILE = "scores.json"
"""Written last: a cell that has it is finished."""


@dataclass(frozen=True)
class TrainingRun:
    """What is trained, on which split, and where."""

    recipe: Recipe
    source: Path
    """The CSV with the split."""
    folder: Path
    weights: str
    device: str


@dataclass(frozen=True)
class Result:
    """What a cell came to."""

    recipe: str
    """Fully resolved, TOML."""
    weights: str
    paths: tuple[Path, ...]
    """Of the held-out images."""
    probabilities: NDArray[np.float32]
    """(N, K), in that order."""
    training_s: float | None
    """None when training was interrupted, so that its time is not known."""
    images_per_s: float
    milliseconds: float


def run_cell(cell: TrainingRun) -> Result:
    """Train and score a cell, or read its result when it is finished; a killed one goes on.

    Raises:
        ConfigError: the folder holds a run with other settings.
        LungscopeError: as training does.
    """
    if (cell.folder / FILE).exists():
        return _finished(cell)
    note(f"Training {cell.folder} ...")
    started, resumed = time.perf_counter(), (cell.folder / "recipe.toml").exists()
    # The whole comparison was refused, or allowed leakage.
    options = TrainOptions(cell.weights, cell.device, resume=resumed, allow_leakage=True)
    bundle = train_run(cell.source, cell.recipe, cell.folder, options)
    if bundle is None:
        raise ConfigError("Recipes are compared in one process. Start 'lungscope compare' without torchrun.")
    seconds = None if resumed else time.perf_counter() - started
    data = load_for(bundle.card, DataSource(cell.folder / "manifest.csv"))
    result = _result(cell, score(bundle, data, data.manifest.held_out), seconds)
    write_atomically(cell.folder / FILE, _json(result))
    return result


def weights_for(backbone: str, weights: str) -> str:
    """The weights a backbone starts from when several recipes share one option.

    Args:
        backbone: as in `network.backbone`.
        weights: "imagenet", "none", a safetensors file, or a folder of BACKBONE*.safetensors. A network
            that has no pre-trained weights starts from scratch.

    Raises:
        ConfigError: the folder has none for this backbone.
    """
    from lungscope.networks.backbones import OWN

    if OWN.fullmatch(backbone):
        return "none"
    if not Path(weights).is_dir():
        return weights
    found = sorted(Path(weights).glob(f"{backbone}*.safetensors"))
    if not found:
        raise ConfigError(f"{weights}: no {backbone}*.safetensors in this folder. Add it, or leave the recipe out.")
    return str(found[0])


def _finished(cell: TrainingRun) -> Result:
    path = cell.folder / FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["paths"] = tuple(map(Path, fields["paths"]))
        fields["probabilities"] = np.array(fields["probabilities"], np.float32)
        result = Result(**fields)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise OutputError(f"{path}: cannot be read ({error}). Remove that folder to train it again.") from None
    if (result.recipe, result.weights) != (dump_recipe(cell.recipe), cell.weights):
        raise ConfigError(
            f"{cell.folder}: was trained with other settings or weights. Choose another --out, or remove that "
            "folder to train it again."
        )
    return result


def _result(cell: TrainingRun, found: Scores, seconds: float | None) -> Result:
    return Result(
        recipe=dump_recipe(cell.recipe),
        weights=cell.weights,
        paths=found.paths,
        probabilities=found.probabilities,
        training_s=seconds,
        images_per_s=found.images_per_s,
        milliseconds=found.milliseconds,
    )


def _json(result: Result) -> str:
    fields = asdict(result)
    fields["paths"] = [str(path) for path in result.paths]
    fields["probabilities"] = result.probabilities.tolist()  # float32 survives as it is
    return json.dumps(fields, allow_nan=False)
