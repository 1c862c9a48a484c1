"""A bundle on labelled images: evaluation.json, predictions.csv, report.html and what lies beside it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, Card
from lungscope.data.dataset import Dataset
from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.manifest import Manifest
from lungscope.errors import ManifestError
from lungscope.evaluation.evaluate import Evaluation, ModelReference, evaluate, evaluation_json
from lungscope.evaluation.heatmaps.checks import check_heat, heat_json
from lungscope.evaluation.input_check import (
    input_check_json,
    input_check_section,
    measure_input_check,
    measure_sets,
)
from lungscope.evaluation.strata import measure_strata, robustness_json, robustness_section
from lungscope.evaluation.usage import count_evaluation, repeated_evaluation_warning
from lungscope.experiments.measure_all import Topics, study
from lungscope.inference.predictor import Predictions, Predictor
from lungscope.reports.facts import Origin
from lungscope.reports.history import TrainingEpoch, parse_history
from lungscope.reports.html import GalleryCase, Report, write_report
from lungscope.reports.report_files import linked, write_report_files
from lungscope.reports.sections.heatmaps import heatmap_section
from lungscope.system.files import write_atomically

GALLERY = 12
SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Evaluated:
    """What was measured, on which split, and where the report stands."""

    evaluation: Evaluation
    document: dict[str, Any]
    """The content of evaluation.json."""
    split: str
    report: Path | None
    times: int = 0
    """How often this model was evaluated on these images, this time included; 0 when that is not counted."""
    topics: Topics | None = None
    """The further sections: calibration, decisions, change against validation, subgroups."""
    shown: Report | None = None
    """What the report says; None where none was written."""


def evaluate_bundle(
    bundle: Bundle,
    data: Dataset,
    out: Path | None,
    *,
    split: str = "test",
    prevalence: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    ood: Sequence[Path] = (),
    heat_checks: bool = True,
    adapt_prior: bool = False,
) -> Evaluated:
    """Measure a bundle on one split and write report, card and data into `out`, when there is one.

    Args:
        bundle: the model.
        data: images of the bundle's size and classes.
        out: folder; an evaluation that stands there is replaced.
        split: "train", "validation", "test" or "all". Data without any split are taken whole.
        prevalence: share of diseased where the model will be used, between 0 and 1.
        runtime: see `choose_engine`.
        precision: see `choose_engine`.
        ood: folders of images of another kind, which the input check should decline.
        heat_checks: whether the heat maps are checked for the report.
        adapt_prior: whether to correct for the prevalence that the images suggest, beside the uncorrected.

    Raises:
        ManifestError: no image in that split, or none in a folder of `ood`.
    """
    split = known_split(data, split)
    rows = data.rows(split)
    chosen, pixels = data.manifest.select(rows), np.ascontiguousarray(data.pixels[rows])
    predictor = Predictor(bundle, runtime=runtime, precision=precision)
    predictions = predictor.predict(pixels, heatmaps=True, embeddings=True)
    card = bundle.card
    found = evaluate(
        chosen.labels, predictions.probabilities, chosen.patients, card.classes, card.operating_points,
        prevalence=prevalence,
    )  # fmt: skip
    engine = predictor.engine
    model = ModelReference(bundle.sha256, card.recipe_name, engine.runtime, engine.precision)
    fingerprint = chosen.fingerprint()
    input_check = measure_input_check(predictor, chosen, pixels, predictions, ood)
    sets = measure_sets(predictor, chosen, predictions)
    topics = study(found, chosen, predictions, card, split=split, adapt_prior=adapt_prior)
    document = evaluation_json(found, model, fingerprint) | topics.document
    document |= input_check_json(input_check, sets, card.classes)
    if parts := measure_strata(card, chosen, predictions.probabilities):
        document |= {"strata": robustness_json(parts)}
    times = count_evaluation(bundle, split, fingerprint)
    if out is None:
        return Evaluated(found, document, split, None, times, topics)
    heat = check_heat(chosen, pixels, predictions, predictor) if heat_checks else None
    if heat:
        document |= {"heatmaps": heat_json(heat)}
    report = Report(
        evaluation=found,
        model=model,
        data_fingerprint=fingerprint,
        split=split,
        recipe=card.recipe,
        versions=card.versions,
        audit=data.audit,
        history=_history(bundle),
        gallery=_worst(chosen, predictions),
        notes=(*data.notes, *repeated_evaluation_warning(times)),
        sections=(
            *topics.sections,
            input_check_section(input_check, sets, card.classes),
            *([heatmap_section(heat)] if heat else []),
            *([robustness_section(parts)] if parts else []),
        ),
    )
    write_atomically(out / "predictions.csv", _predictions_csv(chosen, predictions))
    write_report_files(out, report, card, document, _origin(card, data, split))
    write_report(out / "report.html", replace(report, files=linked(report)))
    return Evaluated(found, document, split, out / "report.html", times, topics, report)


def known_split(data: Dataset, split: str) -> str:
    """The split to evaluate: `split`, or "all" of data without any.

    Raises:
        ManifestError: an unknown name, or no image in it.
    """
    if split not in SPLITS:
        raise ManifestError(f"--split {split!r} is unknown. Choose {', '.join(SPLITS)}.")
    if not any(data.manifest.splits):
        return "all"
    if not len(data.rows(split)):
        present = ", ".join(sorted(set(data.manifest.splits) - {""}))
        raise ManifestError(
            f"{data.source}: no image is in the {split} split. It has: {present}; or use --split all."
        )
    return split


def _origin(card: Card, data: Dataset, split: str) -> Origin:
    """What a split was to the model; told by the fingerprint of all images, labels, patients and splits."""
    if data.manifest.fingerprint() != card.data.get("fingerprint"):
        return "other"
    return "test" if split == "test" else "validation" if split == "validation" else "trained on"


def _worst(chosen: Manifest, predictions: Predictions) -> tuple[GalleryCase, ...]:
    """The images whose own class was given the least probability, among those decided wrongly."""
    wrong = np.flatnonzero(predictions.probabilities.argmax(1) != chosen.labels)
    own = predictions.probabilities[wrong, chosen.labels[wrong]]
    if predictions.heatmaps is None:
        return ()
    worst = wrong[np.argsort(own, kind="stable")][:GALLERY]
    return tuple(_case(chosen, predictions, predictions.heatmaps, int(i)) for i in worst)


def _case(chosen: Manifest, predictions: Predictions, heatmaps: NDArray[np.float32], i: int) -> GalleryCase:
    decided = int(predictions.probabilities[i].argmax())
    referenced = len(chosen.classes) == 2 or chosen.has_reference
    return GalleryCase(
        name=chosen.paths[i].name,
        label=chosen.classes[chosen.labels[i]],
        predicted=chosen.classes[decided],
        probability=float(predictions.probabilities[i, decided]),
        image=read_radiograph(chosen.paths[i]).pixels,
        # What speaks for disease, also where the model missed it; without a reference, for the class called.
        heatmap=heatmaps[i, 1:].max(0) if referenced else heatmaps[i, decided],
    )


def _history(bundle: Bundle) -> tuple[TrainingEpoch, ...]:
    path = bundle.path.with_name("history.csv")
    return parse_history(path.read_text(encoding="utf-8")) if path.exists() else ()


def _predictions_csv(chosen: Manifest, predictions: Predictions) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split", *(f"p_{name}" for name in chosen.classes)])
    for i, path in enumerate(chosen.paths):
        label = chosen.classes[chosen.labels[i]]
        writer.writerow([path, label, chosen.splits[i], *(f"{p:.6f}" for p in predictions.probabilities[i])])
    return text.getvalue()
