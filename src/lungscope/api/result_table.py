"""Results of many images as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from lungscope.api.notebook import html_table
from lungscope.api.result import Result
from lungscope.bundle.card import Card
from lungscope.errors import RuntimeUnavailable
from lungscope.inference.result import RESEARCH_USE
from lungscope.inference.result_table import check_table, write_table

if TYPE_CHECKING:
    import pandas

SHOWN = 10


@dataclass(frozen=True, eq=False)
class ResultTable(Sequence[Result]):
    """One result per image, in their order, those that failed included; shows itself in a notebook."""

    results: tuple[Result, ...]
    card: Card
    """Of the model."""

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> "ResultTable": ...
    def __getitem__(self, index: int | slice) -> "Result | ResultTable":
        return ResultTable(self.results[index], self.card) if isinstance(index, slice) else self.results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per image with the columns of `lungscope predict --out`."""
        return [each.as_dict() for each in self.results]

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a data frame.

        Raises:
            RuntimeUnavailable: pandas is not installed.
        """
        return data_frame(self.rows())

    def write(self, path: str | Path) -> None:
        """Write FILE.csv or FILE.jsonl, which appears whole.

        Raises:
            ConfigError: another ending.
            OutputError: the place cannot be written.
        """
        check_table(Path(path))
        write_table((each.details for each in self.results), Path(path), self.card)

    def __repr__(self) -> str:
        return f"ResultTable({self._counts()})"

    def _counts(self) -> str:
        failed = sum(bool(each.error) for each in self.results)
        rejected = sum(bool(each.not_assessed) for each in self.results)
        return f"{len(self)} images, {rejected} not assessed, {failed} failed"

    def _repr_html_(self) -> str:
        shown = self[:SHOWN].rows()
        names = [name for name in shown[0] if any(row[name] not in (None, "") for row in shown)] if shown else []
        table = html_table(([_text(row[name]) for name in names] for row in shown), names)
        return f"{table}<small>{self._counts()}. {RESEARCH_USE}</small>"


def data_frame(rows: Sequence[dict[str, Any]]) -> "pandas.DataFrame":
    """Rows as a data frame; `RuntimeUnavailable` where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise RuntimeUnavailable("pandas is not installed. Install it with: pip install 'lungscope[pandas]'.") from None
    return pandas.DataFrame(rows)


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
