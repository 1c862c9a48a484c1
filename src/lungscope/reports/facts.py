"""What a run knows of itself, in sentences; empty where it does not know. Nothing is guessed.

The model card and the reporting checklists say only this, and ask a person for the rest.
"""

import tomllib
from dataclasses import dataclass
from typing import Any

from lungscope.bundle.card import Card
from lungscope.reports import recipe_facts, summary
from lungscope.reports.report import Origin, Relation, Report
from lungscope.reports.section import SectionKey
from lungscope.stats.metrics import Estimate


@dataclass(frozen=True)
class Facts:
    """Each a sentence or two."""

    task: str
    model: str
    preprocessing: str
    training: str
    augmentation: str
    selection: str
    software: str
    partitions: str
    disjoint: str
    counts: str
    evaluated: str
    excluded: str
    imbalance: str
    calibration: str
    operating_points: str
    parity: str
    performance: str
    uncertainty: str
    errors: str
    provenance: str
    recipe: str
    ensemble: str
    metrics: str
    internal: str
    external: str
    at_points: str
    calibrated: str
    explained: str
    by_group: str
    input_check: str
    further: str
    """The report's further sections."""


WHENCE: dict[Relation, str] = {
    "test": "held out from the same data the model was trained on",
    "validation": "of the same data the model was trained on, used to choose epoch, calibration and thresholds",
    "trained on": "among them images that the model was trained on",
    "other": "given for this evaluation; the run does not know whether the model has seen them",
}


def gather(report: Report, card: Card, origin: Origin) -> Facts:
    """Put into sentences what a report, the model's card and their origin say."""
    recipe = tomllib.loads(card.recipe)
    return Facts(
        task=_task(card),
        model=recipe_facts.model(recipe, card),
        preprocessing=(
            f"Images are read as 8-bit grey (DICOM windows and inversion applied) and squashed to {card.size} × "
            f"{card.size} pixels; {recipe_facts.scaling(recipe)}all scaling is part of the model file."
        ),
        training=recipe_facts.training(recipe, len(report.history)),
        augmentation=recipe_facts.augmentation(recipe),
        selection=recipe_facts.selection(recipe),
        software=", ".join(f"{name} {number}" for name, number in sorted(card.versions.items())),
        partitions=_partitions(recipe, report),
        disjoint=_disjoint(report),
        counts=_counts(card),
        evaluated=_evaluated(report, origin),
        excluded=_excluded(report),
        imbalance=_imbalance(recipe),
        calibration=_calibration(card, report),
        operating_points=_points(card),
        parity=_parity(card),
        performance=_performance(report),
        uncertainty=(
            "95 % intervals: proportions by Wilson's score widened for several images per patient, the others by "
            "drawing patients with replacement, calibration slopes by patient-clustered standard errors."
        ),
        errors=_errors(report),
        provenance=(
            f"Model SHA-256 {origin.model.sha256}; fingerprint of the evaluated data {origin.data_fingerprint}; "
            f"run by {origin.model.runtime} in {origin.model.precision}."
        ),
        recipe=f"Lungscope recipe “{card.recipe_name}”, with every setting in recipe.toml.",
        ensemble=recipe_facts.ensemble(recipe),
        metrics=_metrics(report),
        internal="" if origin.images == "other" else f"{_evaluated(report, origin)} {_performance(report)}",
        external=f"{_evaluated(report, origin)} {_performance(report)}" if origin.images == "other" else "",
        at_points=_at_points(report),
        calibrated=_calibrated(card),
        explained=_section(report, SectionKey.HEATMAPS, "Grad-CAM heat maps, checked"),
        by_group=_section(report, SectionKey.SUBGROUPS, "Estimates by group"),
        input_check=_input_check(report, card),
        further=_further(report),
    )


def format_estimate(estimate: Estimate, form: summary.Format = summary.percent) -> str:
    """An estimate with its interval, or why there is none, in a line."""
    shown = summary.cell(estimate, form)
    if estimate.value is None:
        return f"undefined ({shown.reason})"
    return f"{shown.value} ({shown.interval})" if shown.interval else f"{shown.value} ({shown.reason})"


def _task(card: Card) -> str:
    names = summary.joined(card.classes)
    return f"A deep-learning model (convolutional network) that tells {names} apart on frontal chest radiographs."


def _partitions(recipe: dict[str, Any], report: Report) -> str:
    data = recipe.get("data", {})
    if not data:
        return ""
    notes = " ".join(note for note in report.notes if "split" in note.lower() or "patient" in note.lower())
    return (
        f"Split setting “{data.get('split')}” (validation {data.get('validation', 0):.0%}, test "
        f"{data.get('test', 0):.0%}, seed {recipe.get('seed', 0)}). {notes}"
    ).strip()


