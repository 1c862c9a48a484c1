"""What methods do on strata that were held out in turn: by stratum, the worst of them and their mean."""

from dataclasses import dataclass

import numpy as np

from lungscope.data.manifest import Manifest
from lungscope.evaluation.cases import Cases, check_cases, mean
from lungscope.evaluation.comparison import Candidate
from lungscope.evaluation.paired import auroc_metric
from lungscope.stats.estimate import Estimate
from lungscope.stats.resampling import RESAMPLES, estimates


@dataclass(frozen=True)
class HeldOutStratum:
    """One method on one stratum; estimates are means over seeds, intervals come from drawing patients."""

    name: str
    images: int
    auroc: Estimate
    """Within the stratum; with more than two classes the mean over the classes."""
    auroc_by_seed: tuple[float, ...]
    ece: Estimate
    """Expected calibration error."""


@dataclass(frozen=True)
class HeldOutStrata:
    """One method on all strata."""

    method: str
    strata: tuple[HeldOutStratum, ...]

    @property
    def worst(self) -> HeldOutStratum:
        """The stratum with the lowest AUROC."""
        return min(self.strata, key=lambda each: 2.0 if each.auroc.value is None else each.auroc.value)

    @property
    def worst_of_any_seed(self) -> float | None:
        """The lowest AUROC of any stratum with any seed."""
        return min((area for each in self.strata for area in each.auroc_by_seed), default=None)

    @property
    def mean_auroc(self) -> float | None:
        """Of all strata, each counting the same."""
        values = [each.auroc.value for each in self.strata]
        return None if None in values else float(np.mean(np.array(values, float)))


def held_out_strata(
    candidate: Candidate, common: Manifest, column: str, *, resamples: int = RESAMPLES
) -> HeldOutStrata:
    """Measure one method on every stratum by the predictions of models that saw no patient of it.

    Args:
        candidate: its predictions of the common cases, once per seed.
        common: the N cases, every one of a stratum.
        column: that names the strata.
        resamples: number of draws of patients.
    """
    values = np.array(common.extra[column], dtype=object)
    found = []
    for name in sorted(set(values.tolist())):
        rows = np.flatnonzero(values == name)
        inside = common.select(rows)
        cases = [
            check_cases(inside.labels, each[rows], inside.patients, inside.classes, has_reference=inside.has_reference)
            for each in candidate.probabilities
        ]
        found.append(_stratum(str(name), cases, resamples))
    return HeldOutStrata(candidate.name, tuple(found))


def _stratum(name: str, cases: list[Cases], resamples: int) -> HeldOutStratum:
    metrics = [mean([auroc_metric(each) for each in cases]), mean([each.ece() for each in cases])]
    auroc, ece = estimates(metrics, cases[0].patients, resamples=resamples)
    seeds = () if auroc.value is None else tuple(float(auroc_metric(each)(None)) for each in cases)
    return HeldOutStratum(name, len(cases[0].labels), auroc, seeds, ece)
