"""What `lungscope audit` prints."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lungscope.data.audit.inspection import Inspection
    from lungscope.data.audit.shortcuts import Probe

STYLES = {"leakage": "bold red", "error": "red", "warning": "yellow", "note": "dim"}


def write(found: "Inspection", out: Path) -> Path:
    """Write `audit.json` and `audit.html` into a folder; returns the page.

    Raises:
        OutputError: the place cannot be written.
    """
    from lungscope.reports.audit import write_inspection

    return write_inspection(found, out)


def inspection(found: "Inspection", page: Path | None, *, as_json: bool = False) -> None:
    """Print what the audit found, and where its page is."""
    from lungscope.reports.audit_json import inspection_json

    if as_json:
        print(json.dumps(inspection_json(found), indent=2))
        return
    console = Console(highlight=False)
    console.print(_counts(found))
    console.print(_readings(found))
    console.print(_probes(found))
    for finding in found.report.findings:
        console.print(f"[{STYLES[finding.severity]}]{finding.severity}[/]: ", end="")
        console.print(finding.message, markup=False, soft_wrap=True)
    if not found.report.findings:
        console.print("Nothing found.")
    if page:
        console.print(
            f"Page: {page} (it shows radiographs: keep it with the data)", markup=False, soft_wrap=True
        )


def _counts(found: "Inspection") -> Table:
    report = found.report
    table = _table("class", *[split or "unassigned" for split in report.splits], title="Images (patients)")
    for name, images, patients in zip(report.classes, report.counts, report.patients, strict=True):
        table.add_row(name, *[f"{n} ({p})" for n, p in zip(images, patients, strict=True)])
    return table


def _readings(found: "Inspection") -> Table:
    pairs = [f"in {each.one} and {each.other}" for each in found.readings[0].overlaps]
    table = _table("who is one patient", "patients", *pairs, title="Patients (images) in two splits")
    for way in found.readings:
        table.add_row(
            way.name, str(way.patients), *[f"{each.patients} ({each.images})" for each in way.overlaps]
        )
    return table


def _probes(found: "Inspection") -> Table:
    table = _table("property", "label", "split", title="AUROC of what knows nothing of anatomy")
    by_target: dict[str, list[Probe]] = {"label": [], "split": []}
    for each in found.probes:
        by_target[each.target].append(each)
    for label, split in zip(by_target["label"], by_target["split"], strict=True):
        table.add_row(label.name, _estimate(label), _estimate(split))
    reasons = [each.auroc.reason for each in by_target["split"]]
    if len(set(reasons)) == 1 and reasons[0]:
        table.caption = f"split: {reasons[0]}"
    return table


def _estimate(probe: "Probe") -> str:
    found = probe.auroc
    if found.value is None:
        return f"– ({found.reason})" if probe.target == "label" else "–"
    interval = "" if found.low is None or found.high is None else f" ({found.low:.2f}–{found.high:.2f})"
    return f"{found.value:.3f}{interval}"


def _table(*columns: str, title: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    return table
