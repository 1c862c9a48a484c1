"""What the calibration of a model does on these data, before and after it."""

from collections.abc import Sequence

from lungscope.bundle.card import Calibration
from lungscope.evaluation.calibration import ROWS, CalibrationEffect, CalibrationEstimates
from lungscope.reports import summary
from lungscope.reports.plots import reliability_plot
from lungscope.reports.section import Plot, Section, SectionKey, Table

METHODS = {
    "none": "none: the network's own probabilities",
    "temperature": "temperature scaling",
    "platt": "Platt scaling",
}


def calibration_section(effect: CalibrationEffect) -> Section:
    """Before and after, and the methods that were tried."""
    calibration = effect.calibration
    reason = f" Chosen: {calibration.reason}." if calibration.candidates else ""
    method = METHODS.get(calibration.method, calibration.method)
    fitted = f"corrected by {method} (scale {calibration.scale:.3f}{_shifts(calibration)}), fitted on validation"
    done = "left as they are" if calibration.method == "none" else fitted
    return Section(
        SectionKey.CALIBRATION,
        title="Calibration, before and after",
        lead=f"The network's probabilities were {done}.{reason}",
        tables=(estimates_table((effect.before, effect.after)), *_tried(calibration)),
        plots=tuple(
            Plot(
                f"Reliability {each.name.lower()}",
                reliability_plot(each.reliability, f"reliability-{each.name.lower()}"),
                f"{each.name} calibration. On the dashed line a probability of 80% comes true eight times in ten.",
            )
            for each in (effect.before, effect.after)
        ),
    )


def estimates_table(columns: Sequence[CalibrationEstimates], caption: str = "Calibration") -> Table:
    """Probabilities of several kinds beside each other."""
    return Table(
        caption,
        ("Estimate", *(each.name for each in columns)),
        tuple((name, *(summary.cell(each.estimate(key), summary.decimal) for each in columns)) for name, key in ROWS),
        "Errors and losses: lower is better.",
    )


def _shifts(calibration: Calibration) -> str:
    if not any(calibration.shift):
        return ""
    return f", shift {', '.join(summary.decimal(value) for value in calibration.shift[1:])}"


def _tried(calibration: Calibration) -> tuple[Table, ...]:
    if not calibration.candidates:
        return ()
    rows = tuple(
        (
            METHODS[each.method],
            f"{each.log_loss:.4f}",
            "best" if each.behind == 0 else f"+{each.behind:.4f} ± {each.error:.4f}",
        )
        for each in calibration.candidates
    )
    return (
        Table(
            "Methods tried on validation",
            ("Method", "Log loss", "Behind the best"),
            rows,
            "Cross-validated over patients; the simplest within one standard error of the best is taken.",
        ),
    )
