"""`lungscope audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lungscope.cli.options import USER_ERROR, Data, Json, LabelPattern, PatientPattern, data_source
from lungscope.cli.tables import estimate_cell, plain_table, print_json, print_table, stdout

if TYPE_CHECKING:
    from lungscope.data.audit.inspection import Inspection
    from lungscope.data.audit.shortcuts import Probe

STYLES = {"leakage": "bold red", "error": "red", "warning": "yellow", "note": "dim"}


def audit(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.json and audit.html.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 when there is leakage.")] = False,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    as_json: Json = False,
) -> None:
    """Look for what makes figures lie: copies, patients in two splits, shortcuts, unreadable files, imbalance.

    Example: lungscope audit chest_xray --strict --out audit
    """
    from lungscope.data.audit.inspection import inspect
    from lungscope.reports.audit import write_inspection
    from lungscope.reports.audit_json import inspection_json

    found = inspect(data_source(data, patient_pattern, label_pattern))
    page = write_inspection(found, out) if out else None
    if as_json:
        print_json(inspection_json(found))
    else:
        _print(found, page)
    if strict and found.report.leaks:
        raise typer.Exit(USER_ERROR)


def _print(found: "Inspection", page: Path | None) -> None:
    for table in (_counts(found), _patients(found), _probes(found)):
        print_table(table)
    for finding in found.report.findings:
        stdout.print(finding.severity, style=STYLES[finding.severity], end=": ")
        stdout.print(finding.message)
    if not found.report.findings:
        stdout.print("Nothing found.")
    if page:
        stdout.print(f"Page: {page} (it shows radiographs: keep it with the data)")


def _counts(found: "Inspection") -> Table:
    report = found.report
    splits = [split or "unassigned" for split in report.splits]
    table = plain_table("class", *splits, title="Images (patients)")
    for name, images, patients in zip(report.classes, report.counts, report.patients, strict=True):
        table.add_row(name, *[f"{n} ({p})" for n, p in zip(images, patients, strict=True)])
    return table


def _patients(found: "Inspection") -> Table:
    """How many patients each reading of the names finds, and how many of them stand in two splits."""
    pairs = [f"in {each.one} and {each.other}" for each in found.readings[0].overlaps]
    table = plain_table("who is one patient", "patients", *pairs, title="Patients (images) in two splits")
    for way in found.readings:
        shared = [f"{each.patients} ({each.images})" for each in way.overlaps]
        table.add_row(way.name, str(way.patients), *shared)
    for column in table.columns:
        column.no_wrap = False
    return table


def _probes(found: "Inspection") -> Table:
    table = plain_table("property", "label", "split", title="AUROC of what knows nothing of anatomy")
    by_label, by_split = ([p for p in found.probes if p.target == target] for target in ("label", "split"))
    for label, split in zip(by_label, by_split, strict=True):
        table.add_row(label.name, _auroc(label), _auroc(split))
    reasons = {each.auroc.reason for each in by_split}
    if len(reasons) == 1 and (reason := reasons.pop()):
        table.caption = f"split: {reason}"
    for column in table.columns:
        column.no_wrap = False
    return table


def _auroc(probe: "Probe") -> str:
    if probe.auroc.value is None:
        return f"– ({probe.auroc.reason})" if probe.target == "label" else "–"
    return estimate_cell(probe.auroc)
