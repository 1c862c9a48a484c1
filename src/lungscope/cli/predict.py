"""`lungscope predict`. What it imports decides how long a first prediction takes."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import FAILED_FILES, ErrorRate, Model, PrecisionName, Runtime, chosen_model, chosen_point
from lungscope.errors import BundleError
from lungscope.inference.result import RESEARCH_USE
from lungscope.system.progress import note, track

if TYPE_CHECKING:
    from lungscope.bundle.card import Card
    from lungscope.inference.predictor import Predictor
    from lungscope.inference.result import ImageResult

NOT_ASSESSED = "not assessed"


def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, DICOM files or folders.")],
    model: Model = None,
    operating_point: Annotated[
        str | None, typer.Option(help="One of the model's, or a goal: 'sensitivity >= 0.98'.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Flag from this probability on, instead of an operating point.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of diseased where it is used; tells what a flag is worth.")
    ] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for overlays.")] = None,
    error_rate: ErrorRate = None,
    out: Annotated[Path | None, typer.Option(help="FILE.csv or FILE.jsonl instead of a table.")] = None,
    runtime: Runtime = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Classify images: finding, calibrated probability, operating point, file, notes; or why one is not assessed.

    Example: lungscope predict new/*.jpeg --heatmaps overlays
    """
    from lungscope.bundle.bundle import load_bundle
    from lungscope.inference.predictor import Predictor
    from lungscope.inference.result_table import check_table
    from lungscope.inference.sources import find_sources

    if out:
        check_table(out)
    predictor = Predictor(load_bundle(chosen_model(model)), runtime=runtime, precision=precision)
    operating_point = chosen_point(operating_point, threshold)
    if prevalence is not None:
        _print_predictive_values(predictor.card, operating_point, prevalence)
    sources = find_sources(inputs)
    paths = [source.path for source in sources]
    results = predictor.assess_files(
        paths, operating_point=operating_point, heatmaps=heatmaps is not None, error_rate=error_rate
    )
    if heatmaps:
        from lungscope.inference.overlay_files import write_overlays

        results = write_overlays(results, sources, heatmaps)
    if print_results(results, predictor, len(paths), out):
        raise typer.Exit(FAILED_FILES)


def print_results(results: "Iterable[ImageResult]", predictor: "Predictor", total: int, out: Path | None) -> int:
    """Print or write one row per file and a summary; returns how many files failed."""
    from lungscope.inference.result_table import write_table

    started, findings = time.perf_counter(), Counter[str]()

    def counted() -> "Iterator[ImageResult]":
        for result in results:
            findings[_outcome(result)] += 1
            yield result

    if out:
        failures = write_table(track(counted(), "Predicting", total), out, predictor.card)
    else:
        failures = _print_rows(counted(), predictor)
    rate = total / max(time.perf_counter() - started, 1e-9)
    counts = ", ".join(f"{n} {name}" for name, n in findings.most_common())
    where = f" → {out}" if out else ""
    files = f"{total} file{'s' * (total != 1)}"
    note(f"{files}: {counts} ({rate:.0f} images/s, {predictor.engine}){where}. {RESEARCH_USE}")
    if predictor.card.input_check is None:
        note(
            "This model has no input check: whatever can be read is assessed, also what is no chest radiograph. "
            "Train it again with this version for one."
        )
    return failures


def _outcome(result: "ImageResult") -> str:
    if result.decision is None:
        return "failed"
    return NOT_ASSESSED if result.not_assessed else result.decision.finding


def _print_rows(results: "Iterable[ImageResult]", predictor: "Predictor") -> int:
    failures, width = 0, max(len(NOT_ASSESSED), *(len(name) for name in predictor.card.classes))
    # The file stands last: its length is not known beforehand, and rows are printed as they come.
    print(f"{'finding':<{width}}  probability  operating point           file")
    for result in results:
        decision = result.decision
        if decision is None:
            failures += 1
            print(f"{'failed':<{width}}  {'':<11}  {'':<24}  {result.error}")
            continue
        if result.not_assessed:
            print(f"{NOT_ASSESSED:<{width}}  {result.source}: {result.not_assessed}")
            continue
        point = f"{decision.operating_point} (≥ {decision.threshold:.3f})" if decision.threshold is not None else ""
        notes = f"  [{'; '.join(result.notes)}]" if result.notes else ""
        if result.prediction_set is not None:
            notes = f"  {{{', '.join(result.prediction_set)}}}{notes}"
        # Without a reference class there is no p_abnormal, and the finding is the likeliest class.
        shown = max(result.probabilities) if decision.p_abnormal is None else decision.p_abnormal
        print(f"{decision.finding:<{width}}  {shown:<11.4f}  {point:<24}  {result.source}{notes}")
    sys.stdout.flush()
    return failures


def _print_predictive_values(card: "Card", operating_point: str | None, prevalence: float) -> None:
    """Say what a flag and an all-clear are worth at a prevalence.

    Raises:
        BundleError: the model has no operating points.
        ConfigError: the prevalence is not between 0 and 1.
    """
    from lungscope.stats.predictive import predictive_estimates

    if not card.operating_points:
        raise BundleError("The model has no operating points, so no predictive values. Leave --prevalence out.")
    point = card.operating_point(operating_point)
    ppv, npv = predictive_estimates(point.sensitivity, point.specificity, prevalence)
    note(
        f"Where {100 * prevalence:.3g}% are diseased, at {point.name} (≥ {point.threshold:.3f}): a flag is right with "
        f"probability {ppv}, an all-clear with {npv}; from validation."
    )
