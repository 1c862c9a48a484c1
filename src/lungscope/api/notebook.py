"""How results show themselves in a notebook."""

import html
from collections.abc import Iterable, Sequence


def html_table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Rows of texts as an HTML table, aligned to the left and escaped."""
    lines = [f"<tr>{_cells('th', head)}</tr>"] if head else []
    lines += [f"<tr>{_cells('td', row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag} style='text-align:left'>{html.escape(text)}</{tag}>" for text in texts)
