"""What a change against validation means for whoever wants to use the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from lungscope.reports.summary import Format, decimal, percent
from lungscope.stats.metrics import Estimate

LOOKS = 0.5
"""Shift of the embeddings from which images look different: more than patients of one hospital ever differ."""
SCORES = 0.25
"""Stability index from which a distribution is usually called shifted (Siddiqi 2006)."""
USELESS = 0.6
"""An AUROC below this is hardly better than chance, where 0.5 is."""
OFF = 0.2
"""A calibration slope or intercept this far from its ideal is worth a warning."""


@dataclass(frozen=True)
class Change:
    """A figure on validation and on these data."""

    name: str
    key: str
    then: Estimate
    now: Estimate
    is_share: bool = False

    @property
    def form(self) -> Format:
        """How it is printed."""
        return percent if self.is_share else decimal

    @property
    def clear(self) -> bool:
        """Whether the two intervals are apart."""
        if self.then.low is None or self.then.high is None or self.now.low is None or self.now.high is None:
            return False
        return self.then.high < self.now.low or self.now.high < self.then.low

    def off(self, ideal: float) -> bool:
        """Whether the interval here leaves the ideal out, by more than a little."""
        if self.now.low is None or self.now.high is None or self.now.value is None:
            return False
        return not self.now.low <= ideal <= self.now.high and abs(self.now.value - ideal) > OFF


def tell(changes: Sequence[Change], stability: float, embedding: float, by_chance: float) -> tuple[str, ...]:
    """Warnings in plain words, the gravest first; none where nothing stands out.

    Args:
        changes: figures then and now.
        stability: index of the distribution of p_abnormal.
        embedding: shift of what the network sees.
        by_chance: the shift that chance alone brings.
    """
    by_key = {each.key: each for each in changes}
    told = [_area(by_key["auroc"])]
    if embedding > LOOKS and embedding > 3 * by_chance:
        told.append(
            f"These images look different to the network from those it was validated on (shift {embedding:.2f}, by "
            f"chance {by_chance:.2f}): probably another age group, hospital or machine. Figures from validation do "
            "not hold here."
        )
    told += [_calibration(by_key), _prevalence(by_key)]
    found = tuple(each for each in told if each)
    if not found and stability > SCORES:
        return (
            f"The probabilities are distributed otherwise than on validation (stability index {stability:.2f}).",
        )
    return found


def _area(area: Change) -> str:
    now, then = area.now, area.then
    if now.value is None or then.value is None or now.low is None or now.high is None:
        return ""
    here = f"AUROC {now.value:.3f} ({now.low:.3f} to {now.high:.3f}) here, {then.value:.3f} on validation"
    differs = f"This data set differs from what the model was validated on: {here}."
    if now.value < USELESS and now.low <= 0.5:
        return f"{differs} It is at chance on these images: do not use it for images like these."
    if now.value < USELESS:
        return (
            f"{differs} It is hardly better than chance on these images: do not use it for images like these."
        )
    lowest = then.value if then.low is None else then.low
    if now.high < lowest:
        return f"The model tells the classes apart less well than on validation: {here}."
    return ""


def _calibration(changes: dict[str, Change]) -> str:
    slope, large = changes.get("calibration_slope"), changes.get("calibration_in_the_large")
    if slope and slope.off(1.0):
        value = slope.now.value or 0.0
        return (
            f"The probabilities are {'too extreme' if value < 1 else 'too cautious'} on these images (calibration "
            f"slope {decimal(value)}, 1 is ideal): do not read them as chances."
        )
    if large and large.off(0.0):
        value = large.now.value or 0.0
        return (
            f"On the whole the probabilities are too {'low' if value > 0 else 'high'} on these images (in the large "
            f"{decimal(value)}, 0 is ideal). If only the prevalence differs, --adapt-prior fixes it."
        )
    return ""


def _prevalence(changes: dict[str, Change]) -> str:
    share = changes.get("prevalence")
    if share is None or not share.clear or share.now.value is None or share.then.value is None:
        return ""
    return (
        f"{percent(share.now.value)} of these cases are diseased, and {percent(share.then.value)} were on validation: "
        "predictive values, and thresholds chosen by cost, do not carry over."
    )
