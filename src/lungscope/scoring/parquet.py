"""Rows of scores and the Parquet files that hold them."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lungscope.errors import OutputError, RuntimeUnavailable
from lungscope.system.files import open_atomically

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

FORMAT = 1
KEY = b"lungscope.score"
"""Entry of a file's metadata that says what made it, as JSON."""

GROUP = 1000
"""Rows that are written at a time: a third of the memory that a whole part would need."""
WORDS = ["finding", "not_assessed", "notes", "error"]
"""Columns with few distinct values; a dictionary of the others would be as long as they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one file after it was scored."""

    path: str
    probabilities: tuple[float, ...] = ()
    finding: str | None = None
    p_abnormal: float | None = None
    """None where no class is a reference."""
    not_assessed: str | None = None
    distance: float | None = None
    notes: str | None = None
    error: str | None = None
    fetch_ms: float | None = None
    """Transfer from an object store."""
    decode_ms: float | None = None
    infer_ms: float | None = None
    """Share of its micro-batch."""


def arrow() -> Any:
    """The module pyarrow; `RuntimeUnavailable` where it is not installed."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise RuntimeUnavailable(
            "Scores are written as Parquet with pyarrow. Run: pip install 'lungscope[score]'."
        ) from None
    return pyarrow


def reader(file: IO[bytes] | Path) -> "pyarrow.parquet.ParquetFile":
    """A Parquet file, opened; `RuntimeUnavailable` where pyarrow is not installed."""
    arrow()
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(file)


def schema(classes: Sequence[str], made_by: dict[str, Any]) -> "pyarrow.Schema":
    """Columns of a model with these classes; `made_by` goes into the metadata."""
    pa = arrow()
    word = pa.dictionary(pa.int32(), pa.string())
    numbers = [(f"p_{name}", pa.float32()) for name in classes]
    fields = [
        ("path", pa.string()), ("path_bytes", pa.binary()), ("finding", word), ("p_abnormal", pa.float32()),
        *numbers, ("not_assessed", pa.string()), ("distance", pa.float32()), ("notes", word),
        ("error", pa.string()), ("fetch_ms", pa.float32()), ("decode_ms", pa.float32()),
        ("infer_ms", pa.float32()),
    ]  # fmt: skip
    return pa.schema(fields, metadata={KEY: json.dumps(made_by, sort_keys=True).encode()})


def to_table(rows: Sequence[Row], layout: "pyarrow.Schema", n_classes: int) -> "pyarrow.Table":
    """Rows as columns."""
    pa = arrow()
    none = (None,) * n_classes
    lines = (
        (*split_path(row.path), row.finding, row.p_abnormal, *(row.probabilities or none), row.not_assessed,
         row.distance, row.notes, row.error, row.fetch_ms, row.decode_ms, row.infer_ms)
        for row in rows
    )  # fmt: skip
    arrays = [pa.array(values, kind) for values, kind in zip(zip(*lines, strict=True), layout.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=layout)


def split_path(path: str) -> tuple[str, bytes | None]:
    r"""A path as text, and its exact bytes where it is none; those that are no text are written \xNN."""
    try:
        path.encode()
    except UnicodeEncodeError:
        exact = os.fsencode(path)
        return exact.decode(errors="backslashreplace"), exact
    return path, None


def path_of(text: str, exact: bytes | None) -> str:
    """The path that `split_path` was given."""
    return text if exact is None else os.fsdecode(exact)


def write_tables(tables: Sequence["pyarrow.Table"], path: Path) -> None:
    """Write rows to a Parquet file, whole or not at all; it survives a loss of power once it has its name.

    Raises:
        OutputError: the place cannot be written.
    """
    import pyarrow.parquet

    with open_atomically(path, durable=True) as file:
        table = pyarrow.concat_tables(tables).unify_dictionaries()
        pyarrow.parquet.write_table(table, file, row_group_size=GROUP, compression="zstd", use_dictionary=WORDS)


def made_by(path: Path) -> dict[str, Any]:
    """What a part's metadata say of it; `OutputError` where it is damaged or not ours."""
    try:
        content: dict[str, Any] = json.loads(reader(path).schema_arrow.metadata[KEY])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{path}: this is no whole part of a scoring ({type(error).__name__}). Move it away and pass --resume."
        ) from None
    return content


def batches(path: Path, columns: Sequence[str], rows: int = 4096) -> Iterator[dict[str, list[Any]]]:
    """Some columns of a part, a few rows at a time; `OutputError` where it is damaged."""
    try:
        for batch in reader(path).iter_batches(rows, columns=list(columns)):
            yield batch.to_pydict()
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: this part is damaged ({type(error).__name__}). Move it away and pass --resume."
        ) from None
