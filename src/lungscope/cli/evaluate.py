"""`lungscope evaluate`; `train`, `ensemble` and `demo` print an evaluation in the same way."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import (
    Json,
    LabelPattern,
    Model,
    OutOfDistribution,
    PatientPattern,
    PrecisionName,
    Runtime,
    chosen_model,
    data_source,
)
from lungscope.cli.tables import estimate_cell, estimate_value, plain_table, print_json, print_table, stdout
from lungscope.errors import ConfigError
from lungscope.inference.result import RESEARCH_USE

if TYPE_CHECKING:
    from lungscope.evaluation.evaluate import Evaluation
    from lungscope.evaluation.measurements import Measurements
    from lungscope.evaluation.prevalence import Adaptation
    from lungscope.experiments.evaluate_run import Evaluated


def evaluate(
    data: Annotated[
        Path | None, typer.Argument(help="Class folders, train/ val/ test/ above them, or a CSV with path,label.")
    ] = None,
    model: Model = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Instead of DATA: scores of any model; columns label, one per class, and if wanted patient.",
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None, typer.Option(help="Of --scores: flag from here on; repeatable. By default 0.5.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation, train or all.")] = "test",
    prevalence: Annotated[float | None, typer.Option(help="Share of diseased where the model will be used.")] = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    ood: OutOfDistribution = None,
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json and report.html.")] = None,
    no_heat_checks: Annotated[
        bool, typer.Option("--no-heat-checks", help="Leave out the checks of heat maps, some seconds.")
    ] = False,
    adapt_prior: Annotated[
        bool, typer.Option("--adapt-prior", help="Also correct for the prevalence the images suggest.")
    ] = False,
    runtime: Runtime = "auto",
    precision: PrecisionName = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on labelled images, or scores of any model, with 95 % intervals.

    Example: lungscope evaluate chest_xray/test --model runs/first --split all --prevalence 0.1 --out evaluation

    Example: lungscope evaluate --scores scores.csv --out evaluation
    """
    if scores:
        of_images = {"DATA": data, "--model": model, "--ood": ood, "--adapt-prior": adapt_prior}
        _refuse("--scores measures without a model or images", of_images)
        _evaluate_scores(scores, threshold or [0.5], prevalence, out, as_json=as_json)
        return
    _refuse("A model has its own operating points", {"--threshold": threshold})
    if data is None:
        raise ConfigError("Nothing to evaluate. Name DATA, or --scores FILE.csv.")
    from lungscope.bundle.bundle import load_bundle
    from lungscope.data.dataset import load_for
    from lungscope.evaluation.measurements import EvaluationOptions
    from lungscope.experiments.evaluate_run import evaluate_bundle
    from lungscope.reports.evaluation_json import evaluation_json

    bundle = load_bundle(chosen_model(model))
    images = load_for(bundle.card, data_source(data, patient_pattern, label_pattern))
    options = EvaluationOptions(split, prevalence, runtime, precision, ood or (), not no_heat_checks, adapt_prior)
    done = evaluate_bundle(bundle, images, out, options)
    if as_json:
        print_json(evaluation_json(done.measurements, done.model, done.data_fingerprint))
    else:
        print_evaluation(done)


def _refuse(why: str, given: Mapping[str, object]) -> None:
    if named := [name for name, value in given.items() if value]:
        raise ConfigError(f"{why}. Leave {' and '.join(named)} out.")


def _evaluate_scores(
    path: Path, thresholds: list[float], prevalence: float | None, out: Path | None, *, as_json: bool
) -> None:
    from lungscope.api.evaluation import evaluate
    from lungscope.reports.evaluation_json import evaluation_json

    done = evaluate(path, thresholds=thresholds, prevalence=prevalence)
    page = done.write(out) if out else None
    if as_json:
        print_json(evaluation_json(done.measurements, None, ""))
        return
    found = done.evaluation
    stdout.print(f"{found.n} scores of {found.patients} patients. Intervals are 95 %.")
    _print_measurements(done.measurements)
    _print_end(page)


def print_evaluation(done: "Evaluated") -> None:
    """Print the main figures of a model's evaluation and where its report is."""
    from lungscope.reports.summary import repeated_evaluation_warning

    found = done.evaluation
    stdout.print(f"{found.n} images of {found.patients} patients, {done.split} split. Intervals are 95 %.")
    _print_measurements(done.measurements)
    for line in repeated_evaluation_warning(done.times):
        stdout.print(line)
    _print_end(done.report)


def _print_end(report: Path | None) -> None:
    if report:
        stdout.print(f"Report: {report}")
    stdout.print(RESEARCH_USE)


def _print_measurements(measured: "Measurements") -> None:
    from lungscope.reports.sections.shift import shift_warnings

    found = measured.evaluation
    for name in ("auroc", "accuracy", "brier", "ece"):
        stdout.print(f"  {name:<10} {getattr(found, name)}")
    if measured.input_check:
        share, wanted = measured.input_check.assessed.value or 0.0, measured.input_check.coverage
        stdout.print(f"  assessed   {share:.1%} of these images; the model's input check was set to {wanted:.1%}")
    if found.operating_points:
        _print_operating_points(found)
    if len(found.classes) > 2:
        _print_classes(found)
    if measured.adaptation:
        _print_adaptation(measured.adaptation)
    for warning in shift_warnings(measured.shift) if measured.shift else ():
        stdout.print("warning", style="yellow", end=": ")
        stdout.print(warning)


def _print_operating_points(found: "Evaluation") -> None:
    table = plain_table("operating point", "threshold", "sensitivity", "specificity", "PPV", "NPV")
    for each in found.operating_points:
        point, estimates = each.point, each.estimates
        shown = (estimate_cell(estimates.sensitivity), estimate_cell(estimates.specificity))
        values = (estimate_value(estimates.ppv), estimate_value(estimates.npv))
        table.add_row(point.name, f"{point.threshold:.3f}", *shown, *values)
    print_table(table)


def _print_classes(found: "Evaluation") -> None:
    """Each class against all others, called where it is the likeliest."""
    table = plain_table("class", "images", "AUROC", "precision", "recall", "F1")
    for each in found.per_class:
        area, recall = estimate_cell(each.auroc), estimate_cell(each.recall)
        precision, f1 = estimate_value(each.precision), estimate_value(each.f1)
        table.add_row(each.name, str(each.support), area, precision, recall, f1)
    print_table(table)


def _print_adaptation(found: "Adaptation") -> None:
    """The prevalence that the images suggest, and what correcting for it does."""
    shares = zip(found.classes, found.shift.shares, strict=True)
    stdout.print(f"Estimated without labels: {', '.join(f'{name} {share}' for name, share in shares)}.")
    if found.shift.refused:
        stdout.print("Do not use the correction", style="yellow", end=": ")
        stdout.print(f"{found.shift.refused}.")
    if not found.corrected:
        return
    table = plain_table("", "uncorrected", "corrected")
    for name in ("ece", "brier", "in_the_large"):
        sides = (found.uncorrected.estimate(name), found.corrected.estimate(name))
        table.add_row(name.replace("_", " "), *(str(each) for each in sides))
    for name in ("sensitivity", "specificity", "ppv") if found.calls else ():
        table.add_row(name, *(str(getattr(each, name)) for each in found.calls))
    print_table(table)
