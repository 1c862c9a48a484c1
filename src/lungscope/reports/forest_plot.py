"""AUROCs with their intervals, one below the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lungscope.reports.svg import ACCENT, INK, MUTED, PAPER, REFERENCE, Caption, dress, label, new_figure, render
from lungscope.stats.estimate import Estimate

ROW = 26.0


@dataclass(frozen=True)
class Line:
    """One AUROC, which has a value."""

    name: str
    auroc: Estimate
    accent: bool
    by_seed: Sequence[float] = ()
    """Shown as rings where there are several."""


def forest_plot(lines: Sequence[Line], width: float, key: str, title: str, *, chance: bool = False) -> Markup:
    """The first line on top: a bar for the interval, a dot for the value, and if wanted a rule at chance."""
    figure = new_figure(width, 60.0 + ROW * len(lines))
    axes = figure.add_subplot()
    dress(axes)
    if chance:
        axes.axvline(0.5, color=MUTED, linewidth=0.9, dashes=(3, 3))
        axes.set_xlim(right=1.02)
    for place, each in enumerate(reversed(lines)):
        colour = ACCENT if each.accent else REFERENCE
        if each.auroc.low is not None and each.auroc.high is not None:
            axes.plot([each.auroc.low, each.auroc.high], [place, place], color=colour, linewidth=3, alpha=0.5)
        if len(each.by_seed) > 1:
            seeds, level = list(each.by_seed), [place] * len(each.by_seed)
            axes.plot(seeds, level, "o", color=INK, mfc="none", markeredgewidth=0.9, markersize=4, zorder=4)
        value = each.auroc.value or 0.0
        axes.plot([value], [place], "o", color=colour, markersize=7, markeredgecolor=PAPER, zorder=3)
    axes.set_yticks(range(len(lines)), [each.name for each in reversed(lines)], parse_math=False)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.grid(visible=False, axis="y")
    label(axes, "AUROC", "")
    description = "; ".join(f"{each.name} {each.auroc}" for each in lines)
    return render(figure, Caption(key, title, f"{description}."))
