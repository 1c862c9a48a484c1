"""Shortcuts: how well label and split can be told by what knows nothing of anatomy.

Each property of the files, and all together, is given to a small classifier that is tested on patients it has not
seen. Where that works, a model trained on these images may have learned the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier

from lungscope.data.audit.traits import Trait
from lungscope.data.manifest import Manifest
from lungscope.data.split import folds
from lungscope.errors import ManifestError
from lungscope.stats.comparison import auroc_estimate
from lungscope.stats.estimate import Estimate
from lungscope.stats.metrics import macro_auroc
from lungscope.stats.resampling import estimate
from lungscope.system.progress import Bar

FOLDS, SEED = 5, 0
LEAVES, TREES = 16, 40
FEWEST_IN_LEAF = 5
WORTH_THREADS = 2000
"""Images from which several threads grow trees faster than one."""
RESAMPLES = 200
"""Of the interval for three and more classes, which has no closed form."""
STRONG, CLEAR = 0.90, 0.70
"""AUROC from which a model could cheat by this alone, and from which it is worth knowing."""


@dataclass(frozen=True)
class Probe:
    """How well one property, or several together, tell the label or the split."""

    name: str
    target: str
    """"label" or "split"."""
    auroc: Estimate
    """Cross-validated by patient; with three and more classes the mean of each against all others."""
    verdict: str
    """In plain words."""
    alone: bool
    """Whether it is one property, not several together."""

    @property
    def strong(self) -> bool:
        """Whether it suffices to cheat."""
        return self.auroc.value is not None and self.auroc.value >= STRONG


@dataclass(frozen=True)
class _Target:
    name: str
    values: NDArray[np.int64]
    """(N,), index into `levels`."""
    levels: tuple[str, ...]


def probe(manifest: Manifest, traits: Sequence[Trait]) -> tuple[Probe, ...]:
    """Every probe of label and split; what is undefined says why.

    Args:
        manifest: N readable rows.
        traits: of the same rows.
    """
    targets = (_Target("label", manifest.labels, manifest.classes), _splits(manifest))
    sets = [*((trait,) for trait in traits), *_together(traits)]
    probes = []
    with Bar("Probing shortcuts", len(sets) * len(targets), "probes") as bar:
        for target in targets:
            parts, reason = _parts(manifest, target)
            for some in sets:
                probes.append(_probe(manifest, target, some, parts, reason))
                bar.advance()
    return tuple(probes)


def _together(traits: Sequence[Trait]) -> list[tuple[Trait, ...]]:
    by_group = [tuple(trait for trait in traits if trait.group == group) for group in ("file", "picture")]
    of_image = tuple(trait for trait in traits if trait.group != "table")
    # Two at least, and the whole only where it is more than one of its groups.
    return [some for some in dict.fromkeys([*by_group, of_image]) if len(some) > 1]


def _splits(manifest: Manifest) -> _Target:
    levels = tuple(split for split in ("train", "validation", "test") if split in manifest.splits)
    values = [levels.index(split) if split else -1 for split in manifest.splits]
    return _Target("split", np.array(values, dtype=np.int64), levels)


def _parts(manifest: Manifest, target: _Target) -> tuple[list[NDArray[np.bool_]], str]:
    """Which rows are tested in each fold, or why there are none."""
    present = set(target.values.tolist()) - {-1}
    if len(present) < 2:
        if target.name == "split":
            return [], "no two splits are assigned" if not present else "all assigned images are in one split"
        return [], "all readable images have one label" if present else "no image is readable"
    rows = target.values >= 0
    table = replace(manifest.select(rows), labels=_dense(target.values[rows]), classes=tuple(map(str, sorted(present))))
    try:
        tables = folds(table, FOLDS, SEED)
    except ManifestError:
        return [], f"a {'class' if target.name == 'label' else 'split'} has fewer than {FOLDS} patients"
    parts = []
    for each in tables:
        part = np.zeros(len(manifest), dtype=bool)
        part[rows] = [split == "validation" for split in each.splits]
        parts.append(part)
    return parts, ""


def _dense(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _probe(
    manifest: Manifest, target: _Target, some: tuple[Trait, ...], parts: list[NDArray[np.bool_]], reason: str
) -> Probe:
    alone = len(some) == 1
    name = some[0].name if alone else _group_name(some)
    columns = np.concatenate([trait.values for trait in some], axis=1)
    if not reason and (columns == columns[0]).all():
        reason = "it is the same in all images"
    found = Estimate(None, reason=reason) if reason else _auroc(manifest, target, columns, parts, alone=alone)
    return Probe(name, target.name, found, _verdict(name, target.name, found, some), alone)


def _group_name(some: Sequence[Trait]) -> str:
    groups = {trait.group for trait in some}
    if len(groups) > 1:
        return "all together"
    return "all of the file together" if groups == {"file"} else "all of the picture together"


def _auroc(
    manifest: Manifest, target: _Target, columns: NDArray[np.float32], parts: list[NDArray[np.bool_]], *, alone: bool
) -> Estimate:
    known = np.flatnonzero(target.values >= 0)
    truth = _dense(target.values[known])
    scores = np.zeros((len(manifest), truth.max() + 1))
    for part in parts:
        learned = known[~part[known]]
        fitted = _classifier(len(known), alone=alone).fit(columns[learned], truth[~part[known]])
        if not alone:
            fitted.set_params(n_jobs=1)  # threads would add the trees up in any order
        scores[part] = fitted.predict_proba(columns[part])
    patients = [manifest.patients[row] for row in known]
    if scores.shape[1] == 2:
        return auroc_estimate(truth == 1, scores[known, 1], patients)
    return estimate(
        lambda weights: macro_auroc(truth, scores[known], weights), patients, resamples=RESAMPLES, seed=SEED
    )


def _classifier(n: int, *, alone: bool) -> Any:
    # A tree also sees what is not monotone, such as one scanner between two others.
    common = {"class_weight": "balanced", "random_state": SEED}
    if alone:
        leaf = max(FEWEST_IN_LEAF, n // 100)
        return DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=leaf, **common)
    leaf = max(FEWEST_IN_LEAF, n // 500)
    workers = -1 if n >= WORTH_THREADS else 1
    return ExtraTreesClassifier(TREES, max_features=0.5, min_samples_leaf=leaf, n_jobs=workers, **common)


def _verdict(name: str, target: str, found: Estimate, some: tuple[Trait, ...]) -> str:
    if found.value is None:
        return f"Cannot be told: {found.reason}."
    if found.value <= 0.5 or (found.low is not None and found.low <= 0.5):
        return "No better than chance."
    what = f"{name[0].upper()}{name[1:]}" + (" alone" if len(some) == 1 else "")
    line = f"{what}: AUROC {_rounded(found.value)}"
    if found.value < CLEAR:
        return f"{line}; tells the {target} a little."
    if target == "split":
        return f"{line}; the splits were not drawn alike, so figures on one may not hold for another."
    return f"{line}; {_degree(found.value, some)}. {_loader(some)}"


def _rounded(value: float) -> str:
    """Two decimals, and never 1.00 for what is less."""
    return f"{value:.2f}" if value < 0.995 else "more than 0.99"


def _degree(value: float, some: tuple[Trait, ...]) -> str:
    if some[0].group == "table":
        return "a model may learn it in place of the disease"
    if all(trait.group == "file" for trait in some):
        return "this set lets a model cheat" if value >= STRONG else "this set invites a model to cheat"
    # Disease changes brightness and texture too, so what shows in the picture is suspicious, not guilty.
    return "this set may let a model cheat" if value >= STRONG else "this set may invite a model to cheat"


def _loader(some: tuple[Trait, ...]) -> str:
    groups = {trait.group for trait in some}
    if len(some) == 1:
        return some[0].loader
    if groups == {"file"}:
        return "The loader removes all of these numbers; what follows from them in the picture, as sharpness, stays."
    if groups == {"picture"}:
        return "The loader removes none of these, and some of them change with the disease itself."
    return "The loader removes the file's numbers and leaves what shows in the picture."
