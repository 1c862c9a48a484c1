"""What long work shows: a bar on a terminal, a line in a notebook or a log, nothing for work that ends at once.

Nothing at all unless asked for by `show_progress`, as the command line does.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

if TYPE_CHECKING:
    from IPython.display import DisplayHandle
    from rich.progress import Progress

QUIET_S = 2.0
PLAIN_INTERVAL_S = 10.0
NOTEBOOK_INTERVAL_S = 0.5

stderr = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

T = TypeVar("T")
_on: ContextVar[bool] = ContextVar("progress", default=False)


@contextmanager
def show_progress(on: bool = True) -> Iterator[None]:
    """Let the work inside say on standard error how far it is, and what it decides; or let it be silent."""
    before = _on.set(on)
    try:
        yield
    finally:
        _on.reset(before)


def note(text: str) -> None:
    """Tell one line, as it is, where progress is shown."""
    if _on.get():
        stderr.print(text)


class Bar:
    """Progress of one job with its rate, its time left and any figures the job reports.

    Silent for the first two seconds. On a terminal it is a rich bar, in a notebook one line that changes, and
    elsewhere a plain line every ten seconds, so that a log stays readable.
    """

    def __init__(self, label: str, total: int | None, unit: str = "images") -> None:
        """`total` is None as long as it is not known; it may be set later."""
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._started = self._spoken = time.monotonic()
        self._bar: Progress | None = None
        self._cell: DisplayHandle | None = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self._spoken > self._started:
            self._write(self._line(""))

    def advance(self, n: int = 1, **figures: float) -> None:
        """Count `n` more units as done; `figures` are shown beside the rate, e.g. loss=0.31."""
        self.done += n
        now = time.monotonic()
        if not _on.get() or now - self._started < QUIET_S:
            return
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if stderr.is_terminal:
            self._draw(shown)
        elif now - self._spoken >= (NOTEBOOK_INTERVAL_S if stderr.is_jupyter else PLAIN_INTERVAL_S):
            self._spoken = now
            self._write(self._line(shown))

    def _draw(self, shown: str) -> None:
        if self._bar is None:
            # Imported here, as a prediction that ends at once needs no bar.
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(), console=stderr,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task(self.label, total=self.total, completed=0, shown="")
        bar, done = self._bar, self.done
        bar.update(bar.task_ids[0], total=self.total, completed=done, shown=f"{self._rate()}  {shown}")

    def _write(self, line: str) -> None:
        if not stderr.is_jupyter:
            stderr.print(line)
        elif self._cell is not None:
            self._cell.update({"text/plain": line}, raw=True)
        else:
            from IPython.display import display

            self._cell = display({"text/plain": line}, raw=True, display_id=True)

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
