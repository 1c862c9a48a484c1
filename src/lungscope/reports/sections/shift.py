"""What a change against validation means for whoever wants to use the model."""

from lungscope.evaluation.shift import Change, Shift
from lungscope.reports.section import Row, Section, SectionKey, Table
from lungscope.reports.summary import cell, decimal, percent

LOOKS = 0.5
"""Shift of the embeddings from which images look different: more than patients of one hospital ever differ."""
SCORES = 0.25
"""Stability index from which a distribution is usually called shifted (Siddiqi 2006)."""
USELESS = 0.6
"""An AUROC below this is hardly better than chance, where 0.5 is."""
OFF = 0.2
"""A calibration slope or intercept this far from its ideal is worth a warning."""


def shift_section(shift: Shift) -> Section:
    """The comparison, with its warnings."""
    warnings = shift_warnings(shift)
    rows: list[Row] = [
        (each.name, *(cell(side, percent if each.is_share else decimal) for side in (each.then, each.now)))
        for each in shift.changes
    ]
    further: list[Row] = [
        ("Mean probability of disease, or of the likeliest class", *(decimal(value) for value in shift.mean_score)),
        ("Shift of the probabilities (stability index)", "0", decimal(shift.stability)),
        (f"Shift of what the network sees (by chance {shift.by_chance:.2f})", "0", decimal(shift.embedding)),
    ]
    return Section(
        SectionKey.SHIFT,
        title="Compared with validation",
        lead=f"What changed against the {shift.n:,} images that the model was calibrated and its thresholds were "
        f"chosen on.{'' if warnings else ' Nothing stands out.'}",
        warnings=warnings,
        tables=(
            Table(
                "Then and now",
                ("Estimate", "On validation", "Here"),
                (*rows, *further),
                f"A stability index above {SCORES:g} and a shift of what the network sees above {LOOKS:g} are large.",
            ),
        ),
    )


def shift_warnings(shift: Shift) -> tuple[str, ...]:
    """What to know before using the model here, the gravest first; nothing where nothing stands out."""
    by_key = {each.key: each for each in shift.changes}
    lines = [_area(by_key["auroc"])]
    if shift.embedding > max(LOOKS, 3 * shift.by_chance):
        lines.append(
            f"These images look different to the network from those it was validated on (shift {shift.embedding:.2f}, "
            f"by chance {shift.by_chance:.2f}): probably another age group, hospital or machine. Estimates from "
            "validation do not hold here."
        )
    lines += [_calibration(by_key), _prevalence(by_key)]
    found = tuple(each for each in lines if each)
    if not found and shift.stability > SCORES:
        return (
            f"The probabilities are distributed otherwise than on validation (stability index {shift.stability:.2f}).",
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
        return f"{differs} It is hardly better than chance on these images: do not use it for images like these."
    lowest = then.value if then.low is None else then.low
    if now.high < lowest:
        return f"The model tells the classes apart less well than on validation: {here}."
    return ""


def _calibration(changes: dict[str, Change]) -> str:
    slope, large = changes.get("calibration_slope"), changes.get("calibration_in_the_large")
    if slope and _off(slope, 1.0):
        value = slope.now.value or 0.0
        return (
            f"The probabilities are {'too extreme' if value < 1 else 'too cautious'} on these images (calibration "
            f"slope {decimal(value)}, 1 is ideal): do not read them as chances."
        )
    if large and _off(large, 0.0):
        value = large.now.value or 0.0
        return (
            f"On the whole the probabilities are too {'low' if value > 0 else 'high'} on these images (in the large "
            f"{decimal(value)}, 0 is ideal). If only the prevalence differs, --adapt-prior fixes it."
        )
    return ""


def _off(change: Change, ideal: float) -> bool:
    """Whether the interval here leaves the ideal out, by more than a little."""
    now = change.now
    if now.low is None or now.high is None or now.value is None:
        return False
    return not now.low <= ideal <= now.high and abs(now.value - ideal) > OFF


def _prevalence(changes: dict[str, Change]) -> str:
    share = changes.get("prevalence")
    if share is None or not share.clear or share.now.value is None or share.then.value is None:
        return ""
    return (
        f"{percent(share.now.value)} of these cases are diseased, and {percent(share.then.value)} were on validation: "
        "predictive values, and thresholds chosen by cost, do not carry over."
    )
