"""What commands print: tables for people, JSON for machines."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from lungscope.console import stderr, track
from lungscope.inference.batch import write_table
from lungscope.inference.bundle import load_bundle
from lungscope.inference.predictor import Predictor, Reading

RESEARCH_USE = "Research use only. Not a medical device."


def readings(rows: Iterable[Reading], predictor: Predictor, total: int, out: Path | None) -> int:
    """Print or write one row per file and a summary; returns how many files failed."""
    started, findings = time.perf_counter(), Counter[str]()

    def counted() -> Iterator[Reading]:
        for reading in rows:
            findings[reading.decision.finding if reading.decision else "failed"] += 1
            yield reading

    if out:
        failures = write_table(track(counted(), "Predicting", total), out, predictor.card)
    else:
        failures = _print_readings(counted(), predictor)
    rate = total / max(time.perf_counter() - started, 1e-9)
    counts = ", ".join(f"{n} {name}" for name, n in findings.most_common())
    where = f" → {out}" if out else ""
    stderr.print(f"{total} files: {counts} ({rate:.0f} images/s, {predictor.engine}){where}. {RESEARCH_USE}", highlight=False)
    return failures


def _print_readings(rows: Iterable[Reading], predictor: Predictor) -> int:
    failures, width = 0, max(len("finding"), *(len(name) for name in predictor.card.classes))
    # The file stands last: its length is not known beforehand, and rows are printed as they come.
    print(f"{'finding':<{width}}  probability  operating point             file")
    for reading in rows:
        decision = reading.decision
        if decision is None:
            failures += 1
            print(f"{'failed':<{width}}  {'':<11}  {'':<26}  {reading.error}")
            continue
        point = f"{decision.operating_point} (≥ {decision.threshold:.3f})" if decision.threshold is not None else ""
        notes = f"  [{'; '.join(reading.notes)}]" if reading.notes else ""
        print(f"{decision.finding:<{width}}  {decision.suspicion:<11.4f}  {point:<26}  {reading.source}{notes}")
    sys.stdout.flush()
    return failures
