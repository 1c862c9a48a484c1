"""A bundle on labelled images: evaluation.json, predictions.csv, report.html and what lies beside it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lungscope.bundle.bundle import Bundle
from lungscope.bundle.card import Card
from lungscope.data.dataset import Dataset, DataSource, load_for
from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.manifest import Manifest
from lungscope.errors import BundleError, ManifestError
from lungscope.evaluation.evaluate import Evaluation, ModelReference
from lungscope.evaluation.measurements import EvaluationOptions, Measurements, measure_all
from lungscope.evaluation.usage import count_evaluation
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import ImageResult
from lungscope.reports.evaluation_json import evaluation_json
from lungscope.reports.history import TrainingEpoch, parse_history
from lungscope.reports.html import write_report
from lungscope.reports.report import GalleryCase, Origin, Relation, Report
from lungscope.reports.report_files import linked, write_report_files
from lungscope.reports.sections.every import report_sections
from lungscope.reports.summary import repeated_evaluation_warning
from lungscope.system.files import write_atomically

GALLERY = 12
SPLITS = ("train", "validation", "test", "all")
DEFAULTS = EvaluationOptions()


@dataclass(frozen=True)
class Evaluated:
    """What was measured, on which images, and where the report stands."""

    measurements: Measurements
    model: ModelReference
    data_fingerprint: str
    split: str
    times: int = 0
    """How often this model was evaluated on these images, this time included; 0 when that is not counted."""
    report: Path | None = None
    shown: Report | None = None
    """What the report shows; None where none was written."""

    @property
    def evaluation(self) -> Evaluation:
        """Discrimination, calibration and operating points."""
        return self.measurements.evaluation


def evaluate_bundle(
    bundle: Bundle, data: Dataset, out: Path | None, options: EvaluationOptions = DEFAULTS
) -> Evaluated:
    """Measure a bundle on one split and write report, card and data into `out`, when there is one.

    Args:
        bundle: the model.
        data: images of the bundle's size and classes.
        out: folder; an evaluation that stands there is replaced.
        options: what is evaluated, and how.

    Raises:
        ManifestError: no image in that split, or none in a folder of `ood`.
    """
    split = known_split(data, options.split)
    options = replace(options, split=split, heat_checks=options.heat_checks and out is not None)
    rows = data.rows(split)
    chosen, images = data.manifest.select(rows), data.radiographs(rows)
    predictor = Predictor(bundle, runtime=options.runtime, precision=options.precision)
    results = predictor.assess(images, heatmaps=True, embeddings=True)
    engine, card, fingerprint = predictor.engine, bundle.card, chosen.fingerprint()
    done = Evaluated(
        measure_all(predictor, chosen, images, results, options),
        ModelReference(bundle.sha256, card.recipe_name, engine.runtime, engine.precision),
        fingerprint,
        split,
        count_evaluation(bundle, split, fingerprint),
    )
    if out is None:
        return done
    origin = Origin(done.model, fingerprint, split, _relation(card, data, split), card.recipe, card.versions)
    report = Report(
        done.evaluation,
        origin,
        report_sections(done.measurements),
        audit=data.audit,
        history=_history(bundle),
        gallery=_worst(chosen, results),
        notes=(*data.notes, *repeated_evaluation_warning(done.times)),
    )
    write_atomically(out / "predictions.csv", _predictions_csv(chosen, results))
    document = evaluation_json(done.measurements, done.model, fingerprint)
    write_report_files(out, report, card, document, origin)
    write_report(out / "report.html", report, linked(report))
    return replace(done, report=out / "report.html", shown=report)


def own_data(bundle: Bundle) -> Dataset:
    """The images of a run, as it split them.

    Raises:
        BundleError: they are not those it was trained with.
    """
    table = bundle.path.with_name("manifest.csv")
    data = load_for(bundle.card, DataSource(table))
    if data.manifest.fingerprint() != bundle.card.data.get("fingerprint"):
        raise BundleError(
            f"{table}: not the table the model was trained with, or files are missing. Restore them, or train again."
        )
    return data


def _relation(card: Card, data: Dataset, split: str) -> Relation:
    """What a split was to the model; known by the fingerprint of all images, labels, patients and splits."""
    if data.manifest.fingerprint() != card.data.get("fingerprint"):
        return "other"
    return "test" if split == "test" else "validation" if split == "validation" else "trained on"


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
            f"{data.source.path}: no image is in the {split} split. It has: {present}; or use --split all."
        )
    return split


def _worst(chosen: Manifest, results: Sequence[ImageResult]) -> tuple[GalleryCase, ...]:
    """The images whose own class was given the least probability, among those whose likeliest class is another."""
    own = [each.probabilities[label] for each, label in zip(results, chosen.labels, strict=True)]
    wrong = [i for i, each in enumerate(results) if int(np.argmax(each.probabilities)) != chosen.labels[i]]
    return tuple(_case(chosen, results[i], i) for i in sorted(wrong, key=lambda i: own[i])[:GALLERY])


def _case(chosen: Manifest, result: ImageResult, i: int) -> GalleryCase:
    likeliest = int(np.argmax(result.probabilities))
    heatmap = result.abnormality_heatmap
    assert heatmap is not None  # asked for
    return GalleryCase(
        name=chosen.paths[i].name,
        label=chosen.classes[chosen.labels[i]],
        predicted=chosen.classes[likeliest],
        probability=result.probabilities[likeliest],
        image=read_radiograph(chosen.paths[i]).pixels,
        heatmap=heatmap,
    )


def _history(bundle: Bundle) -> tuple[TrainingEpoch, ...]:
    path = bundle.path.with_name("history.csv")
    return parse_history(path.read_text(encoding="utf-8")) if path.exists() else ()


def _predictions_csv(chosen: Manifest, results: Sequence[ImageResult]) -> str:
    """A row for each image; p_abnormal and the finding are as `lungscope predict` gives them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"p_{name}" for name in chosen.classes]
    writer.writerow(["path", "label", "split", "finding", "p_abnormal", *names, "not_assessed"])
    for i, (path, each) in enumerate(zip(chosen.paths, results, strict=True)):
        label, values = chosen.classes[chosen.labels[i]], [f"{p:.6f}" for p in each.probabilities]
        abnormal = "" if each.p_abnormal is None else f"{each.p_abnormal:.6f}"
        writer.writerow([path, label, chosen.splits[i], each.finding or "", abnormal, *values, each.not_assessed])
    return text.getvalue()
