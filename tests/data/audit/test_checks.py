"""The audit finds what was planted, and nothing else; it never names a patient."""

from pathlib import Path

import numpy as np
import pytest

from lungscope.data.audit.checks import FEWEST, AuditReport, Finding, audit
from lungscope.data.decode import Record
from lungscope.data.manifest import Manifest, read_manifest
from lungscope.data.pack import Pack, pack


class Cohort:
    """Two classes in three parts, 40 patients of one image each everywhere; faults are planted row by row."""

    def __init__(self) -> None:
        rows = [(s, k, i) for s in ("train", "validation", "test") for k in (0, 1) for i in range(40)]
        self.splits = [split for split, _, _ in rows]
        self.labels = [label for _, label, _ in rows]
        self.patients = [f"DOE{split}{label}{i}" for split, label, i in rows]
        self.pictures = [f"picture {i}" for i in range(len(rows))]
        self.errors = [""] * len(rows)

    def row(self, split: str, label: int, i: int) -> int:
        return [r for r, pair in enumerate(zip(self.splits, self.labels, strict=True)) if pair == (split, label)][i]

    def drop(self, rows: list[int]) -> None:
        for column in (self.splits, self.labels, self.patients, self.pictures, self.errors):
            for row in sorted(rows, reverse=True):
                del column[row]  # type: ignore[attr-defined]

    def audit(self) -> AuditReport:
        n = len(self.labels)
        manifest = Manifest(
            tuple(Path(f"/data/{i}.png") for i in range(n)),
            np.array(self.labels),
            tuple(self.patients),
            tuple(self.splits),
            ("NORMAL", "PNEUMONIA"),
        )
        records = tuple(
            Record("", "" if error else picture, 9, 9, 8, "PNG", 9, (), error)
            for picture, error in zip(self.pictures, self.errors, strict=True)
        )
        return audit(manifest, Pack(np.zeros((n, 4, 4), np.uint8), records))


def only(report: AuditReport) -> Finding:
    (finding,) = report.findings
    return finding


def numbers(finding: Finding) -> list[int]:
    return [int(path.stem) for path in finding.paths]


def test_a_clean_data_set_has_no_findings() -> None:
    report = Cohort().audit()
    assert report.findings == report.leaks == report.duplicates == ()
    assert (report.n, report.n_patients, report.unreadable) == (240, 240, 0)
    assert report.splits == ("train", "validation", "test")
    assert report.counts.tolist() == report.patients.tolist() == [[40, 40, 40], [40, 40, 40]]


def test_unreadable_files_are_an_error_and_not_counted_as_images() -> None:
    cohort = Cohort()
    cohort.errors[0], cohort.errors[5] = "truncated. Copy it again.", "empty"
    report = cohort.audit()
    finding = only(report)
    assert (finding.kind, finding.severity, numbers(finding)) == ("unreadable", "error", [0, 5])
    assert "2 of 240 files" in finding.message
    assert "truncated" in finding.message
    assert report.unreadable == 2
    assert report.counts[0, 0] == 38


def test_unreadable_files_are_no_duplicates_of_each_other() -> None:
    cohort = Cohort()
    for split in ("train", "test"):
        cohort.errors[cohort.row(split, 0, 0)] = "empty"
    assert [finding.kind for finding in cohort.audit().findings] == ["unreadable"]


def test_a_patient_in_two_splits_is_leakage_and_is_not_named() -> None:
    cohort = Cohort()
    a, b = cohort.row("train", 1, 3), cohort.row("test", 1, 7)
    cohort.patients[b] = cohort.patients[a]
    report = cohort.audit()
    finding = only(report)
    assert (finding.kind, finding.severity, numbers(finding)) == ("patient-across-splits", "leakage", [a, b])
    assert "1 patients stand in both train and test" in finding.message
    assert report.leaks == (finding,)
    assert "DOE" not in finding.message + repr(report)


@pytest.mark.parametrize(
    ("name", "severity", "kind"),
    [
        ("person7_virus_9.jpeg", "warning", "patient-number-across-splits"),
        ("person7_bacteria_9.jpeg", "leakage", "patient-across-splits"),
    ],
)
def test_a_number_shared_by_bacterial_and_viral_cases_is_no_leakage_yet(name: str, severity: str, kind: str) -> None:
    names = ["person7_bacteria_1.jpeg", name, "IM-0001-0001.jpeg", "IM-0002-0001.jpeg"]
    manifest = Manifest(
        tuple(Path("/data") / each for each in names),
        np.array([1, 1, 0, 0]),
        ("person7", "person7", "IM-0001", "IM-0002"),
        ("train", "test", "train", "test"),
        ("NORMAL", "PNEUMONIA"),
    )
    records = tuple(Record("", each, 9, 9, 8, "JPEG", 9, (), "") for each in names)
    report = audit(manifest, Pack(np.zeros((4, 4, 4), np.uint8), records))
    (finding,) = [finding for finding in report.findings if "patient" in finding.kind]
    assert (finding.severity, finding.kind) == (severity, kind)
    assert finding.message.startswith("1 patients stand in both train and test")


