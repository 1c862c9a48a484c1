"""The audit as one self-contained HTML page, for whoever owns the data."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.audit.checks import Finding
from lungscope.data.audit.inspection import ClassStatistics, Inspection, Spread
from lungscope.data.audit.near_duplicates import NearPair
from lungscope.data.audit.shortcuts import Probe
from lungscope.reports import summary
from lungscope.reports.audit_json import inspection_json
from lungscope.reports.forest_plot import Line, forest_plot
from lungscope.reports.page import render_page
from lungscope.reports.section import Picture, Plot, Row, Section, SectionKey, Table
from lungscope.system.files import write_atomically

LONGEST_SIDE = 200
"""Of a picture in the page."""
MOST_PICTURES = 60
"""Pairs, and groups, that are shown; all are in audit.json."""
GAP = 4
WIDTH = 460.0


def write_inspection(found: Inspection, out: Path) -> Path:
    """Write `audit.json` and `audit.html`, each whole or not at all; returns the page.

    Raises:
        OutputError: the place cannot be written.
    """
    write_atomically(out / "audit.json", json.dumps(inspection_json(found), indent=2) + "\n")
    write_atomically(out / "audit.html", render_inspection(found))
    return out / "audit.html"


def render_inspection(found: Inspection) -> str:
    """The page as HTML; neither file names nor patients are in it, but radiographs are."""
    return render_page(
        "audit.html", report=found.report, verdict=verdict(found), remarks=[*_remarks(found.report.findings)],
        fingerprint=found.manifest.fingerprint(), sections=_sections(found),
    )  # fmt: skip


def verdict(found: Inspection) -> tuple[str, ...]:
    """What the audit comes to, for a reader in a hurry."""
    leaks = found.report.leaks
    lines = [
        "There is leakage: results on held-out images would be too good. Fix it before training."
        if leaks
        else "No leakage was found: no patient and no picture stands in two splits, as far as names and pixels tell."
        if any(found.report.splits)
        else "No image has a split yet, so nothing can leak; Lungscope will split by patient."
    ]
    strong = [each for each in found.probes if each.alone and each.target == "label" and each.strong]
    if strong:
        names = summary.joined(tuple(each.name for each in strong))
        lines.append(f"The label can be predicted from {names} alone, which a model may learn instead of the disease.")
    if n := sum(finding.severity in ("error", "warning") for finding in found.report.findings):
        lines.append(f"There {'is one thing' if n == 1 else f'are {n} things'} to look into; each is listed below.")
    return tuple(lines)


def _remarks(findings: Sequence[Finding]) -> Iterator[tuple[Finding, str]]:
    for each in findings:
        message = each.message
        for path in each.paths:
            message = message.replace(str(path), "[file]").replace(path.name, "[file]")
        yield each, message


def _sections(found: Inspection) -> tuple[Section, ...]:
    sections = (_statistics(found), _shortcuts(found), _patients(found), _identical(found), _near(found))
    return tuple(section for section in sections if section is not None)


def _statistics(found: Inspection) -> Section:
    report = found.report
    columns = tuple(split or "no split" for split in report.splits)
    counts = Table(
        "Radiographs and patients", ("Class", *columns),
        tuple(
            (name, *(_counted(int(images), int(patients)) for images, patients in zip(row, by_patient, strict=True)))
            for name, row, by_patient in zip(report.classes, report.counts, report.patients, strict=True)
        ),
        "Readable images of each class in each split.",
    )  # fmt: skip
    sizes = Table(
        "Sizes",
        ("Class", "Width, px", "Height, px", "File, kB", "Most images of one patient"),
        tuple(_size_row(each) for each in found.statistics),
        "Median, and the smallest and largest.",
    )
    lead = f"{report.n:,} files of {report.n_patients:,} patients; {report.unreadable:,} cannot be read."
    return Section(SectionKey.AUDIT_CLASSES, "Classes", lead, tables=(counts, sizes))


def _counted(images: int, patients: int) -> summary.Cell:
    return summary.Cell(f"{images:,}", f"{patients:,} patient{'s' * (patients != 1)}", "")


def _size_row(each: ClassStatistics) -> Row:
    sizes = (_spread(each.width, 1), _spread(each.height, 1), _spread(each.file_bytes, 1000))
    return each.name, *sizes, str(each.most_of_one_patient)


def _spread(spread: Spread | None, unit: float) -> summary.Cell:
    if spread is None:
        return summary.Cell("–", "", "no readable image")
    least, median, most = (f"{value / unit:,.0f}" for value in (spread.least, spread.median, spread.most))
    return summary.Cell(median, f"{least} to {most}", "")


def _shortcuts(found: Inspection) -> Section:
    tables = tuple(_probe_table(found.probes, target) for target in ("label", "split"))
    shown = [each for each in found.probes if each.target == "label" and each.auroc.value is not None]
    plots: tuple[Plot, ...] = ()
    if shown:
        meaning = "0.5 is chance, 1 is certainty. Bars are 95% intervals over patients."
        lines = [Line(each.name, each.auroc, each.strong) for each in shown]
        drawn = forest_plot(lines, WIDTH, "probes", "AUROC of each property for the label", chance=True)
        plots = (Plot("What predicts the label", drawn, meaning),)
    lead = (
        "Can the label, or the split, be predicted from properties that know nothing of anatomy? Each "
        "is given to a small decision tree, several together to many trees, and tested on patients left out."
    )
    return Section(SectionKey.SHORTCUTS, "Shortcuts", lead, tables=tables, plots=plots)


def _probe_table(probes: Sequence[Probe], target: str) -> Table:
    of_target = [each for each in probes if each.target == target]
    reasons = {each.auroc.reason for each in of_target}
    # Fourteen rows that say the same would hide that there is one reason.
    if len(reasons) == 1 and all(each.auroc.value is None for each in of_target):
        rows: tuple[Row, ...] = (("every property", "–", of_target[0].verdict),)
    else:
        rows = tuple((each.name, _auroc(each), each.verdict) for each in of_target)
    return Table(f"Predicting the {target}", ("Property", "AUROC", "Verdict"), rows, "Cross-validated by patient.")


def _auroc(probe: Probe) -> summary.Cell:
    # Beside it the verdict tells the reason already.
    return summary.cell(probe.auroc, summary.decimal) if probe.auroc.value is not None else summary.Cell("–", "", "")


def _patients(found: Inspection) -> Section:
    pairs = [(overlap.one, overlap.other) for overlap in found.readings[0].overlaps]
    header = ("Who is one patient", "Patients", *(f"In {one} and {other}" for one, other in pairs))
    rows: tuple[Row, ...] = tuple(
        (
            way.name,
            f"{way.patients:,}",
            *(summary.Cell(f"{each.patients:,}", f"{each.images:,} images", "") for each in way.overlaps),
        )
        for way in found.readings
    )
    lead = "The same patient in two splits makes results too good."
    if len(found.readings) > 1:
        lead += (
            " How the Kaggle set numbers its patients was never published: the truth lies between the reading by "
            "number alone and the one by number with kind or series."
        )
    meaning = "Each column counts patients with images in both splits." if pairs else "No two splits are assigned."
    table = Table("Patients under each reading", header, rows, meaning)
    return Section(SectionKey.PATIENTS, "Patients", lead, tables=(table,))


def _identical(found: Inspection) -> Section | None:
    index = found.pack.identical()
    if not index:
        return None
    pictures = tuple(
        Picture(_picture(found, rows[0]), f"Group {number}: {len(rows)} files, {_places(found, rows)}")
        for number, rows in enumerate(index[:MOST_PICTURES], start=1)
    )
    lead = f"{len(index):,} pictures stand in several files, pixel by pixel. {_shown(len(index), 'duplicates')}"
    return Section(SectionKey.IDENTICAL, "Identical pictures", lead, pictures=pictures)


def _near(found: Inspection) -> Section:
    if not found.near:
        lead = (
            "No two pictures are nearly the same. Copies that were saved again, resized, brightened, mirrored or cut "
            "by up to 5% at each edge would have been found, turned ones not."
        )
        return Section(SectionKey.NEAR_IDENTICAL, "Near-identical pictures", lead)
    numbered = sorted(enumerate(found.near, start=1), key=lambda each: not _grave(found, each[1]))
    pictures = tuple(
        Picture(_pair(found, pair), _caption(found, number, pair)) for number, pair in numbered[:MOST_PICTURES]
    )
    lead = (
        f"{len(found.near):,} pairs show the same exposure, though not pixel by pixel. Look at each: "
        f"ribs and vessels of two exposures never lie alike. {_shown(len(found.near), 'near_duplicates')}"
    )
    return Section(SectionKey.NEAR_IDENTICAL, "Near-identical pictures", lead, pictures=pictures)


def _shown(n: int, key: str) -> str:
    all_of_them = f"Their files are in audit.json under “{key}”, by the same numbers."
    return f"The first {MOST_PICTURES} are shown. {all_of_them}" if n > MOST_PICTURES else all_of_them


def _grave(found: Inspection, pair: NearPair) -> bool:
    both = (pair.first, pair.second)
    splits = {found.manifest.splits[row] for row in both} - {""}
    return len(splits) > 1 or len({int(found.manifest.labels[row]) for row in both}) > 1


def _caption(found: Inspection, number: int, pair: NearPair) -> str:
    parts = [f"Pair {number}: {_places(found, (pair.first, pair.second))}"]
    if found.manifest.patients[pair.first] != found.manifest.patients[pair.second]:
        parts.append("under two patients")
    if pair.mirrored:
        parts.append("mirrored")
    if pair.cut >= 0.01:
        parts.append(f"{pair.cut:.0%} of the area cut off")
    return ", ".join([*parts, f"agreement {pair.agreement:.2f}"])


def _places(found: Inspection, rows: Sequence[int]) -> str:
    places = [
        f"{found.manifest.classes[found.manifest.labels[row]]}"
        + (f" in {found.manifest.splits[row]}" if found.manifest.splits[row] else "")
        for row in rows
    ]
    return " and ".join(dict.fromkeys(places)) if len(set(places)) > 1 else f"all {places[0]}"


def _pair(found: Inspection, pair: NearPair) -> NDArray[np.uint8]:
    one, other = _picture(found, pair.first), _picture(found, pair.second)
    height = max(len(one), len(other))
    canvas = np.zeros((height, one.shape[1] + GAP + other.shape[1]), np.uint8)
    canvas[: len(one), : one.shape[1]] = one
    canvas[: len(other), one.shape[1] + GAP :] = other
    return canvas


def _picture(found: Inspection, row: int) -> NDArray[np.uint8]:
    """The packed pixels, stretched back to the shape of the file."""
    record = found.pack.records[row]
    scale = LONGEST_SIDE / max(record.width, record.height)
    size = (max(1, round(record.width * scale)), max(1, round(record.height * scale)))
    return np.asarray(Image.fromarray(found.pack.pixels[row]).resize(size, Image.Resampling.BICUBIC))
