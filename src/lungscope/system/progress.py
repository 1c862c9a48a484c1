"""What long work shows: a bar on a terminal, plain lines elsewhere, nothing for work that ends at once."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

QUIET_S = 2.0
PLAIN_INTERVAL_S = 10.0

stderr = Console(stderr=True)

T = TypeVar("T")


class Bar:
    """Progress of one job with its rate, its time left and any figures the job reports.

    Silent for the first two seconds. On a terminal it is a rich bar; elsewhere one plain line every
    ten seconds, so that a log stays readable.
    """

    def __init__(self, label: str, total: int | None, unit: str = "images") -> None:
        """`total` is None as long as it is not known; it may be set later."""
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._started = self._spoken = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self._spoken > self._started:
            stderr.print(self._line(""), highlight=False)

    def advance(self, n: int = 1, **figures: float) -> None:
        """Count `n` more units as done; `figures` are shown beside the rate, e.g. loss=0.31."""
        self.done += n
        now = time.monotonic()
        if now - self._started < QUIET_S:
            return
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if stderr.is_terminal:
            self._draw(shown)
        elif now - self._spoken >= PLAIN_INTERVAL_S:
            self._spoken = now
            stderr.print(self._line(shown), highlight=False)

    def _draw(self, shown: str) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(), console=stderr,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task(self.label, total=self.total, completed=0, shown="")
        bar, done = self._bar, self.done
        bar.update(bar.task_ids[0], total=self.total, completed=done, shown=f"{self._rate()}  {shown}")

    def _rate(self) -> str:
        return f"{self.done / max(time.monotonic() - self._started, 1e-9):.0f} {self.unit}/s"

    def _line(self, shown: str) -> str:
        of, left = " so far", 0.0
        if self.total is not None:
            of = f" of {self.total} {self.unit}"
            left = (self.total - self.done) * (time.monotonic() - self._started) / max(self.done, 1)
        parts = [f"{self.label}: {self.done}{of}", self._rate(), shown]
        return ", ".join(part for part in parts if part) + (f", {left:.0f} s left" if left > 0 else "")


def track(items: Iterable[T], label: str, total: int, unit: str = "images") -> Iterator[T]:
    """Yield `items` unchanged while showing how far the work has come."""
    with Bar(label, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()
