"""Who is one patient, under each way to read the file names of the Kermany (Kaggle) set.

Its publishers did not say whether bacterial and viral cases, or the two series of normal ones, are numbered together
or apart. Both readings are reported, so that the truth about patients in two splits lies between them.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from lungscope.data.manifest import Manifest

NAME = re.compile(r"^(?:person(?P<person>\d+)_(?P<kind>bacteria|virus)_|(?P<series>(?:NORMAL\d*-)?IM)-(?P<case>\d+)-)")
AS_READ, NUMBER, NUMBER_AND_KIND = "as used for splitting", "number alone", "number with kind or series"


@dataclass(frozen=True)
class Overlap:
    """Patients who stand in two splits."""

    one: str
    other: str
    patients: int
    images: int
    """Of these patients, in both splits."""


@dataclass(frozen=True)
class Reading:
    """One way to tell patients apart."""

    name: str
    patients: int
    overlaps: tuple[Overlap, ...]
    """One per pair of splits, also where it is 0."""


def readings(manifest: Manifest, used: Sequence[str]) -> tuple[Reading, ...]:
    """How many patients there are and how many stand in two splits, under each reading.

    A single one, of those used, where no file is named in the Kermany way or a CSV names the patients.

    Args:
        manifest: N rows with the patients that names or CSV tell.
        used: (N,), the patients used for splitting, who may have been linked by pictures they share.
    """
    found = [NAME.match(path.name) for path in manifest.paths]
    ways = {AS_READ: tuple(used)}
    if any(_by_name(match, patient) for match, patient in zip(found, manifest.patients, strict=True)):
        ways[NUMBER] = _read(found, manifest.patients, wide=True)
        ways[NUMBER_AND_KIND] = _read(found, manifest.patients, wide=False)
    return tuple(
        Reading(name, len(set(patients)), tuple(_overlaps(patients, manifest.splits)))
        for name, patients in ways.items()
    )


def _by_name(match: re.Match[str] | None, patient: str) -> bool:
    """Whether a patient was read from the file's name, not given by a CSV or a header."""
    if match is None:
        return False
    number = match["person"] or match["case"]
    return patient in (f"person{number}", f"{match['series']}-{number}")


def _read(found: Sequence[re.Match[str] | None], patients: Sequence[str], *, wide: bool) -> tuple[str, ...]:
    names = []
    for match, patient in zip(found, patients, strict=True):
        if match is None or not _by_name(match, patient):
            names.append(patient)
        elif match["person"]:
            names.append(f"person{match['person']}" + ("" if wide else f"_{match['kind']}"))
        else:
            names.append(f"{'IM' if wide else match['series']}-{match['case']}")
    return tuple(names)


def _overlaps(patients: Sequence[str], splits: Sequence[str]) -> list[Overlap]:
    places, images = defaultdict[str, set[str]](set), defaultdict[tuple[str, str], int](int)
    for patient, split in zip(patients, splits, strict=True):
        places[patient].add(split)
        images[patient, split] += 1
    present = [split for split in ("train", "validation", "test") if split in set(splits)]
    overlaps = []
    for one, other in combinations(present, 2):
        shared = [patient for patient, where in places.items() if {one, other} <= where]
        count = sum(images[patient, one] + images[patient, other] for patient in shared)
        overlaps.append(Overlap(one, other, len(shared), count))
    return overlaps
