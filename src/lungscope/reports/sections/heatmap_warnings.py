"""When the checks of heat maps warn, and in which words."""

from collections.abc import Iterator

from lungscope.evaluation.heatmaps.checks import HeatChecks
from lungscope.evaluation.heatmaps.pointing import Pointing
from lungscope.evaluation.heatmaps.randomised import Randomisation
from lungscope.evaluation.heatmaps.regions import (
    BORDER_NAME,
    CORNER,
    CORNER_NAMES,
    CORNERS_NAME,
    MARKS_NAME,
    ClassRegions,
)
from lungscope.reports.summary import joined
from lungscope.stats.estimate import Estimate
from lungscope.stats.proportion import FEW_PATIENTS

TOO_MUCH = {BORDER_NAME: 1.0, CORNERS_NAME: 1.0, MARKS_NAME: 2.0}
"""Times the heat of a uniform map from which a place is warned about, with its interval wholly above."""
HEALTHY = 1.5
"""As many times more for the reference class: health has no place, so its heat spreads to the edges as well."""
MATTERS = 0.05
"""Share of the heat below which a place is not worth a warning."""
ONE_CORNER = 2.0
FLIPPED = 0.1
"""Share of calls that change without a place, from which it is warned about; its interval wholly above."""
STUBBORN, SAME = 0.5, 0.9
"""Rank correlations that maps must not reach: after shuffling all weights, and between different images."""
LOOK = "Look at the pictures in the report."
WORDS = {
    BORDER_NAME: "in the outer tenth on each side",
    CORNERS_NAME: "in the four corners together",
    MARKS_NAME: "on letters, wires and other thin bright marks",
}
THINGS = {
    BORDER_NAME: "the outer tenth",
    CORNERS_NAME: "the four corners",
    MARKS_NAME: "letters, wires and other thin bright marks",
}


def heat_warnings(checks: HeatChecks) -> tuple[str, ...]:
    """What a reader must know before believing a heat map, or the model."""
    return tuple(_warnings(checks))


def _warnings(checks: HeatChecks) -> Iterator[str]:
    for found in checks.regions:
        if places := [*_corners(found), *_places(found, HEALTHY if found.name == checks.reference else 1.0)]:
            yield (
                f"Of the heat for {found.name}, {joined(tuple(places))}. Little or no lung is there: the model may "
                f"go by markers, writing or exposure. {LOOK}"
            )
        changed = [each for each in found.regions if _above(each.changed, FLIPPED)]
        if changed and found.images >= FEW_PATIENTS:
            changes = joined(tuple(f"{each.changed.value:.0%} without {THINGS[each.name]}" for each in changed))
            yield f"Of the images called {found.name}, {changes} are called otherwise: decisions rest on it. {LOOK}"
    if isinstance(checks.pointing, Pointing):
        yield from _pointing(checks.pointing)
    if isinstance(checks.randomisation, Randomisation):
        yield from _randomisation(checks.randomisation)


def _corners(found: ClassRegions) -> Iterator[str]:
    for name, estimate in zip(CORNER_NAMES, found.corners, strict=True):
        if _above(estimate, ONE_CORNER * CORNER**2):
            yield f"{estimate.value:.0%} lies in the {name} corner ({CORNER**2:.0%} of the picture)"


def _places(found: ClassRegions, tolerance: float) -> Iterator[str]:
    for place in found.regions:
        if _above(place.heat, max(MATTERS, tolerance * TOO_MUCH[place.name] * place.area)):
            yield f"{place.heat.value:.0%} {WORDS[place.name]} ({_small(place.area)} of the picture)"


def _pointing(found: Pointing) -> Iterator[str]:
    area, other, energy = found.area.value or 0.0, found.other.energy.value or 0.0, found.own.energy
    if energy.value is not None and not _above(energy, max(area, other)):
        yield (
            f"The heat does not find the disease: {energy.value:.0%} of it lies inside what was marked, which is "
            f"{area:.0%} of the picture, and {other:.0%} would with the map of another patient. Do not read a heat map "
            "of this model as the place of a finding."
        )


def _randomisation(found: Randomisation) -> Iterator[str]:
    if _above(found.stages[-1].spearman, STUBBORN):
        yield (
            "The heat maps stay much the same when all weights are shuffled: they show the picture, not what the model "
            "learned. Do not explain a decision by them."
        )
    if found.other and _above(found.other.spearman, SAME):
        yield "The heat map is nearly the same for every picture: it tells nothing about the one at hand."


def _above(estimate: Estimate, limit: float) -> bool:
    """Whether the whole interval is above; without an interval the value must be twice as large."""
    if estimate.value is None:
        return False
    return estimate.low > limit if estimate.low is not None else estimate.value > 2 * limit


def _small(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
