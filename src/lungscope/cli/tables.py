"""What several commands print alike: tables for people, JSON for machines."""

import json

from rich.console import Console
from rich.table import Table

from lungscope.stats.estimate import Estimate

stdout = Console(highlight=False, markup=False, soft_wrap=True)
"""Prints text as it is, a sentence on one line."""


def plain_table(*columns: str, title: str | None = None) -> Table:
    """A table without rules that fits eighty columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table, folded or cut to the width of the terminal."""
    stdout.print(table, soft_wrap=False)


def print_json(document: object) -> None:
    """Print a document for other programs."""
    print(json.dumps(document, indent=2))


def estimate_value(estimate: Estimate) -> str:
    """An estimate without its interval."""
    return "n/a" if estimate.value is None else f"{estimate.value:.3f}"


def estimate_cell(estimate: Estimate) -> str:
    """An estimate with its interval, short."""
    if estimate.low is None or estimate.high is None:
        return estimate_value(estimate)
    return f"{estimate_value(estimate)} ({estimate.low:.2f}–{estimate.high:.2f})"
