"""A benchmark as a table in Markdown, as JSON and as files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.bench import Benchmark, Found
from benchmarks.contender import Measured
from benchmarks.ratio import Spread, Verdict, compare, cpu_ms_per_image, how_many_times, percentile, spread, values
from lungscope.system.files import write_atomically

COLUMNS = ("", "median", "ours is", "CPU ms/image", "peak MB", "turns", "busy before")
"""Of a section; the last one is how much of the machine others used just before a turn, at most."""
TARGET_COLUMNS = ("target", "goal", "measured", "reached", "remark")


def verdicts(benchmark: Benchmark) -> list[Verdict]:
    """Every target that could be compared."""
    return [
        verdict
        for found in benchmark.found
        for verdict in compare(found.section.key, found.section.unit, found.measured)
    ]


def rows(found: Found) -> Iterator[tuple[str, ...]]:
    """A section's contenders as the cells of `COLUMNS`."""
    unit = found.section.unit
    for one in found.measured:
        if not one.turns:
            yield (one.contender.name, f"failed: {one.error.replace('|', '/')}", *[""] * (len(COLUMNS) - 2))
            continue
        seen = spread(values(one, unit))
        cpu, busy = cpu_ms_per_image(one), [t.busy_before for t in one.turns if t.busy_before is not None]
        yield (
            one.contender.name,
            figure(seen.median) + _tail(one, unit),
            _relation(found, one),
            "" if cpu is None else figure(cpu),
            f"{one.peak_memory_mb:.0f}",
            f"{figure(seen.low)}–{figure(seen.high)}",
            f"{max(busy):.0%}" if busy else "",
        )


def _tail(one: Measured, unit: str) -> str:
    if unit != "ms":
        return ""
    return f" (p99 {figure(percentile([ms for turn in one.turns for ms in turn.ms], 99))})"


def _relation(found: Found, one: Measured) -> str:
    ours = found.measured[0]
    ratio = how_many_times(ours, one, found.section.unit)
    if one is ours or ratio is None:
        return ""
    return percent_of(ratio) if one.contender.role == "limit" else times(ratio)


def percent_of(ratio: Spread) -> str:
    """Of a limit."""
    return f"{ratio.median:.0%}"


def times(ratio: Spread) -> str:
    """As fast as another, with the spread of the turns."""
    return f"{figure(ratio.median)}× ({figure(ratio.low)}–{figure(ratio.high)})"


def figure(number: float) -> str:
    """Three digits that count, thousands in groups."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def heading(found: Found) -> str:
    """A section's title with its unit."""
    return f"{found.section.key}: {found.section.title}, {found.section.unit}"


def verdict_cells(verdict: Verdict) -> tuple[str, ...]:
    """A target as the cells of `TARGET_COLUMNS`."""
    target = verdict.target
    share = target.at_least < 1
    return (
        f"{target.section} / {target.against.replace('|', ', ')}",
        f"{target.at_least:.0%}" if share else f"{figure(target.at_least)}×",
        percent_of(verdict.ratio) if share else times(verdict.ratio),
        "yes" if verdict.reached else "no",
        target.meaning,
    )


def markdown(benchmark: Benchmark) -> str:
    """The whole run, ready to be put into a document."""
    versions = ", ".join(f"{name} {number}" for name, number in benchmark.versions.items())
    lines = [f"{benchmark.machine}, {benchmark.cores} cores; {versions}; {benchmark.seconds / 60:.0f} minutes."]
    for found in benchmark.found:
        lines += ["", f"**{heading(found)}**", "", *_table(COLUMNS, list(rows(found)))]
    reached = [verdict_cells(verdict) for verdict in verdicts(benchmark)]
    if reached:
        lines += ["", "**Targets**", "", *_table(TARGET_COLUMNS, reached)]
    lines += ["", *(f"Not measured. {reason}" for reason in benchmark.missing)]
    return "\n".join(lines).rstrip() + "\n"


def _table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]


def to_json(benchmark: Benchmark) -> str:
    """Everything that was measured, every turn of it; paths of this machine are left out."""
    sections = [
        {
            "key": found.section.key,
            "title": found.section.title,
            "unit": found.section.unit,
            "contenders": [_contender(found, one) for one in found.measured],
        }
        for found in benchmark.found
    ]
    reached = [{**asdict(verdict), "reached": verdict.reached} for verdict in verdicts(benchmark)]
    head = {"machine": benchmark.machine, "cores": benchmark.cores, "versions": benchmark.versions}
    tail = {"seconds": benchmark.seconds, "missing": benchmark.missing, "sections": sections, "targets": reached}
    return json.dumps({**head, **tail}, indent=2)


def write_benchmark(benchmark: Benchmark, folder: Path) -> None:
    """Write `bench.json`, `bench.md` and `bench.svg`.

    Raises:
        OutputError: the folder cannot be written.
    """
    from benchmarks.plot import picture

    write_atomically(folder / "bench.json", to_json(benchmark))
    write_atomically(folder / "bench.md", markdown(benchmark))
    write_atomically(folder / "bench.svg", picture(benchmark))


def _contender(found: Found, one: Measured) -> dict[str, Any]:
    unit = found.section.unit
    ratio = how_many_times(found.measured[0], one, unit)
    return {
        "name": one.contender.name,
        "role": one.contender.role,
        "error": one.error,
        "peak_memory_mb": one.peak_memory_mb,
        "cpu_ms_per_image": cpu_ms_per_image(one),
        "values": values(one, unit),
        "ours_is_times_as_fast": asdict(ratio) if ratio else None,
        "turns": [{**asdict(turn), "ms": _summary(turn.ms)} for turn in one.turns],
    }


def _summary(ms: Sequence[float]) -> dict[str, float] | None:
    return {"n": len(ms), "p50": percentile(ms, 50), "p99": percentile(ms, 99)} if ms else None
