"""The main job: from a folder of radiographs to a trained, calibrated, evaluated model in a run folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config import Recipe, dump_recipe
from lungscope.console import stderr
from lungscope.data.audit import AuditReport, audit
from lungscope.data.manifest import Manifest, read_manifest, write_csv
from lungscope.data.pack import Pack, pack
from lungscope.data.split import assign_splits
from lungscope.errors import DataError, LeakageError
from lungscope.evaluation.evaluate import Evaluation
from lungscope.inference.bundle import Bundle, Calibration, Card, load_bundle, seal_bundle
from lungscope.inference.predictor import Predictor
from lungscope.output import claim_folder, write_atomically
from lungscope.stats.calibration import fit_temperature
from lungscope.stats.operating import OperatingPoint, choose, parse_goal

VERSIONED = ("lungscope", "torch", "timm", "onnx", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class Dataset:
    """A manifest whose images are all readable, their pixels, and what the audit found."""

    manifest: Manifest
    pixels: NDArray[np.uint8]
    """(N, S, S)."""
    report: AuditReport
    notes: tuple[str, ...]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of one split."""
        return np.flatnonzero(np.array(self.manifest.splits) == split)


@dataclass(frozen=True)
class Run:
    """What `train_run` leaves behind."""

    folder: Path
    bundle: Bundle
    evaluation: Evaluation
    split: str
    """The split that was evaluated."""


def prepare(source: Path, recipe: Recipe, *, allow_leakage: bool = False) -> Dataset:
    """Read, split, decode and audit a data set.

    Raises:
        ManifestError: the data are not a data set.
        LeakageError: a patient or picture stands in two splits and `allow_leakage` is off.
    """
    manifest = read_manifest(source, patient_pattern=recipe.data.patient_pattern)
    manifest, notes = assign_splits(manifest, recipe.data, recipe.seed)
    packed = pack(manifest.paths, recipe.image.size)
    report = audit(manifest, packed)
    if report.leaks and not allow_leakage:
        raise LeakageError(
            f"{source}: {report.leaks[0].message} Let Lungscope split by patient (--set data.split=patients), "
            "or pass --allow-leakage to train all the same."
        )
    return _readable(manifest, packed, report, notes)


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
) -> Run:
    """Train on a data set and fill a run folder.

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
    from lungscope.model.train import train

    if not resume:
        claim_folder(out, force=force)
    data = prepare(source, recipe, allow_leakage=allow_leakage)
    for note in data.notes:
        stderr.print(f"Note: {note}", highlight=False)
    write_atomically(out / "recipe.toml", dump_recipe(recipe))
    write_csv(data.manifest, out / "manifest.csv")
    training, validation = (_images(data, split) for split in ("train", "validation"))
    trained = train(
        training, validation, len(data.manifest.classes), recipe,
        weights=weights, device=device, checkpoint=out / "checkpoint" / "finetune.pt",
    )  # fmt: skip
    return _finish(out, trained, data, recipe)


def evaluate_run(
    model: Path,
    source: Path,
    out: Path | None,
    *,
    split: str = "test",
    prevalence: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
) -> Run:
    """Evaluate a bundle on a data set and write evaluation.json, predictions.csv and report.html into `out`.

    A data set without splits is evaluated whole. Images that stand in the model's own training part
    belong to another question; evaluate a run's own data through its `manifest.csv`.
    """
    ...
