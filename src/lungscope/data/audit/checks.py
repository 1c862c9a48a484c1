"""What a data set has wrong with it, before anything is trained on it; each check is a function of its own."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungscope.data.manifest import OWN_PATIENT, Manifest, narrow_patients
from lungscope.data.pack import Pack

Severity = Literal["leakage", "error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leakage", "error", "warning", "note")
"""The gravest first."""
FEWEST = 30
"""Images or patients of a class in a split; with fewer, a sensitivity of 0.9 is known to ±0.11 at best."""
PREVALENCE_SHIFT = 0.05
"""Difference between two splits' shares of a class that is worth saying."""


@dataclass(frozen=True)
class Finding:
    """One thing found, in a line that names no patient."""

    kind: str
    severity: Severity
    message: str
    paths: tuple[Path, ...] = field(default=(), repr=False)
    """The files it is about; those that belong together stand together."""


@dataclass(frozen=True, eq=False)
class AuditReport:
    """All findings, the gravest first, and the tables they rest on."""

    findings: tuple[Finding, ...]
    n: int
    """Images, unreadable ones included."""
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    """In the order train, validation, test, and "" for rows without a split; absent ones left out."""
    counts: NDArray[np.int64]
    """(K, S), readable images of each class in each split."""
    patients: NDArray[np.int64]
    """(K, S), patients of each class in each split, by their readable images."""
    n_patients: int
    unreadable: int
    duplicates: tuple[tuple[Path, ...], ...] = field(default=(), repr=False)
    """Groups of files with identical pictures."""

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Findings that make figures on held-out images untrue."""
        return tuple(finding for finding in self.findings if finding.severity == "leakage")


@dataclass(frozen=True)
class _Case:
    """What every check is given."""

    manifest: Manifest
    pack: Pack
    splits: tuple[str, ...]
    counts: NDArray[np.int64]
    patients: NDArray[np.int64]
    duplicates: tuple[tuple[int, ...], ...]

    def files(self, groups: list[tuple[int, ...]]) -> tuple[Path, ...]:
        return tuple(self.manifest.paths[row] for rows in groups for row in rows)


def audit(manifest: Manifest, pack: Pack) -> AuditReport:
    """Look for what would make figures untrue or training poor.

    Args:
        manifest: N rows, splits assigned or not.
        pack: the same N rows.
    """
    case = _case(manifest, pack)
    findings = [finding for check in CHECKS for finding in check(case)]
    return AuditReport(
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        n=len(manifest),
        classes=manifest.classes,
        splits=case.splits,
        counts=case.counts,
        patients=case.patients,
        n_patients=len(set(manifest.patients)),
        unreadable=int((~pack.readable).sum()),
        duplicates=tuple(tuple(manifest.paths[row] for row in rows) for rows in case.duplicates),
    )


def _case(manifest: Manifest, pack: Pack) -> _Case:
    present = set(manifest.splits)
    splits = tuple(split for split in ("train", "validation", "test", "") if split in present)
    table = zip(manifest.labels.tolist(), manifest.splits, manifest.patients, pack.readable, strict=True)
    rows = [(label, split, patient) for label, split, patient, readable in table if readable]
    images = Counter((label, split) for label, split, _ in rows)
    patients = Counter((label, split) for label, split, _ in set(rows))

    def by_class(counted: Counter[tuple[int, str]]) -> NDArray[np.int64]:
        labels = range(len(manifest.classes))
        return np.array([[counted[label, split] for split in splits] for label in labels], dtype=np.int64)

    return _Case(manifest, pack, splits, by_class(images), by_class(patients), pack.identical())


def _unreadable(case: _Case) -> Iterator[Finding]:
    rows = np.flatnonzero(~case.pack.readable).tolist()
    if rows:
        reason = case.pack.records[rows[0]].error
        message = f"{len(rows)} of {len(case.manifest)} files cannot be read and are left out. The first: {reason}"
        yield Finding("unreadable", "error", message, case.files([tuple(rows)]))


def _identical_across_splits(case: _Case) -> Iterator[Finding]:
    splits = case.manifest.splits
    torn = [rows for rows in case.duplicates if len({splits[row] for row in rows} - {""}) > 1]
    if torn:
        message = f"{len(torn)} pictures stand in more than one split under other file names. Keep each in one."
        yield Finding("duplicate-across-splits", "leakage", message, case.files(torn))


def _identical_across_classes(case: _Case) -> Iterator[Finding]:
    labels = case.manifest.labels
    torn = [rows for rows in case.duplicates if len({labels[row] for row in rows}) > 1]
    if torn:
        message = f"{len(torn)} pictures have two different labels. Find out which is right and remove the other file."
        yield Finding("label-conflict", "warning", message, case.files(torn))


def _identical_within_class(case: _Case) -> Iterator[Finding]:
    labels = case.manifest.labels
    groups = [rows for rows in case.duplicates if len({labels[row] for row in rows}) == 1]
    if groups:
        surplus = sum(len(rows) for rows in groups) - len(groups)
        message = f"{len(groups)} pictures occur more than once in a class ({surplus} surplus files). Keep one of each."
        yield Finding("duplicate", "warning", message, case.files(groups))


def _patients_across_splits(case: _Case) -> Iterator[Finding]:
    splits = case.manifest.splits
    for one, other in combinations(filter(None, case.splits), 2):
        wide = _in_both(case.manifest.patients, splits, one, other)
        narrow = _in_both(narrow_patients(case.manifest), splits, one, other)
        if narrow:
            message = f"{len(narrow)} patients stand in both {one} and {other}. Keep each patient in one split."
            yield Finding("patient-across-splits", "leakage", message, case.files(narrow))
        elif wide:
            message = (
                f"{len(wide)} patients stand in both {one} and {other} if a number such as person1 is one patient, "
                "none if bacterial and viral cases are numbered apart. Name the patients in a CSV if you know."
            )
            yield Finding("patient-number-across-splits", "warning", message, case.files(wide))


def _in_both(patients: Sequence[str], splits: Sequence[str], one: str, other: str) -> list[tuple[int, ...]]:
    """The rows of each patient who stands in both splits."""
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, (patient, split) in enumerate(zip(patients, splits, strict=True)):
        if split in (one, other):
            rows_of[patient].append(row)
    shared = (rows for _, rows in sorted(rows_of.items()) if {splits[row] for row in rows} == {one, other})
    return [tuple(rows) for rows in shared]


def _few_examples(case: _Case) -> Iterator[Finding]:
    for s, split in enumerate(case.splits):
        for k, name in enumerate(case.manifest.classes):
            images, patients = case.counts[k, s], case.patients[k, s]
            if images < FEWEST or patients < FEWEST:
                kind = "tiny-validation" if split == "validation" else "few-examples"
                where = f"{split.capitalize()} has" if split else "There are"
                message = (
                    f"{where} {images} images of {name} (patients: {patients}); with fewer than {FEWEST}, "
                    "figures and thresholds are little more than chance. Add patients of that class."
                )
                yield Finding(kind, "warning", message)


def _prevalence_shift(case: _Case) -> Iterator[Finding]:
    shares = case.counts / np.maximum(case.counts.sum(axis=0), 1)
    assigned = [s for s, split in enumerate(case.splits) if split]
    for a, b in combinations(assigned, 2):
        k = int(np.argmax(np.abs(shares[:, a] - shares[:, b])))
        if abs(shares[k, a] - shares[k, b]) > PREVALENCE_SHIFT:
            message = (
                f"{case.manifest.classes[k]} is {shares[k, a]:.0%} of {case.splits[a]} and {shares[k, b]:.0%} "
                f"of {case.splits[b]}, so predictive values and calibration differ between them."
            )
            yield Finding("prevalence-shift", "note", message)


def _unknown_patients(case: _Case) -> Iterator[Finding]:
    unknown = sum(patient.startswith(OWN_PATIENT) for patient in case.manifest.patients)
    if unknown:
        message = f"The patient of {unknown} images is not known, so a patient in two splits may go unnoticed."
        yield Finding("unknown-patients", "note", message)


CHECKS = (
    _unreadable,
    _identical_across_splits,
    _patients_across_splits,
    _identical_across_classes,
    _identical_within_class,
    _few_examples,
    _prevalence_shift,
    _unknown_patients,
)
