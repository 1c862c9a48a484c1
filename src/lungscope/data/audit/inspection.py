"""The complete audit of a data set: findings, near-duplicates, readings of the names, shortcuts, statistics."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.audit.checks import SEVERITIES, AuditReport, Finding, audit
from lungscope.data.audit.near_duplicates import NearPair, near_duplicates
from lungscope.data.audit.patient_names import NUMBER, NUMBER_AND_KIND, Overlap, Reading, readings
from lungscope.data.audit.shortcuts import CLEAR, Probe, probe
from lungscope.data.audit.table_columns import column_traits
from lungscope.data.audit.traits import measure
from lungscope.data.dataset import DataSource
from lungscope.data.manifest import Manifest
from lungscope.data.pack import Pack, pack
from lungscope.data.split import link_patients
from lungscope.errors import DataError

SIZE = 160
"""Side of the decoded images; that of the default recipe, so that its pack is used again."""


@dataclass(frozen=True)
class Spread:
    """Smallest, median and largest of a figure."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class ClassStatistics:
    """The readable images of one class."""

    name: str
    images: int
    patients: int
    most_of_one_patient: int
    """Images of the patient who has most."""
    width: Spread | None
    """None where the class has no readable image; so are the others."""
    height: Spread | None
    file_bytes: Spread | None


@dataclass(frozen=True, eq=False)
class Inspection:
    """Everything the audit knows."""

    report: AuditReport
    manifest: Manifest
    """N rows, linked patients."""
    pack: Pack
    """The same N rows."""
    near: tuple[NearPair, ...]
    """Rows of the manifest."""
    readings: tuple[Reading, ...]
    probes: tuple[Probe, ...]
    statistics: tuple[ClassStatistics, ...]


def inspect(source: DataSource) -> Inspection:
    """Read, decode and audit a data set completely.

    Args:
        source: where it lies, and how names are read.

    Raises:
        ManifestError: the data are not a data set.
        DataError: no image can be read.
    """
    manifest = source.read()
    packed = pack(manifest.paths, SIZE)
    if not packed.readable.any():
        raise DataError(f"{source.path}: none of {len(manifest)} images can be read; {packed.records[0].error}")
    return examine(manifest, packed)


def examine(manifest: Manifest, packed: Pack) -> Inspection:
    """Audit a data set that has been read.

    Args:
        manifest: N rows with the patients that names or CSV tell.
        packed: the same N rows, at least one of them readable.
    """
    linked, readable = link_patients(manifest, packed), np.flatnonzero(packed.readable)
    surplus = {row for rows in packed.identical() for row in rows[1:]}
    near = near_duplicates(packed.pixels, [row for row in readable.tolist() if row not in surplus])
    ways = readings(manifest, linked.patients)
    shown = linked.select(readable)
    probes = probe(shown, (*measure(packed, readable.tolist()), *column_traits(shown)))
    report = audit(linked, packed)
    further = [*_near_findings(linked, near), *_reading_findings(ways), *_shortcut_findings(probes)]
    listed = [each for each in report.findings if each.kind != "patient-number-across-splits"]
    findings = sorted([*listed, *further], key=lambda finding: SEVERITIES.index(finding.severity))
    return Inspection(
        replace(report, findings=tuple(findings)), linked, packed, near, ways, probes,
        _statistics(linked, packed),
    )  # fmt: skip


def _near_findings(manifest: Manifest, near: Sequence[NearPair]) -> Iterator[Finding]:
    splits, labels, patients = manifest.splits, manifest.labels, manifest.patients

    def files(pairs: Sequence[NearPair]) -> tuple[Path, ...]:
        return tuple(manifest.paths[row] for pair in pairs for row in (pair.first, pair.second))

    if torn := [each for each in near if len({splits[each.first], splits[each.second]} - {""}) > 1]:
        message = (
            f"{_pairs(torn)} of near-identical pictures stand in more than one split. Look at them in the page that "
            "--out writes, and keep each picture in one split."
        )
        yield Finding("near-duplicate-across-splits", "leakage", message, files(torn))
    if torn := [each for each in near if labels[each.first] != labels[each.second]]:
        message = f"{_pairs(torn)} of near-identical pictures have different labels. Find out which is right."
        yield Finding("near-label-conflict", "warning", message, files(torn))
    if torn := [each for each in near if patients[each.first] != patients[each.second]]:
        message = (
            f"{_pairs(torn)} of near-identical pictures stand under different patients, who may be one. "
            "Name the patients in a CSV if so."
        )
        yield Finding("near-duplicate-across-patients", "warning", message, files(torn))
    if near:
        message = f"{_pairs(near)} of pictures are nearly the same: saved again, resized, brightened, cut or mirrored."
        yield Finding("near-duplicate", "note", message, files(near))


def _pairs(near: Sequence[NearPair]) -> str:
    return f"{len(near)} pair" if len(near) == 1 else f"{len(near)} pairs"


def _reading_findings(ways: Sequence[Reading]) -> Iterator[Finding]:
    by_name = {way.name: way.overlaps for way in ways}
    for wide, narrow in zip(by_name.get(NUMBER, ()), by_name.get(NUMBER_AND_KIND, ()), strict=True):
        if wide.patients:
            yield Finding("patient-number-across-splits", "warning", _bounds(wide, narrow))


def _bounds(wide: Overlap, narrow: Overlap) -> str:
    return (
        f"Between {narrow.patients} and {wide.patients} patients stand in both {wide.one} and {wide.other} "
        f"({narrow.images} to {wide.images} images): {wide.patients} if a number such as person1 or IM-0001 is one "
        f"patient, {narrow.patients} if bacterial and viral cases, and each series of normal ones, are numbered apart. "
        "Name the patients in a CSV if you know."
    )


def _shortcut_findings(probes: Sequence[Probe]) -> Iterator[Finding]:
    for each in probes:
        value = each.auroc.value
        if each.alone and value is not None and value >= CLEAR:
            yield Finding("shortcut", "warning" if each.strong else "note", each.verdict)


def _statistics(manifest: Manifest, packed: Pack) -> tuple[ClassStatistics, ...]:
    readable = packed.readable
    found = []
    for label, name in enumerate(manifest.classes):
        rows = np.flatnonzero((manifest.labels == label) & readable)
        counted = Counter(manifest.patients[row] for row in rows)
        records = [packed.records[row] for row in rows]
        sizes = [_spread([getattr(record, key) for record in records]) for key in ("width", "height", "file_bytes")]
        found.append(ClassStatistics(name, len(rows), len(counted), max(counted.values(), default=0), *sizes))
    return tuple(found)


def _spread(values: Sequence[int] | NDArray[np.int64]) -> Spread | None:
    if not len(values):
        return None
    least, median, most = np.percentile(values, (0, 50, 100))
    return Spread(float(least), float(median), float(most))
