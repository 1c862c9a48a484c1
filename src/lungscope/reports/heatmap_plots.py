"""The plots of the checks of heat maps, as inline SVG."""

import numpy as np
from markupsafe import Markup

from lungscope.evaluation.heatmaps.deletion import STEPS, HeatCurves, Order
from lungscope.reports.svg import ACCENT, INK, REFERENCE, SMALL, Caption, label, new_axes, render

WIDTH, HEIGHT = 330.0, 260.0
STYLES: dict[Order, tuple[str, tuple[float, ...]]] = {
    "heat map": (ACCENT, (1, 0)),
    "random map": (REFERENCE, (1, 0)),
    "centre": (REFERENCE, (3, 2)),
}


def deletion_plot(found: HeatCurves) -> Markup:
    """Mean probability while the picture is taken away."""
    return _figure({each.order: each.deletion for each in found.orders}, "deletion", "Share of the picture replaced")


def insertion_plot(found: HeatCurves) -> Markup:
    """Mean probability while the picture is brought back."""
    return _figure({each.order: each.insertion for each in found.orders}, "insertion", "Share of the picture shown")


def _figure(curves: dict[Order, tuple[float, ...]], name: str, axis: str) -> Markup:
    figure, axes = new_axes(WIDTH, HEIGHT)
    steps = np.linspace(0, 1, STEPS + 1)
    for order, values in curves.items():
        color, dashes = STYLES[order]
        axes.plot(steps, values, color=color, linewidth=1.8, dashes=dashes, label=order, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=1.8, loc="best")
    label(axes, axis, "Probability of the class called")
    halfway = "; ".join(f"{order} {values[STEPS // 2]:.2f}" for order, values in curves.items())
    description = f"{axis} from 0 to 1 against probability. Halfway: {halfway}."
    return render(figure, Caption(f"heat-{name}", name.capitalize(), description))
