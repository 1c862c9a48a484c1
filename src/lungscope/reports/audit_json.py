"""The content of `audit.json`."""

from lungscope.data.audit.checks import AuditReport
from lungscope.data.audit.inspection import Inspection
from lungscope.data.audit.near_duplicates import NearPair
from lungscope.data.manifest import Manifest
from lungscope.reports.plain import Document, named, plain


def inspection_json(found: Inspection) -> Document:
    """Everything; pairs are numbered as in the page."""
    numbered = enumerate(found.near, start=1)
    return _report(found.report) | {
        "near_duplicates": [{"number": n} | _pair(pair, found.manifest) for n, pair in numbered],
        "readings": plain(found.readings),
        "shortcuts": plain(found.probes),
        "statistics": plain(found.statistics),
    }


def _report(report: AuditReport) -> Document:
    return {
        "n": report.n,
        "patients": report.n_patients,
        "unreadable": report.unreadable,
        "classes": list(report.classes),
        "splits": [split or "unassigned" for split in report.splits],
        "images": dict(zip(report.classes, report.counts.tolist(), strict=True)),
        "patients_per_class": dict(zip(report.classes, report.patients.tolist(), strict=True)),
        "leakage": bool(report.leaks),
        "findings": [named(finding, ("kind", "severity", "message", "paths")) for finding in report.findings],
        "duplicates": plain(report.duplicates),
    }


def _pair(pair: NearPair, manifest: Manifest) -> Document:
    rows = (pair.first, pair.second)
    return {
        "paths": [str(manifest.paths[row]) for row in rows],
        "labels": [manifest.classes[manifest.labels[row]] for row in rows],
        "splits": [manifest.splits[row] or "unassigned" for row in rows],
        **named(pair, ("agreement", "mirrored", "cut")),
    }
