"""How well a model knows what it must not assess."""

from collections.abc import Sequence

from lungscope.evaluation.input_check import COMMON, InputCheckEstimates, SetEstimates
from lungscope.reports.section import Row, Section, SectionKey, Table
from lungscope.reports.summary import cell, percent
from lungscope.stats.estimate import Estimate


def input_check_section(
    input_check: InputCheckEstimates | None, sets: Sequence[SetEstimates], classes: Sequence[str]
) -> Section:
    """Images without an answer, and prediction sets."""
    key, title = SectionKey.INPUT_CHECK, "Images that are not assessed"
    tables = [_sets_table(sets, classes)] if sets else []
    if input_check is None:
        lead = "This model has no input check: whatever can be read is assessed, also what is no chest radiograph."
        return Section(key, title, lead, tables=tuple(tables))
    lead = (
        f"The input check rejects what is unlike the training images. It was set to assess {input_check.coverage:.0%} "
        f"of such images and assesses {_share(input_check.assessed)} of these. All else counts all images."
    )
    return Section(
        key, title, lead, warnings=_warnings(input_check),
        tables=(_coverage_table(input_check), _detection_table(input_check), *tables),
    )  # fmt: skip


def _warnings(input_check: InputCheckEstimates) -> tuple[str, ...]:
    found = list(input_check.notes)
    if input_check.assessed.high is not None and input_check.assessed.high < input_check.coverage:
        found.insert(
            0,
            f"Fewer images are assessed than the {input_check.coverage:.0%} that were planned: these images differ "
            "from those the model was trained on. Look at some that were rejected before using it here.",
        )
    return tuple(found)


def _coverage_table(input_check: InputCheckEstimates) -> Table:
    rows = (
        (f"assessed, set to {input_check.coverage:.0%}", cell(input_check.assessed)),
        (f"assessed, set to {COMMON:.0%}", cell(input_check.assessed_common)),
        ("accuracy of what is assessed", cell(input_check.right_assessed)),
        ("accuracy of what is rejected", cell(input_check.right_rejected)),
    )
    return Table(
        "Evaluated images", ("", "share (95 % interval)"), rows,
        "Rejecting pays where the model would have been wrong more often on what is rejected.",
    )  # fmt: skip


def _detection_table(input_check: InputCheckEstimates) -> Table:
    own, common = f"{input_check.coverage:.0%}", f"{COMMON:.0%}"
    header = ("what", "pictures", f"set to {own}", f"set to {common}", f"distance alone, {common}")
    rows: tuple[Row, ...] = tuple(
        (each.kind, str(each.images), *map(cell, (each.rejected, each.rejected_common, each.distance_common)))
        for each in input_check.detections
    )
    return Table(
        "Pictures the model must not assess: share rejected", header, rows,
        "Each share is of pictures that the model was not trained on; 100% is what is wanted.",
    )  # fmt: skip


def _sets_table(sets: Sequence[SetEstimates], classes: Sequence[str]) -> Table:
    header = ("asked for", *(f"{name} missed" for name in classes), "sets of one class")
    rows: tuple[Row, ...] = tuple(
        (f"{each.error_rate:.0%}", *map(cell, each.missed), cell(each.single)) for each in sets
    )
    return Table(
        "Prediction sets: share that misses the class", header, rows,
        "A set names every class that cannot be ruled out; for no class should it miss more than was asked for.",
    )  # fmt: skip


def _share(estimate: Estimate) -> str:
    return "n/a" if estimate.value is None else percent(estimate.value)
