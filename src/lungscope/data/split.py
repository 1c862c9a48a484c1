"""Training, validation and test rows, so that no patient stands in two of them; folds for cross-validation."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import train_test_split

from lungscope.config.settings import DataSettings
from lungscope.data.manifest import OWN_PATIENT, Manifest
from lungscope.data.pack import Pack
from lungscope.errors import ConfigError, ManifestError
from lungscope.stats.patients import patient_index

FEWEST_VALIDATION = 30
"""Images of a class below which a threshold is guesswork: one image moves the sensitivity by 3 points or more."""
SPLITS = ("train", "validation", "test")

Splits = NDArray[np.object_]


def assign_splits(manifest: Manifest, settings: DataSettings, seed: int) -> tuple[Manifest, tuple[str, ...]]:
    """Give every row a split, and say in plain words what was decided.

    `patients` and `random` deal all rows anew, by the fractions of the settings and stratified by class, `patients` by
    the column `site` too where there is one;
    `random` does so by image, as many published protocols do, and so lets patients leak. `predefined`
    keeps what folders or CSV say. `auto` deals by patient where nothing is predefined, else keeps it,
    except that

    - rows without a split join training;
    - a validation part that is missing, or has fewer than `FEWEST_VALIDATION` images of a class while the
      fraction would give more, is drawn anew by patient out of training and validation;
    - if it is drawn anew and there is no test part either, one is drawn too, for held-out figures.

    The same rows, settings and seed give the same splits in any order of rows.

    Raises:
        ManifestError: a class has too few patients, or no row in training or validation.
        ConfigError: the fractions leave nothing for training or for validation.
    """
    notes = []
    if own := sum(map(_own, manifest.patients)):
        notes.append(
            f"The patient of {own} of {len(manifest)} images is not known, so each counts as a patient of its own. "
            "Set data.patient_pattern, or give the patients in a CSV, if patients have several images."
        )
    kind = settings.split
    if kind == "auto" and not any(manifest.splits):
        kind = "patients"
    if kind == "auto":
        splits, decided = _completed(manifest, settings, seed)
    elif kind == "predefined":
        splits, decided = _as_is(manifest)
    else:
        splits, decided = _dealt(manifest, settings, seed, by_patient=kind == "patients")
    _check(manifest, splits)
    return replace(manifest, splits=tuple(splits.tolist())), (*notes, *decided)


def link_patients(manifest: Manifest, pack: Pack) -> Manifest:
    """Take for one patient what the files themselves show to be one.

    An unknown patient is named by the PatientID of the DICOM header (its digest), unless all headers have
    the same one, as after careless anonymisation. Patients who share an identical picture become one, so
    that a split by patient cannot tear it apart.

    Args:
        manifest: N rows.
        pack: the same N rows.
    """
    headers = [record.patient for record in pack.records]
    telling = len(set(filter(None, headers))) > 1
    pairs = zip(manifest.patients, headers, strict=True)
    named = [header if telling and header and _own(patient) else patient for patient, header in pairs]
    names, group = np.unique(np.array(named, dtype=object), return_inverse=True)
    same = [(group[first], group[other]) for first, *others in pack.identical() for other in others]
    rows, columns = np.array(same, dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return replace(manifest, patients=tuple(names[first[component[group]]].tolist()))


def folds(manifest: Manifest, k: int, seed: int) -> list[Manifest]:
    """Tables for k-fold cross-validation, all rows in each; every patient is in one validation part.

    Raises:
        ManifestError: a class has fewer than `k` patients.
        ConfigError: `k` is below 2.
    """
    if k < 2:
        raise ConfigError(f"Cross-validation with {k} folds: at least 2 are needed. Ask for 5, say.")
    _check_patients(manifest, k, f"{k} folds")
    number = _deal(manifest, np.full(k, 1 / k), seed)
    return [replace(manifest, splits=tuple(np.where(number == i, "validation", "train").tolist())) for i in range(k)]


def leave_out(manifest: Manifest, column: str) -> list[Manifest]:
    """Tables in which the values of a column are the test split in turn, in their order; an empty value is none.

    What remains is in the training split; other images of the patients that are held out have no split.

    Raises:
        ManifestError: there is no such column, it has fewer than two values, or images of a value lack a class.
    """
    values = np.array(manifest.extra.get(column, ()), dtype=object)
    names = sorted(set(values.tolist()) - {""})
    if len(names) < 2:
        known = ", ".join(sorted(manifest.extra)) or "none"
        raise ManifestError(
            f"Column {column!r} names {len(names)} strata, and at least 2 are held out in turn. Columns of this table "
            f"beside those of every table: {known}. 'lungscope strata DATA --style 2' writes one."
        )
    patients, tables = patient_index(manifest.patients), []
    for name in names:
        inside = values == name
        absent = set(range(len(manifest.classes))) - set(manifest.labels[inside].tolist())
        if absent:
            raise ManifestError(
                f"{column} {name!r} has no image of {manifest.classes[min(absent)]}, so no AUROC can be measured "
                "there. Join it with another value, or leave its cells empty to have it in training always."
            )
        elsewhere = np.isin(patients, patients[inside])
        splits = np.where(inside, "test", np.where(elsewhere, "", "train"))
        tables.append(replace(manifest, splits=tuple(splits.tolist())))
    return tables


def _own(patient: str) -> bool:
    return patient.startswith(OWN_PATIENT)


def _as_is(manifest: Manifest) -> tuple[Splits, list[str]]:
    splits = np.array(manifest.splits, dtype=object)
    unassigned = manifest.splits.count("")
    return splits, [f"{unassigned} images have no split and are left out."] if unassigned else []


def _dealt(manifest: Manifest, settings: DataSettings, seed: int, *, by_patient: bool) -> tuple[Splits, list[str]]:
    deal = _by_patient if by_patient else _by_image
    splits = deal(manifest, settings.validation, settings.test, seed)
    shares = ", ".join(f"{name} {np.sum(splits == name)}" for name in SPLITS)
    if by_patient:
        return splits, [f"Split by patient and class: {shares} images."]
    return splits, [f"Split by image as asked, so patients may stand in several parts: {shares} images."]


def _completed(manifest: Manifest, settings: DataSettings, seed: int) -> tuple[Splits, list[str]]:
    splits, notes = np.array(manifest.splits, dtype=object), []
    if unassigned := manifest.splits.count(""):
        splits[splits == ""] = "train"
        notes.append(f"{unassigned} images without a split joined training.")
    reason = _tiny_validation(manifest, splits, settings.validation)
    has_test = "test" in manifest.splits
    if reason:
        pool = np.flatnonzero(splits != "test")
        test = 0.0 if has_test else settings.test
        splits[pool] = _by_patient(manifest.select(pool), settings.validation, test, seed)
        drawn = "validation was" if has_test else "validation and test were"
        notes.append(
            f"The validation part {reason}, so {drawn} drawn by patient out of training and validation. "
            "To keep the parts as they are, set data.split=predefined."
        )
    elif not has_test:
        notes.append("There is no test part, so figures on validation are the only ones, and they are optimistic.")
    return splits, notes


def _tiny_validation(manifest: Manifest, splits: Splits, fraction: float) -> str:
    n_classes = len(manifest.classes)
    present = np.bincount(manifest.labels[splits == "validation"], minlength=n_classes)
    if not present.any():
        return "is missing"
    obtainable = fraction * np.bincount(manifest.labels[splits != "test"], minlength=n_classes)
    tiny = np.flatnonzero((present < FEWEST_VALIDATION) & (present < np.floor(obtainable)))
    if not len(tiny):
        return ""
    worst = tiny[np.argmin(present[tiny])]
    return f"has only {present[worst]} images of {manifest.classes[worst]}, too few to choose a threshold on"


def _by_patient(manifest: Manifest, validation: float, test: float, seed: int) -> Splits:
    _check_fractions(validation, test)
    names = [name for name, share in zip(SPLITS, (1, validation, test), strict=True) if share]
    _check_patients(manifest, len(names), f"{len(names)} splits")
    shares = [1 - validation - test, validation, test][: len(names)]
    return np.array(names, dtype=object)[_deal(manifest, np.array(shares), seed)]


def _deal(manifest: Manifest, shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    # The idea of scikit-learn's StratifiedGroupKFold (largest patients first, each to where it is missed most),
    # which for uneven shares needs 20 folds, 3 s for 2,846 patients, and may leave a part without a class.
    _, patient = np.unique(np.array(manifest.patients, dtype=object), return_inverse=True)
    group = _class_of_site(manifest)
    images = np.zeros((patient.max() + 1, group.max() + 1))
    np.add.at(images, (patient, group), 1)
    weights = images / np.maximum(images.sum(axis=0), 1)  # of all images of the group
    missing = np.ones((len(shares), images.shape[1]))  # of what is due to a part
    part = np.empty(len(images), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    for i in order[np.argsort(-images[order].sum(axis=1), kind="stable")]:
        part[i] = np.argmax(missing @ weights[i])
        missing[part[i]] -= weights[i] / shares[part[i]]
    return part[patient]


def _class_of_site(manifest: Manifest) -> NDArray[np.int64]:
    """(N,), the class of each image; where sites are known each class of each site by itself."""
    if manifest.sites is None:
        return manifest.labels
    site = np.unique(np.array(manifest.sites), return_inverse=True)[1]
    group: NDArray[np.int64] = site * len(manifest.classes) + manifest.labels
    return group


def _by_image(manifest: Manifest, validation: float, test: float, seed: int) -> Splits:
    _check_fractions(validation, test)
    rows = np.array(sorted(range(len(manifest)), key=lambda row: manifest.paths[row].as_posix()))
    splits = np.full(len(manifest), "train", dtype=object)
    for name, fraction in (("test", test), ("validation", validation)):
        if fraction:
            n = round(fraction * len(manifest))
            try:
                rows, drawn = train_test_split(rows, test_size=n, stratify=manifest.labels[rows], random_state=seed)
            except ValueError as error:
                raise ManifestError(f"A random split is not possible: {error} Add images of the rare class.") from None
            splits[drawn] = name
    return splits


def _check_fractions(validation: float, test: float) -> None:
    if validation <= 0 or validation + test >= 1:
        raise ConfigError(
            f"data.validation {validation:g} and data.test {test:g} leave nothing for a split. "
            "Validation must be above 0, and both together below 1."
        )


def _check_patients(manifest: Manifest, needed: int, purpose: str) -> None:
    pairs = set(zip(manifest.labels.tolist(), manifest.patients, strict=True))
    patients = np.bincount([label for label, _ in pairs], minlength=len(manifest.classes))
    if (fewest := int(patients.min())) < needed:
        counted = f"{fewest} patient" if fewest == 1 else f"{fewest} patients"
        raise ManifestError(
            f"Class {manifest.classes[int(patients.argmin())]!r} has {counted}, and {purpose} need {needed}. "
            "Add patients, leave the class out, or split by image with data.split=random."
        )


def _check(manifest: Manifest, splits: Splits) -> None:
    for split in ("train", "validation"):
        present = set(manifest.labels[splits == split].tolist())
        if absent := [name for label, name in enumerate(manifest.classes) if label not in present]:
            raise ManifestError(
                f"Class {absent[0]!r} has no image in {split}. Add some, remove the class from the other parts, or let "
                "Lungscope split by patient with data.split=patients."
            )