def _disjoint(report: Report) -> str:
    if report.audit is None:
        return ""
    if report.audit.leaks:
        return "Not disjoint: the audit found patients or pictures in two parts; see “Data” in the report."
    if len(report.audit.splits) < 2:
        return ""
    return (
        "By patient, as far as names or a patient column say; the audit found no patient and no identical "
        "picture in two parts."
    )


def _counts(card: Card) -> str:
    parts = [f"{card.data[name]:,} {name}" for name in ("train", "validation", "test") if card.data.get(name)]
    return f"Radiographs by part: {', '.join(parts)}." if parts else ""


def _evaluated(report: Report, origin: Origin) -> str:
    found = report.evaluation
    share = f"; {format_estimate(found.prevalence)} diseased" if found.prevalence.value is not None else ""
    return f"{found.n:,} radiographs of {found.patients:,} patients ({origin.split}), {WHENCE[origin.images]}{share}."


def _excluded(report: Report) -> str:
    if report.audit is None:
        return ""
    return f"{report.audit.unreadable:,} of {report.audit.n:,} files could not be read and were left out."


def _imbalance(recipe: dict[str, Any]) -> str:
    way = recipe.get("imbalance", "")
    return f"Recipe setting: imbalance = “{way}”." if way else ""


def _calibration(card: Card, report: Report) -> str:
    found = report.evaluation
    return (
        f"{_calibrated(card)} Here: calibration error {format_estimate(found.ece, summary.decimal)}, Brier score "
        f"{format_estimate(found.brier, summary.decimal)}, slope "
        f"{format_estimate(found.recalibration.slope, summary.decimal)}."
    )


def _calibrated(card: Card) -> str:
    if card.calibration.method == "none":
        return "The probabilities are not recalibrated."
    return f"Probabilities are calibrated on validation, never on the test part ({card.calibration.method})."


def _points(card: Card) -> str:
    shown = [f"{each.name} ({each.goal}): {each.threshold:.3f}" for each in card.operating_points]
    return f"Chosen on validation, flagged from this probability on: {'; '.join(shown)}." if shown else ""


def _parity(card: Card) -> str:
    return " ".join(
        f"Exported graph in {each.engine} against PyTorch on {each.images} images: largest difference of a probability "
        f"{each.largest_difference:.1e}, {each.flips} decisions changed."
        for each in card.parity
    )


def _performance(report: Report) -> str:
    found = report.evaluation
    parts = [f"AUROC {format_estimate(found.auroc, summary.decimal)}"]
    if found.operating_points:
        point = found.operating_points[0]
        parts += [
            f"at {point.point.name} sensitivity {format_estimate(point.estimates.sensitivity)}",
            f"specificity {format_estimate(point.estimates.specificity)}",
        ]
    else:
        parts.append(f"accuracy {format_estimate(found.accuracy)}")
    return f"{', '.join(parts)}."


def _errors(report: Report) -> str:
    shown = len(report.gallery)
    return f"The {shown} most confident errors are shown with their heat maps." if shown else ""


def _metrics(report: Report) -> str:
    points = (
        "sensitivity, specificity, PPV, NPV and F1 at every operating point, "
        if report.evaluation.operating_points
        else ""
    )
    return (
        f"AUROC, average precision, accuracy, balanced accuracy, {points}Brier score, expected calibration error, "
        "calibration slope and intercept; ROC, precision-recall and reliability curves."
    )


def _at_points(report: Report) -> str:
    return " ".join(
        f"At {each.point.name} ({each.point.threshold:.3f}): sensitivity "
        f"{format_estimate(each.estimates.sensitivity)}, specificity {format_estimate(each.estimates.specificity)}."
        for each in report.evaluation.operating_points
    )


def _section(report: Report, key: SectionKey, words: str) -> str:
    found = report.section(key)
    return f"{words}: section “{found.title}” of the report." if found else ""


def _input_check(report: Report, card: Card) -> str:
    if card.input_check is None:
        return ""
    measured = " How often it does so is in the report." if report.section(SectionKey.INPUT_CHECK) else ""
    return f"The input check rejects pictures unlike the training images, and says why in place of a finding.{measured}"


def _further(report: Report) -> str:
    titles = [each.title for each in report.sections if each.key != SectionKey.HEATMAPS]
    return f"Sections of the report: {', '.join(titles)}." if titles else ""
