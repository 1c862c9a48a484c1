"""What a run knows of itself, in sentences; empty where it does not know. Nothing is guessed.

The model card and the reporting checklists say only this, and ask a person for the rest.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from lungscope.bundle.card import Card
from lungscope.reports import recipe_facts, summary
from lungscope.reports.report import Origin, Relation, Report
from lungscope.reports.section import SectionKey
from lungscope.stats.estimate import Estimate

Facts = Mapping[str, str]
"""A sentence or two by topic; `templates/` names the topics."""

WHENCE: dict[Relation, str] = {
    "test": "held out from the same data the model was trained on",
    "validation": "of the same data the model was trained on, used to choose epoch, calibration and thresholds",
    "trained on": "among them images that the model was trained on",
    "other": "given for this evaluation; the run does not know whether the model has seen them",
}


LIMITS = {
    False: "All that was measured comes from images of the same source as the training images. Elsewhere it can be far "
    "worse: evaluate on images of the hospital in question before believing any of it.",
    True: "What was measured holds for the images evaluated here; another hospital, device or age group needs an "
    "evaluation of its own.",
}
"""By whether the images evaluated are of another source than those trained on."""


def gather(report: Report, card: Card, origin: Origin) -> Facts:
    """Put into sentences what a report, the model's card and their origin say."""
    recipe, names = tomllib.loads(card.recipe), summary.joined(card.classes)
    evaluated, external = _evaluated(report, origin), origin.images == "other"
    owned = card.statement and card.statement.licence
    return {
        "task": f"A deep-learning model (convolutional network) that tells {names} apart on frontal chest radiographs.",
        "classes": ", ".join(card.classes),
        "model": recipe_facts.model(recipe, card),
        "preprocessing": "Images are read as 8-bit grey (DICOM windows and inversion applied) and squashed to "
        f"{card.size} × {card.size} pixels; {recipe_facts.scaling(recipe)}all scaling is part of the model file.",
        "training": recipe_facts.training(recipe, len(report.history)),
        "augmentation": recipe_facts.augmentation(recipe),
        "selection": recipe_facts.selection(recipe),
        "software": ", ".join(f"{name} {number}" for name, number in sorted(card.versions.items())),
        "imbalance": f"Recipe setting: imbalance = “{recipe['imbalance']}”." if recipe.get("imbalance") else "",
        "recipe": f"Lungscope recipe “{card.recipe_name}”, with every setting in recipe.toml.",
        "ensemble": recipe_facts.ensemble(recipe),
        "partitions": _partitions(recipe, report),
        **_data(report, card),
        "evaluated": evaluated,
        **_measured(report, card),
        "internal": "" if external else f"{evaluated} {_performance(report)}",
        "external": f"{evaluated} {_performance(report)}" if external else "",
        **_sections(report, card),
        "whence": LIMITS[external],
        "unchecked": ""
        if card.input_check
        else "It assesses every picture that can be read, also one that is no chest radiograph.",
        "provenance": f"Model SHA-256 {origin.model.sha256}; fingerprint of the evaluated data "
        f"{origin.data_fingerprint}; run by {origin.model.runtime} in {origin.model.precision}.",
        "licence": "Made with Lungscope, which is under the Apache License 2.0"
        f"{'' if owned else '; that licence does not cover the model'}.",
    }


def read_template(name: str) -> dict[str, Any]:
    """A TOML file of `templates/`, whose sentences facts are put into."""
    return tomllib.loads((files("lungscope.reports") / "templates" / name).read_text(encoding="utf-8"))


def format_estimate(estimate: Estimate, form: summary.Format = summary.percent) -> str:
    """An estimate with its interval, or why there is none, in a line."""
    shown = summary.cell(estimate, form)
    if estimate.value is None:
        return f"undefined ({shown.reason})"
    return f"{shown.value} ({shown.interval})" if shown.interval else f"{shown.value} ({shown.reason})"


def _partitions(recipe: dict[str, Any], report: Report) -> str:
    data = recipe.get("data", {})
    if not data:
        return ""
    notes = " ".join(note for note in report.notes if "split" in note.lower() or "patient" in note.lower())
    return (
        f"Split setting “{data.get('split')}” (validation {data.get('validation', 0):.0%}, test "
        f"{data.get('test', 0):.0%}, seed {recipe.get('seed', 0)}). {notes}"
    ).strip()


