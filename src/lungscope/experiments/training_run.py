"""One training run of a comparison: its run folder, and its predictions of the held-out images beside it."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe, dump_recipe
from lungscope.data.dataset import DataSource, load_for
from lungscope.errors import ConfigError, OutputError
from lungscope.evaluation.cost import score
from lungscope.experiments.train_run import TrainOptions, train_run
from lungscope.system.files import write_atomically
from lungscope.system.progress import note

FILE = "scores.json"
"""Written last: a run that has it is finished."""


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
    """What a training run came to."""

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


def run_training(run: TrainingRun) -> Result:
    """Train and score, or read the result of a run that is finished; a killed one goes on.

    Raises:
        ConfigError: the folder holds a run with other settings.
        LungscopeError: as training does.
    """
    if (run.folder / FILE).exists():
        return _finished(run)
    note(f"Training {run.folder} ...")
    started, resumed = time.perf_counter(), (run.folder / "recipe.toml").exists()
    # The whole comparison was refused, or allowed leakage.
    options = TrainOptions(run.weights, run.device, resume=resumed, allow_leakage=True)
    bundle = train_run(run.source, run.recipe, run.folder, options)
    if bundle is None:
        raise ConfigError("Recipes are compared in one process. Start 'lungscope compare' without torchrun.")
    seconds = None if resumed else time.perf_counter() - started
    data = load_for(bundle.card, DataSource(run.folder / "manifest.csv"))
    found = score(bundle, data, data.manifest.held_out)
    result = Result(
        dump_recipe(run.recipe), run.weights, found.paths, found.probabilities, seconds, found.images_per_s,
        found.milliseconds,
    )  # fmt: skip
    # float32 survives as it is
    fields = asdict(result) | {"paths": [*map(str, found.paths)], "probabilities": found.probabilities.tolist()}
    write_atomically(run.folder / FILE, json.dumps(fields, allow_nan=False))
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


def _finished(run: TrainingRun) -> Result:
    path = run.folder / FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["paths"] = tuple(map(Path, fields["paths"]))
        fields["probabilities"] = np.array(fields["probabilities"], np.float32)
        result = Result(**fields)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise OutputError(f"{path}: cannot be read ({error}). Remove that folder to train it again.") from None
    if (result.recipe, result.weights) != (dump_recipe(run.recipe), run.weights):
        raise ConfigError(
            f"{run.folder}: was trained with other settings or weights. Choose another --out, or remove that "
            "folder to train it again."
        )
    return result
