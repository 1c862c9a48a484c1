"""What a finished scoring amounts to, counted from its parts."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lungscope.inference.result import RESEARCH_USE
from lungscope.scoring import parquet
from lungscope.scoring.adapted_prior import FOLDER, Prevalence
from lungscope.scoring.parts import Parts
from lungscope.system.files import write_atomically

KINDS = 40
"""Kinds of error that are counted apart; the rest is counted together."""
NUMBERS_IN_BRACKETS = re.compile(r"\d+(?=[^(]*\))")


@dataclass(frozen=True)
class Work:
    """What one process did."""

    rows: int
    seconds: float
    """Without the start of the program and the loading of the model."""
    engine: str

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.rows / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Summary:
    """Counts over all finished parts, of whichever process."""

    source: str
    shard: str
    parts: int
    images: int
    findings: dict[str, int]
    not_assessed: int
    failed: int
    errors: dict[str, int]
    """Kinds of failure, most frequent first."""
    scored_now: int
    seconds: float
    images_per_second: float
    engine: str
    prevalence: Prevalence | None = None
    """Where it was estimated."""


def summarise(parts: Parts, work: Work, prevalence: Prevalence | None = None) -> Summary:
    """Count the rows of a shard, or of the whole folder where there is one shard only."""
    paths = parts.all() if parts.shard.count == 1 else parts.own()
    images, not_assessed, findings, errors = 0, 0, Counter[str](), Counter[str]()
    for path in paths:
        for columns in parquet.batches(path, ("finding", "not_assessed", "error")):
            images += len(columns["error"])
            not_assessed += sum(reason is not None for reason in columns["not_assessed"])
            findings.update(name for name in columns["finding"] if name is not None)
            for reason in columns["error"]:
                if reason is not None:
                    errors[_kind(reason, errors)] += 1
    return Summary(
        source=parts.plan.source,
        shard=str(parts.shard),
        parts=len(paths),
        images=images,
        findings={name: findings[name] for name in parts.plan.classes},
        not_assessed=not_assessed,
        failed=errors.total(),
        errors=dict(errors.most_common()),
        scored_now=work.rows,
        seconds=round(work.seconds, 3),
        images_per_second=round(work.rate, 1),
        engine=work.engine,
        prevalence=prevalence,
    )


def write_summary(summary: Summary, folder: Path) -> Path:
    """Write summary.json, or one of its own for a shard; returns where."""
    index, _, count = summary.shard.partition("/")
    name = "summary.json" if count == "1" else f"summary-{int(index):04}-of-{int(count):04}.json"
    write_atomically(folder / name, json.dumps(asdict(summary), indent=2) + "\n")
    return folder / name


def lines(summary: Summary, folder: Path) -> Sequence[str]:
    """The summary of what was written to `folder`, for people."""
    counts = [f"{n:,} {name}" for name, n in summary.findings.items()]
    counts += [f"{summary.not_assessed:,} not assessed"] * bool(summary.not_assessed)
    counts += [f"{summary.failed:,} failed"] * bool(summary.failed)
    before = summary.images - summary.scored_now
    kept = f", {before:,} of them before" if before else ""
    rate = f"{summary.images_per_second:.0f} images/s"
    return [
        f"{summary.images:,} files{kept}: {', '.join(counts)}",
        f"{summary.scored_now:,} in {summary.seconds:.1f} s, {rate}, {summary.engine}",
        *(f"  {n:,} × {kind}" for kind, n in summary.errors.items()),
        *_prevalence_lines(summary.prevalence, folder),
        f"{summary.parts:,} part{'s' * (summary.parts != 1)} → {folder}. {RESEARCH_USE}",
    ]


def _prevalence_lines(found: Prevalence | None, folder: Path) -> list[str]:
    if found is None:
        return []
    if found.refused:
        return [f"Not corrected for prevalence: {found.refused}."]
    shares = [
        f"{name} {share['value']:.1%} ({share['ci95'][0]:.1%} to {share['ci95'][1]:.1%}), calibrated for "
        f"{found.calibrated_for[name]:.1%}"
        for name, share in found.estimated.items()
    ]
    return [f"Prevalence by the scores alone: {'; '.join(shares)}. Corrected probabilities → {folder / FOLDER}"]


def _kind(reason: str, known: Counter[str]) -> str:
    # The first sentence, without the numbers that differ from file to file.
    kind = NUMBERS_IN_BRACKETS.sub("…", reason.split(". ")[0].rstrip("."))
    return kind if kind in known or len(known) < KINDS else "other reasons"
