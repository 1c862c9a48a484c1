"""What is different from the images a model was validated on, in figures and in plain words."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.validation_summary import BINS, Outcome, Reference, Validation, sketch
from lungscope.evaluation.evaluate import Evaluation, estimate_json
from lungscope.reports import summary
from lungscope.reports.section import Section, Table
from lungscope.reports.sections.shift import LOOKS, SCORES, Change, tell
from lungscope.stats.metrics import Estimate
from lungscope.stats.proportion import wilson

NOT_KEPT = Estimate(None, reason="the model does not keep it")


@dataclass(frozen=True)
class Shift:
    """These data beside validation."""

    n: int
    """Validation images."""
    changes: tuple[Change, ...]
    mean_p_abnormal: tuple[float, float]
    """On validation and here."""
    stability: float
    """Population stability index of p_abnormal; 0 is none."""
    embedding: float
    """Root mean square shift of the embeddings' sketch, in deviations of validation; 0 is none."""
    by_chance: float
    """What so many images of the same kind would show."""
    warnings: tuple[str, ...]


def measure_shift(
    evaluation: Evaluation,
    p_abnormal: NDArray[np.floating],
    embeddings: NDArray[np.float32],
    validation: Validation,
) -> Shift:
    """Hold an evaluation against what the card keeps of validation.

    Args:
        evaluation: of these data.
        p_abnormal: (N,), as the reference counts it.
        embeddings: (N, D).
        validation: of the card.
    """
    reference = validation.reference
    changes = _changes(evaluation, validation)
    stability, embedding = _stability(p_abnormal, reference), _embedding_shift(embeddings, reference)
    by_chance = math.sqrt(1 / len(p_abnormal) + 1 / reference.n)
    return Shift(
        n=reference.n,
        changes=changes,
        mean_p_abnormal=(reference.mean_p_abnormal, float(p_abnormal.mean())),
        stability=stability,
        embedding=embedding,
        by_chance=by_chance,
        warnings=tell(changes, stability, embedding, by_chance),
    )


def shift_section(shift: Shift) -> Section:
    """The comparison as a part of the report."""
    rows: list[tuple[str | summary.Cell, ...]] = [
        (each.name, summary.cell(each.then, each.form), summary.cell(each.now, each.form))
        for each in shift.changes
    ]
    further: list[tuple[str | summary.Cell, ...]] = [
        ("Mean probability of disease", *(summary.decimal(value) for value in shift.mean_p_abnormal)),
        ("Shift of the probabilities (stability index)", "0", summary.decimal(shift.stability)),
        (
            f"Shift of what the network sees (by chance {shift.by_chance:.2f})",
            "0",
            summary.decimal(shift.embedding),
        ),
    ]
    return Section(
        title="Compared with validation",
        lead=f"What changed against the {shift.n:,} images that the model was calibrated and its thresholds were "
        f"chosen on.{'' if shift.warnings else ' Nothing stands out.'}",
        warnings=shift.warnings,
        tables=(
            Table(
                "Then and now",
                ("Figure", "On validation", "Here"),
                (*rows, *further),
                f"A stability index above {SCORES:g} and a shift of what the network sees above {LOOKS:g} are large.",
            ),
        ),
    )


def shift_json(shift: Shift) -> dict[str, Any]:
    """The comparison for `evaluation.json`."""
    return {
        "shift": {
            "validation_images": shift.n,
            **{
                each.key: {"validation": estimate_json(each.then), "here": estimate_json(each.now)}
                for each in shift.changes
            },
            "mean_p_abnormal": {
                "validation": round(shift.mean_p_abnormal[0], 6),
                "here": round(shift.mean_p_abnormal[1], 6),
            },
            "stability_index": round(shift.stability, 6),
            "embedding_shift": round(shift.embedding, 6),
            "embedding_shift_by_chance": round(shift.by_chance, 6),
            "warnings": list(shift.warnings),
        }
    }


def _changes(evaluation: Evaluation, validation: Validation) -> tuple[Change, ...]:
    then = validation.outcome or _without_outcome(validation)
    here = evaluation.recalibration
    area = evaluation.p_abnormal_auroc if validation.curve else evaluation.auroc
    found = [Change("AUROC", "auroc", then.auroc, area)]
    if validation.curve:
        n = validation.curve.positives + validation.curve.negatives
        share = 1 - then.shares[0] if then.shares else validation.curve.positives / n
        found += [
            Change("Prevalence", "prevalence", _share(share, then.patients or n), evaluation.prevalence, is_share=True),
            Change("Calibration slope", "calibration_slope", then.slope, here.slope),
            Change("Calibration in the large", "calibration_in_the_large", then.in_the_large, here.in_the_large),
        ]  # fmt: skip
    return tuple(found)


def _without_outcome(validation: Validation) -> Outcome:
    curve = validation.curve
    if curve is None:
        return Outcome((), 0, NOT_KEPT, NOT_KEPT, NOT_KEPT)
    # The area under the points that the card keeps is that of all images to the third digit.
    area = float(np.trapezoid(curve.sensitivity, curve.specificity))
    known = Estimate(area, reason="no interval: the model keeps the curve only")
    return Outcome((), 0, known, NOT_KEPT, NOT_KEPT)


def _share(share: float, n: int) -> Estimate:
    low, high = wilson(share, n)
    return Estimate(share, float(low), float(high))


def _stability(p_abnormal: NDArray[np.floating], reference: Reference) -> float:
    counts, _ = np.histogram(p_abnormal, bins=BINS, range=(0, 1))
    seen = (counts + 0.5) / (counts.sum() + 0.5 * BINS)
    wanted = (np.array(reference.shares) * reference.n + 0.5) / (reference.n + 0.5 * BINS)
    return float(((seen - wanted) * np.log(seen / wanted)).sum())


def _embedding_shift(embeddings: NDArray[np.float32], reference: Reference) -> float:
    moved = sketch(embeddings).mean(axis=0) - np.array(reference.sketch_mean)
    return float(np.sqrt(((moved / np.maximum(reference.sketch_deviation, 1e-9)) ** 2).mean()))