def _evaluated(report: Report, origin: Origin) -> str:
    found = report.evaluation
    share = f"; {format_estimate(found.prevalence)} diseased" if found.prevalence.value is not None else ""
    return f"{found.n:,} radiographs of {found.patients:,} patients ({origin.split}), {WHENCE[origin.images]}{share}."


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


def _data(report: Report, card: Card) -> dict[str, str]:
    """What is known of the images and their parts."""
    parts = [f"{card.data[name]:,} {name}" for name in ("train", "validation", "test") if card.data.get(name)]
    found, disjoint = report.audit, ""
    if found and found.leaks:
        disjoint = "Not disjoint: the audit found patients or pictures in two parts; see “Data” in the report."
    elif found and len(found.splits) > 1:
        disjoint = (
            "By patient, as far as names or a patient column say; the audit found no patient and no identical "
            "picture in two parts."
        )
    return {
        "counts": f"Radiographs by part: {', '.join(parts)}." if parts else "",
        "disjoint": disjoint,
        "excluded": f"{found.unreadable:,} of {found.n:,} files could not be read and were left out." if found else "",
    }


def _measured(report: Report, card: Card) -> dict[str, str]:
    """What was chosen on validation and measured here."""
    found, shown = report.evaluation, len(report.gallery)
    calibrated = (
        "The probabilities are not recalibrated."
        if card.calibration.method == "none"
        else f"Probabilities are calibrated on validation, never on the test part ({card.calibration.method})."
    )
    ece, brier, slope = (
        format_estimate(each, summary.decimal) for each in (found.ece, found.brier, found.recalibration.slope)
    )
    points = "; ".join(f"{each.name} ({each.goal}): {each.threshold:.3f}" for each in card.operating_points)
    at_each = "sensitivity, specificity, PPV, NPV and F1 at every operating point, " if found.operating_points else ""
    return {
        "calibrated": calibrated,
        "calibration": f"{calibrated} Here: calibration error {ece}, Brier score {brier}, slope {slope}.",
        "operating_points": f"Chosen on validation, flagged from this probability on: {points}." if points else "",
        "parity": " ".join(
            f"Exported graph in {each.engine} against PyTorch on {each.images} images: largest difference of a "
            f"probability {each.largest_difference:.1e}, {each.flips} decisions changed."
            for each in card.parity
        ),
        "performance": _performance(report),
        "at_points": " ".join(
            f"At {each.point.name} ({each.point.threshold:.3f}): sensitivity "
            f"{format_estimate(each.estimates.sensitivity)}, specificity {format_estimate(each.estimates.specificity)}."
            for each in found.operating_points
        ),
        "metrics": f"AUROC, average precision, accuracy, balanced accuracy, {at_each}Brier score, expected calibration "
        "error, calibration slope and intercept; ROC, precision-recall and reliability curves.",
        "uncertainty": "95 % intervals: proportions by Wilson's score widened for several images per patient, the "
        "others by drawing patients with replacement, calibration slopes by patient-clustered standard errors.",
        "errors": f"The {shown} most confident errors are shown with their heat maps." if shown else "",
    }


def _sections(report: Report, card: Card) -> dict[str, str]:
    """Where in the report more is said."""
    titles = {each.key: each.title for each in report.sections}
    further = ", ".join(title for key, title in titles.items() if key != SectionKey.HEATMAPS)
    measured = " How often it does so is in the report." if SectionKey.INPUT_CHECK in titles else ""
    return {
        "explained": _place("Grad-CAM heat maps, checked", titles.get(SectionKey.HEATMAPS)),
        "by_group": _place("Estimates by group", titles.get(SectionKey.SUBGROUPS)),
        "further": f"Sections of the report: {further}." if further else "",
        "input_check": "The input check rejects pictures unlike the training images, and says why in place of a "
        f"finding.{measured}"
        if card.input_check
        else "",
    }


def _place(words: str, title: str | None) -> str:
    return f"{words}: section “{title}” of the report." if title else ""
