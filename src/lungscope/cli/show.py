"""What commands print: tables for people, JSON for machines."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.default_model import CARD as BUNDLED_CARD
from lungscope.inference.batch import write_table
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import ImageResult
from lungscope.stats.metrics import Estimate
from lungscope.system.progress import stderr, track

if TYPE_CHECKING:
    from benchmarks.bench import Benchmark
    from lungscope.bundle.input_check import InputCheck
    from lungscope.config.recipe import Recipe
    from lungscope.evaluation.evaluate import Evaluation
    from lungscope.experiments.evaluate_run import Evaluated

RESEARCH_USE = "Research use only. Not a medical device."
NOT_ASSESSED = "not assessed"


def readings(rows: Iterable[ImageResult], predictor: Predictor, total: int, out: Path | None) -> int:
    """Print or write one row per file and a summary; returns how many files failed."""
    started, findings = time.perf_counter(), Counter[str]()

    def counted() -> Iterator[ImageResult]:
        for reading in rows:
            findings[_outcome(reading)] += 1
            yield reading

    if out:
        failures = write_table(track(counted(), "Predicting", total), out, predictor.card)
    else:
        failures = _print_readings(counted(), predictor)
    rate = total / max(time.perf_counter() - started, 1e-9)
    counts = ", ".join(f"{n} {name}" for name, n in findings.most_common())
    where = f" → {out}" if out else ""
    _say(
        f"{total} file{'s' * (total != 1)}: {counts} ({rate:.0f} images/s, {predictor.engine}){where}. {RESEARCH_USE}"
    )
    if predictor.card.input_check is None:
        _say(
            "This model has no input check: whatever can be read is assessed, also what is no chest radiograph. "
            "Train it again with this version for one."
        )
    return failures


def _outcome(reading: ImageResult) -> str:
    if reading.decision is None:
        return "failed"
    return NOT_ASSESSED if reading.not_assessed else reading.decision.finding


def _print_readings(rows: Iterable[ImageResult], predictor: Predictor) -> int:
    failures, width = 0, max(len(NOT_ASSESSED), *(len(name) for name in predictor.card.classes))
    # The file stands last: its length is not known beforehand, and rows are printed as they come.
    print(f"{'finding':<{width}}  probability  operating point           file")
    for reading in rows:
        decision = reading.decision
        if decision is None:
            failures += 1
            print(f"{'failed':<{width}}  {'':<11}  {'':<24}  {reading.error}")
            continue
        if reading.not_assessed:
            print(f"{NOT_ASSESSED:<{width}}  {reading.source}: {reading.not_assessed}")
            continue
        point = (
            f"{decision.operating_point} (≥ {decision.threshold:.3f})"
            if decision.threshold is not None
            else ""
        )
        notes = f"  [{'; '.join(reading.notes)}]" if reading.notes else ""
        if reading.prediction_set is not None:
            notes = f"  {{{', '.join(reading.prediction_set)}}}{notes}"
        # Without a reference class there is no p_abnormal, and the finding is the likeliest class.
        shown = max(reading.probabilities) if decision.p_abnormal is None else decision.p_abnormal
        print(f"{decision.finding:<{width}}  {shown:<11.4f}  {point:<24}  {reading.source}{notes}")
    sys.stdout.flush()
    return failures


def evaluation(done: "Evaluated", *, as_json: bool = False) -> None:
    """Print the main figures of an evaluation and where its report is."""
    from lungscope.cli import show_statistics
    from lungscope.reports.evaluation_json import evaluation_json
    from lungscope.reports.sections.shift import shift_warnings
    from lungscope.reports.summary import repeated_evaluation_warning

    measured = done.measurements
    if as_json:
        print(json.dumps(evaluation_json(measured, done.model, done.data_fingerprint), indent=2))
        return
    found = done.evaluation
    console = Console(highlight=False)
    console.print(f"{found.n} images of {found.patients} patients, {done.split} split. Intervals are 95 %.")
    for name in ("auroc", "accuracy", "brier", "ece"):
        console.print(f"  {name:<10} {getattr(found, name)}")
    if measured.input_check:
        share, wanted = measured.input_check.assessed.value or 0.0, measured.input_check.coverage
        console.print(
            f"  assessed   {share:.1%} of these images; the model's input check was set to {wanted:.1%}"
        )
    if found.operating_points:
        table = plain_table("operating point", "cut-off", "sensitivity", "specificity", "PPV", "NPV")
        for point in found.operating_points:
            estimates = point.estimates
            shown = (estimate_cell(estimates.sensitivity), estimate_cell(estimates.specificity))
            values = (estimate_value(estimates.ppv), estimate_value(estimates.npv))
            table.add_row(point.point.name, f"{point.point.threshold:.3f}", *shown, *values)
        console.print(table)
    if len(found.classes) > 2:
        console.print(_by_class(found))
    if measured.adaptation:
        show_statistics.adaptation(console, measured.adaptation)
    for warning in shift_warnings(measured.shift) if measured.shift else ():
        console.print("[yellow]warning[/]: ", end="")
        console.print(warning, markup=False, soft_wrap=True)
    for line in repeated_evaluation_warning(done.times):
        console.print(line, soft_wrap=True)
    if done.report:
        console.print(f"Report: {done.report}", soft_wrap=True)
    console.print(RESEARCH_USE)


def _by_class(found: "Evaluation") -> Table:
    """Each class against all others, called where it is the likeliest."""
    table = plain_table("class", "images", "AUROC", "precision", "recall", "F1")
    for each in found.per_class:
        area, recall = estimate_cell(each.auroc), estimate_cell(each.recall)
        precision, f1 = estimate_value(each.precision), estimate_value(each.f1)
        table.add_row(each.name, str(each.support), area, precision, recall, f1)
    return table


def bundle(model: Path, *, as_json: bool = False, prevalence: float | None = None) -> None:
    """Print what a model is, with predictive values at a prevalence when one is given."""
    from lungscope.cli import show_statistics

    found = load_bundle(model)
    card = found.card
    if as_json:
        print(json.dumps({"sha256": found.sha256, **asdict(card)}, indent=2))
        return
    console = Console(highlight=False)
    console.print(f"{found.path}\n  sha256       {found.sha256}", soft_wrap=True)
    console.print(
        f"  classes      {', '.join(card.classes)}\n  input        {card.size} × {card.size} px, 8-bit grey"
    )
    console.print(f"  recipe       {card.recipe_name}\n  calibration  {card.calibration.method}", end="")
    console.print(f", scale {card.calibration.scale:.3f}")
    console.print(
        f"  data         {', '.join(f'{name} {value}' for name, value in card.data.items())}", soft_wrap=True
    )
    console.print(f"  versions     {', '.join(f'{name} {value}' for name, value in card.versions.items())}")
    console.print(f"  input check         {_input_check(card.input_check)}", soft_wrap=True)
    for record in card.parity:
        console.print(
            f"  parity       {record.engine}: largest |Δp| {record.largest_difference:.1e} and {record.flips} "
            f"flipped decisions on {record.images} validation images"
        )
    if card.export:
        console.print(f"  export       {card.export}", soft_wrap=True)
    if said := card.statement:
        console.print(
            f"  trained on   {said.trained_on}\n  licence      {said.licence}", soft_wrap=True, markup=False
        )
        console.print(f"  attribution  {said.attribution}", soft_wrap=True, markup=False)
    for name in ("model_card.html", BUNDLED_CARD):
        if (page := found.path.with_name(name)).exists():
            console.print(f"  model card   {page}", soft_wrap=True)
    console.print("\nOperating points, chosen on validation; the first is the default:")
    show_statistics.points(console, card, prevalence)
    console.print(RESEARCH_USE)


def _input_check(input_check: "InputCheck | None") -> str:
    if input_check is None:
        return "none: whatever can be read is assessed"
    return (
        f"assesses {input_check.coverage:.1%} of images like its {input_check.images} validation images "
        f"(distance up to {input_check.limit():.2f}); checks: {', '.join(input_check.checks[1:])}"
    )


def recipes() -> None:
    """Print every recipe with its network and protocol, and the settings of the default one as TOML."""
    from lungscope.config.recipe import dump_recipe, load_recipe, recipe_names

    console = Console(highlight=False)
    for name in recipe_names():
        recipe = load_recipe(name)
        parameters = _parameters(recipe)
        size = f"{recipe.image.size} px" + (f", {parameters} parameters" if parameters else "")
        console.print(f"[bold]{name}[/bold]  {recipe.network.backbone}, {size}", soft_wrap=True)
        for line in (protocol(recipe), f"{recipe.description} {recipe.source}."):
            console.print(Padding(line, (0, 0, 0, 4)), markup=False)
    console.print("\nSettings of the default recipe; change them with --set section.key=value:\n")
    console.print(dump_recipe(load_recipe()), markup=False)


def protocol(recipe: "Recipe") -> str:
    """The split, the phases and what is done about imbalance, in a few words."""
    data, parts = recipe.data, []
    train = 1 - data.validation - data.test
    dealt = "" if data.split == "predefined" else f" {train:.0%} / {data.validation:.0%} / {data.test:.0%}"
    parts.append(f"split {data.split}{dealt}")
    tuned = "all layers" if recipe.finetune.layers == "all" else f"last {recipe.finetune.layers} layers"
    for label, phase in (("head", recipe.head), (tuned, recipe.finetune)):
        if phase.epochs:
            parts.append(f"{label} {phase.epochs} epochs, {phase.optimizer} {phase.learning_rate:g}")
    parts.append(f"imbalance: {recipe.imbalance}")
    return "; ".join(parts)


def _parameters(recipe: "Recipe") -> str:
    """The true number, for two classes, beside the one its source states; empty without PyTorch."""
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("timm") is None:
        return ""
    from lungscope.networks.network import count_parameters

    claim = f" (claimed: {recipe.claimed_parameters:,})" if recipe.claimed_parameters else ""
    return f"{count_parameters(recipe.network, recipe.image):,}{claim}"


def benchmark(found: "Benchmark") -> None:
    """Print a benchmark: every section with its contenders, then the targets."""
    from benchmarks.table import COLUMNS, TARGET_COLUMNS, heading, rows, verdict_cells, verdicts

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{found.machine}, {found.cores} cores, {found.seconds / 60:.1f} minutes")
    for one in found.found:
        table = plain_table(*COLUMNS[:5])
        for cells in rows(one):
            table.add_row(*cells[:5])
        console.print(f"\n[bold]{heading(one)}[/bold]", table, sep="\n")
    judged = plain_table(*TARGET_COLUMNS[:4])
    for verdict in verdicts(found):
        judged.add_row(*verdict_cells(verdict)[:4])
    console.print("", judged, sep="\n")
    for reason in found.missing:
        console.print(f"Not measured. {reason}")


def plain_table(*columns: str) -> Table:
    """A table without rules that fits eighty columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def estimate_value(estimate: Estimate) -> str:
    """A figure without its interval."""
    return "n/a" if estimate.value is None else f"{estimate.value:.3f}"


def estimate_cell(estimate: Estimate) -> str:
    """A figure with its interval, short."""
    interval = (
        "" if estimate.low is None or estimate.high is None else f" ({estimate.low:.2f}–{estimate.high:.2f})"
    )
    return estimate_value(estimate) + interval


def _say(text: str) -> None:
    stderr.print(text, highlight=False, soft_wrap=True)