def test_each_pair_of_splits_is_looked_at() -> None:
    cohort = Cohort()
    for split in ("train", "validation", "test"):
        cohort.patients[cohort.row(split, 0, 0)] = "DOE"
    assert len(cohort.audit().leaks) == 3


def test_a_picture_in_two_splits_is_leakage() -> None:
    cohort = Cohort()
    a, b = cohort.row("train", 0, 3), cohort.row("validation", 0, 1)
    cohort.pictures[b] = cohort.pictures[a]
    report = cohort.audit()
    assert [(finding.kind, finding.severity) for finding in report.findings] == [
        ("duplicate-across-splits", "leakage"),
        ("duplicate", "warning"),
    ]
    assert numbers(report.leaks[0]) == [a, b]


def test_a_picture_under_two_labels_is_a_conflict() -> None:
    cohort = Cohort()
    a, b = cohort.row("train", 0, 3), cohort.row("train", 1, 3)
    cohort.pictures[b] = cohort.pictures[a]
    finding = only(cohort.audit())
    assert (finding.kind, finding.severity, numbers(finding)) == ("label-conflict", "warning", [a, b])


def test_copies_within_a_class_are_counted_and_grouped() -> None:
    cohort = Cohort()
    for group, rows in enumerate([(0, 3, 5), (10, 11)]):
        for row in rows:
            cohort.pictures[row] = f"copy {group}"
    report = cohort.audit()
    finding = only(report)
    assert (finding.kind, finding.severity) == ("duplicate", "warning")
    assert "2 pictures occur more than once in a class (3 surplus files)" in finding.message
    assert numbers(finding) == [0, 3, 5, 10, 11]
    assert report.duplicates == (tuple(finding.paths[:3]), tuple(finding.paths[3:]))


def test_rows_without_a_split_do_not_leak() -> None:
    cohort = Cohort()
    a, b = cohort.row("train", 0, 0), cohort.row("test", 0, 0)
    cohort.patients[b], cohort.pictures[b] = cohort.patients[a], cohort.pictures[a]
    cohort.splits = ["" if split == "test" else split for split in cohort.splits]
    report = cohort.audit()
    assert report.leaks == ()
    assert report.splits == ("train", "validation", "")


@pytest.mark.parametrize(("split", "kind"), [("validation", "tiny-validation"), ("test", "few-examples")])
def test_few_images_of_a_class_are_a_warning(split: str, kind: str) -> None:
    cohort = Cohort()
    keep = FEWEST - 1
    cohort.drop([cohort.row(split, k, i) for k in (0, 1) for i in range(keep, 40)])
    findings = cohort.audit().findings
    assert [(finding.kind, finding.severity) for finding in findings] == [(kind, "warning")] * 2
    assert f"{split.capitalize()} has {keep} images of NORMAL" in findings[0].message


def test_many_images_of_few_patients_are_a_warning_too() -> None:
    cohort = Cohort()
    for i in range(40):
        cohort.patients[cohort.row("test", 1, i)] = f"DOE{i % 5}"
    assert "40 images of PNEUMONIA (patients: 5)" in only(cohort.audit()).message


def test_another_share_of_a_class_in_another_split_is_noted() -> None:
    cohort = Cohort()
    cohort.drop([cohort.row("test", 1, i) for i in range(31, 40)])
    findings = cohort.audit().findings
    assert [finding.severity for finding in findings] == ["note", "note"]
    assert "50% of train and 56% of test" in findings[0].message


def test_unknown_patients_are_noted() -> None:
    cohort = Cohort()
    cohort.patients[7] = "file:a/7.png"
    finding = only(cohort.audit())
    assert (finding.kind, finding.severity) == ("unknown-patients", "note")
    assert "1 images" in finding.message


def test_findings_come_by_gravity() -> None:
    cohort = Cohort()
    cohort.errors[0], cohort.patients[1] = "empty", "file:1"
    cohort.pictures[2] = cohort.pictures[3]
    cohort.patients[-1] = cohort.patients[5]
    assert [finding.severity for finding in cohort.audit().findings] == ["leakage", "error", "warning", "note"]


def test_the_kermany_training_folder_has_24_groups_of_identical_files(shared: Path, tmp_path: Path) -> None:
    manifest = read_manifest(shared / "data" / "kermany224" / "train")
    report = audit(manifest, pack(manifest.paths, 64, cache=tmp_path))
    assert (report.n_patients, report.unreadable, len(report.duplicates)) == (2846, 0, 24)
    assert sum(map(len, report.duplicates)) == 50
    assert report.leaks == ()
    patient = dict(zip(manifest.paths, manifest.patients, strict=True))
    assert all(len({patient[path] for path in group}) == 1 for group in report.duplicates)
