"""The content of `evaluation.json`, as `docs/evaluation.schema.json` describes it."""

from dataclasses import asdict, fields

from lungscope.evaluation.calibration import ROWS, CalibrationEffect, CalibrationEstimates
from lungscope.evaluation.evaluate import Evaluation, ModelReference, PointEstimates
from lungscope.evaluation.heatmaps.checks import HeatChecks
from lungscope.evaluation.heatmaps.regions import CORNER_NAMES, ClassRegions
from lungscope.evaluation.input_check import COMMON, InputCheckEstimates, SetEstimates
from lungscope.evaluation.measurements import Measurements
from lungscope.evaluation.prevalence import CALLS, Adaptation
from lungscope.evaluation.shift import Shift
from lungscope.evaluation.strata import Robustness
from lungscope.evaluation.subgroups import Grouping, Subgroups
from lungscope.reports.plain import Document, named, plain
from lungscope.reports.sections.shift import shift_warnings
from lungscope.stats.estimate import rounded

VERSION = 1
OVERALL = (
    "prevalence", "auroc", "average_precision", "p_abnormal_auroc", "accuracy", "balanced_accuracy", "brier", "ece",
)  # fmt: skip
AT_A_POINT = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "balanced_accuracy")
OF_A_CLASS = ("auroc", "precision", "recall", "f1")
OF_A_GROUP = ("prevalence", "auroc", "sensitivity", "specificity", "ece")


def evaluation_json(found: Measurements, model: ModelReference | None, data_fingerprint: str) -> Document:
    """Keys in a fixed order, six decimals, finite numbers; what was not measured has no key.

    Args:
        found: everything that was measured.
        model: which model, and how it was run; None for scores without a model.
        data_fingerprint: of the manifest; empty for scores.
    """
    evaluation = found.evaluation
    data = {"fingerprint": data_fingerprint or None, "patients": evaluation.patients}
    document = _overall(evaluation) | {"model": asdict(model) if model else None, "data": data}
    if found.shift:
        document["shift"] = _shift(found.shift)
    if found.calibration:
        document["calibration"] = _effect(found.calibration)
    if found.decision_curve:
        document["decision_curve"] = plain(found.decision_curve)
    if found.subgroups:
        document["subgroups"] = subgroups_json(found.subgroups)
    if found.adaptation:
        document["label_shift"] = _adaptation(found.adaptation)
    document["input_check"] = _input_check(found.input_check) if found.input_check else None
    document["prediction_sets"] = [_set(each, evaluation.classes) for each in found.prediction_sets]
    if found.strata:
        document["strata"] = strata_json(found.strata)
    if found.heatmaps:
        document["heatmaps"] = heatmaps_json(found.heatmaps)
    return document


def strata_json(found: Robustness) -> Document:
    """Every stratum, and the name of the worst by AUROC and by calibration error."""
    worst = {name: each.name if (each := found.worst(name)) else None for name in ("auroc", "ece")}
    return {"worst": worst, "strata": plain(found.strata)}


def _overall(evaluation: Evaluation) -> Document:
    fit = evaluation.recalibration
    return {
        "version": VERSION,
        "n": evaluation.n,
        "classes": list(evaluation.classes),
        "support": {each.name: each.support for each in evaluation.per_class},
        **named(evaluation, OVERALL),
        **{f"calibration_{each.name}": plain(getattr(fit, each.name)) for each in fields(fit)},
        "operating_points": {each.point.name: _point(each) for each in evaluation.operating_points},
        "expected_prevalence": evaluation.expected_prevalence,
        "confusion_matrix": evaluation.confusion.tolist(),
        "per_class": {each.name: {"support": each.support, **named(each, OF_A_CLASS)} for each in evaluation.per_class},
    }


def _point(each: PointEstimates) -> Document:
    point = each.point
    expected = {"ppv_expected": each.ppv_expected, "npv_expected": each.npv_expected}
    return {
        "threshold": point.threshold,
        "goal": point.goal,
        "note": point.note,
        **named(each.estimates, AT_A_POINT),
        **{name: estimate.as_json() for name, estimate in expected.items() if estimate},
        "counts": asdict(each.estimates.counts),
        "confusion_matrix": each.confusion.tolist(),
        "when_chosen": named(point, ("sensitivity", "specificity")),
    }


def _shift(shift: Shift) -> Document:
    return {
        "validation_images": shift.n,
        **{each.key: {"validation": plain(each.then), "here": plain(each.now)} for each in shift.changes},
        "mean_score": dict(zip(("validation", "here"), plain(shift.mean_score), strict=True)),
        "stability_index": rounded(shift.stability),
        "embedding_shift": rounded(shift.embedding),
        "embedding_shift_by_chance": rounded(shift.by_chance),
        "warnings": list(shift_warnings(shift)),
    }


def _effect(effect: CalibrationEffect) -> Document:
    both = {"before": _calibration(effect.before), "after": _calibration(effect.after)}
    return asdict(effect.calibration) | both


def _calibration(found: CalibrationEstimates) -> Document:
    return {
        **{key: found.estimate(key).as_json() for _, key in ROWS},
        "reliability": named(found.reliability, ("predicted", "observed", "low", "high", "count")),
    }


def subgroups_json(found: Subgroups) -> Document:
    """Every group and the largest gaps, by column; and the columns that could not be used."""
    columns = {each.column: _grouping(each) for each in found.groupings}
    return {"columns": columns, "refused": list(found.refused)}


def _grouping(grouping: Grouping) -> Document:
    return {
        "note": grouping.note,
        "groups": {each.name: named(each, ("n", "patients", "small", *OF_A_GROUP)) for each in grouping.groups},
        "largest_gaps": {
            each.estimate: {
                **named(each, ("higher", "lower")),
                **named(each.gap, ("difference", "p_value")),
                "p_holm": rounded(each.corrected),
            }
            for each in grouping.differences
        },
    }


def _adaptation(found: Adaptation) -> Document:
    def by_class(values: tuple[object, ...]) -> Document:
        return dict(zip(found.classes, plain(values), strict=True))

    both = {"uncorrected": found.uncorrected, "corrected": found.corrected}
    calls = dict(zip(both, (named(each, CALLS) for each in found.calls), strict=False))
    return {
        "calibrated_for": by_class(found.prior),
        "estimated": by_class(tuple(found.shift.shares)),
        "actual": by_class(found.actual),
        "refused": found.shift.refused,
        "fit_p_value": rounded(found.shift.fit.p_value) if found.shift.fit else None,
        **{name: each and _calibration(each) | calls.get(name, {}) for name, each in both.items()},
    }


def _input_check(found: InputCheckEstimates) -> Document:
    return {**plain(found), "common_coverage": COMMON}


def _set(each: SetEstimates, classes: tuple[str, ...]) -> Document:
    return {**plain(each), "missed": dict(zip(classes, plain(each.missed), strict=True))}


def heatmaps_json(checks: HeatChecks) -> Document:
    """What every check of the heat maps found, or why it does not apply."""
    return {
        **named(checks, ("seed", "grid")),
        "sample": len(checks.sample),
        "regions": {each.name: _regions(each) for each in checks.regions},
        "pointing": plain(checks.pointing),
        "deletion_insertion": plain(checks.curves),
        "randomisation": plain(checks.randomisation),
    }


def _regions(found: ClassRegions) -> Document:
    return {
        "images": found.images,
        **{each.name.replace(" ", "_"): plain(each) for each in found.regions},
        "corners_heat": {
            name.replace(" ", "_"): plain(each) for name, each in zip(CORNER_NAMES, found.corners, strict=True)
        },
    }
