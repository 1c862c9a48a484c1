"""Training from Python."""

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from lungscope.api.dataset import Dataset, load_dataset, table_of
from lungscope.api.model import Model, load_model
from lungscope.api.notebook import html_table
from lungscope.config.recipe import load_recipe
from lungscope.data.dataset import refuse_leakage
from lungscope.errors import ConfigError
from lungscope.evaluation.evaluate import Evaluation
from lungscope.evaluation.measurements import Measurements
from lungscope.experiments.evaluate_run import Evaluated
from lungscope.experiments.train_run import TrainOptions, train_and_evaluate
from lungscope.inference.result import RESEARCH_USE
from lungscope.reports.history import TrainingEpoch, parse_history
from lungscope.system.progress import show_progress

FIGURES = {
    "AUROC": "auroc", "accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "Brier score": "brier",
    "calibration error": "ece",
}  # fmt: skip


class Run:
    """A finished training: its model, what was measured of it, and its folder."""

    def __init__(self, folder: Path, done: Evaluated) -> None:
        """Of a folder that holds all that `lungscope train` writes."""
        self.folder = folder
        self.done = done

    @property
    def evaluation(self) -> Evaluation:
        """Discrimination, calibration and operating points, on the test split where there is one."""
        return self.done.evaluation

    @property
    def measurements(self) -> Measurements:
        """The evaluation and all else that was measured."""
        return self.done.measurements

    @property
    def report(self) -> Path:
        """The page of the report."""
        return self.folder / "report.html"

    @property
    def model(self) -> Model:
        """The trained model, read anew."""
        return load_model(self.folder)

    @property
    def history(self) -> tuple[TrainingEpoch, ...]:
        """Losses and rates epoch by epoch."""
        return parse_history((self.folder / "history.csv").read_text(encoding="utf-8"))

    def __repr__(self) -> str:
        return f"Run({self.folder}; {self.done.split} split: AUROC {self.evaluation.auroc})"

    def _repr_html_(self) -> str:
        rows = [(words, str(getattr(self.evaluation, name))) for words, name in FIGURES.items()]
        images = f"{self.evaluation.n} images of {self.evaluation.patients} patients, {self.done.split} split"
        return f"{html_table(rows, (images, '95 % interval'))}<small>{RESEARCH_USE}</small>"


def train(
    data: Dataset | str | os.PathLike[str],
    recipe: str | os.PathLike[str] = "default",
    *,
    out: str | os.PathLike[str] | None = None,
    settings: Mapping[str, object] | None = None,
    weights: str | os.PathLike[str] = "imagenet",
    allow_leakage: bool = False,
    progress: bool = False,
) -> Run:
    """Train, calibrate, export and evaluate on the splits of `data`, as `lungscope train` does.

    Args:
        data: from `load_dataset`, or what that takes.
        recipe: a name, or a TOML file.
        out: the run folder to fill; None for one that is removed with the `Run`.
        settings: changes of the recipe by dotted name, such as {"finetune.epochs": 3}.
        weights: "imagenet" (downloaded by timm), "none", or a safetensors file.
        allow_leakage: train even when a patient or a picture stands in two splits.
        progress: show how far it is, on a terminal or in a notebook.

    Raises:
        LungscopeError: what is wrong, where and what to do; a run that fails leaves no model behind.
    """
    # JSON is TOML for text, numbers, true, false and lists.
    chosen = load_recipe(recipe, [f"{name}={json.dumps(value)}" for name, value in (settings or {}).items()])
    with show_progress(progress):
        data = data if isinstance(data, Dataset) else load_dataset(data, progress=progress)
        if not allow_leakage:
            refuse_leakage(data.prepared)  # here, as its message names the data and not our copy of their table
        folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="lungscope-"))
        with table_of(data) as table:
            patterns = {"patient_pattern": table.patient_pattern, "label_pattern": table.label_pattern}
            chosen = chosen.model_copy(
                update={"data": chosen.data.model_copy(update={"split": "predefined", **patterns})}
            )
            options = TrainOptions(os.fspath(weights), force=out is None, allow_leakage=allow_leakage)
            done = train_and_evaluate(table.path, chosen, folder, options)
    if done is None:
        raise ConfigError("Only the first process of torchrun holds the model. Use: torchrun -m lungscope train DATA.")
    run = Run(folder, done)
    if out is None:
        weakref.finalize(run, shutil.rmtree, folder, ignore_errors=True)
    return run
