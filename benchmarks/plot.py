"""A benchmark as one picture: how many times as fast ours is than each peer, and how near it is to each limit."""

from io import BytesIO

import matplotlib
from matplotlib.figure import Figure

from benchmarks.bench import Benchmark
from benchmarks.ratio import Spread, how_many_times

PEER, LIMIT = "#1f6f8b", "#b5651d"
ROW_INCHES = 0.24


def picture(benchmark: Benchmark) -> bytes:
    """SVG; the same measurements give the same bytes."""
    bars = _bars(benchmark)
    figure = Figure(figsize=(8.5, 1.2 + ROW_INCHES * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for row, (_, role, ratio) in enumerate(bars):
        if ratio is None:
            continue
        colour = LIMIT if role == "limit" else PEER
        axes.plot([ratio.low, ratio.high], [row, row], color=colour, linewidth=3, alpha=0.35)
        axes.plot([ratio.median], [row], "o", color=colour, markersize=5)
        axes.annotate(
            f"{ratio.median:.0%}" if role == "limit" else f"{ratio.median:.2g}×", (ratio.high, row), (6, 0),
            textcoords="offset points", va="center", fontsize=8, color=colour,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.axvline(1, color="#888888", linewidth=1)
    axes.margins(x=0.12)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=8)
    for label, (_, role, _) in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_fontweight("bold" if role == "title" else "normal")
    axes.invert_yaxis()
    axes.set_xlabel("how many times as fast ours is (points: median of the turns; lines: all turns)", fontsize=8)
    axes.set_title(f"{benchmark.machine}, {benchmark.cores} cores", fontsize=9, loc="left")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    content = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _bars(benchmark: Benchmark) -> list[tuple[str, str, Spread | None]]:
    bars: list[tuple[str, str, Spread | None]] = []
    for found in benchmark.found:
        ours, *others = found.measured
        bars.append((found.section.title, "title", None))
        for one in others:
            ratio = how_many_times(ours, one, found.section.unit)
            # A limit that nothing comes near would only stretch the scale.
            if ratio is not None and not (one.contender.role == "limit" and ratio.median < 0.02):
                bars.append((one.contender.name, one.contender.role, ratio))
    return bars
