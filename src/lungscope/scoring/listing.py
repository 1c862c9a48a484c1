"""What is to be scored: a folder, a list, or an object store, one file at a time and always in the same order."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from lungscope.data.images.radiograph import iter_images
from lungscope.errors import ConfigError, ManifestError
from lungscope.scoring.object_store import UNKNOWN, Store, is_url, local_path, open_store

LISTS = (".txt", ".csv", ".parquet")
COLUMNS = ("path", "file")
"""Names of the column of a table that holds the paths; the first one there is taken."""
READ_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Item:
    """One file."""

    name: str
    """As it stands in the results: below the folder, or as written in the list. Bytes that are no text are
    held as `os.fsdecode` does."""
    place: str
    """Where it is read: a path, or an address with a protocol."""
    n_bytes: int = UNKNOWN
    error: str = ""
    """Why it could not even be listed."""


class Listing(Protocol):
    """Where the files come from."""

    source: str
    """The same for the same files, wherever the command was started."""
    repeats: bool
    """Whether a name may come twice."""
    remote: bool
    """Whether listing costs requests, so that it is not done twice only to know the time left."""

    def __iter__(self) -> Iterator[Item]:
        """Every file, in the same order each time."""
        ...


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1; parts are disjoint, and together they are everything."""

    index: int = 1
    count: int = 1

    def holds(self, name: str) -> bool:
        """Whether a file is in this part, which its name alone decides."""
        if self.count == 1:
            return True
        digest = blake2b(os.fsencode(name), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """A shard from `i/n`, such as 2/16; `ConfigError` unless these are whole numbers with 1 <= i <= n."""
    index, _, count = text.partition("/")
    if not (index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
        raise ConfigError(f"--shard {text!r} is not understood. Write i/n, such as 2/16.")
    if not 1 <= int(index) <= int(count):
        raise ConfigError(f"--shard {text} does not exist. Shards are numbered 1/{count} to {count}/{count}.")
    return Shard(int(index), int(count))


def open_listing(source: str) -> Listing:
    """The files that `source` names, not looked at yet.

    Args:
        source: a folder, a list (`LISTS`), or an address of either, such as s3://bucket/folder.

    Raises:
        ManifestError: there is no such source, or it is neither a folder nor a list.
        ConfigError: the address has a protocol that is not known.
        RuntimeUnavailable: addresses or Parquet are read with packages that are not installed.
    """
    suffix = PurePosixPath(source).suffix.lower()
    if is_url(source):
        if local := local_path(source):
            return open_listing(local)
        store, root = open_store(source), source.rstrip("/")
        return List(source, store, suffix) if suffix in LISTS else Objects(root, store)
    path = Path(source)
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise ManifestError(f"{source}: there is no such file or folder. Check the path.")
    if suffix not in LISTS:
        raise ManifestError(
            f"{source}: neither a folder nor a list. Name a folder, or a list of paths as {', '.join(LISTS)}."
        )
    return List(os.path.abspath(source), None, suffix)


class Folder:
    """Every image in a folder and below."""

    repeats = remote = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self.source = os.path.abspath(root)

    def __iter__(self) -> Iterator[Item]:
        start = len(os.path.join(self._root, ""))
        for path in map(str, iter_images(self._root)):
            yield Item(path[start:] if self._root != Path() else path, path)


class Objects:
    """Every image below an address; one of its folders is listed at a time."""

    repeats, remote = False, True

    def __init__(self, root: str, store: Store) -> None:
        self.source, self._store = root, store

    def __iter__(self) -> Iterator[Item]:
        return (Item(*found) for found in self._store.images(self.source))


class List:
    """The paths or addresses that a file lists, relative ones from where it lies."""

    repeats = True

    def __init__(self, source: str, store: Store | None, suffix: str) -> None:
        self.source, self._store, self._suffix = source, store, suffix
        self.remote = store is not None
        self._base = source.rpartition("/")[0] if store else os.path.dirname(source)

    def __iter__(self) -> Iterator[Item]:
        read = {".txt": self._lines, ".csv": self._table, ".parquet": self._parquet}[self._suffix]
        try:
            for name in read():
                if name:
                    yield Item(name, self._place(name))
        except (OSError, ValueError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise ManifestError(f"{self.source}: the list cannot be read ({reason}). Write it again.") from None

    def _place(self, name: str) -> str:
        if is_url(name):
            return local_path(name) or name
        return f"{self._base}/{name}" if self._store and not name.startswith("/") else os.path.join(self._base, name)

    def _open(self) -> IO[bytes]:
        return self._store.open(self.source) if self._store else open(self.source, "rb")

    def _lines(self) -> Iterator[str]:
        with self._open() as file:
            for line in file:
                yield os.fsdecode(line.rstrip(b"\r\n"))

    def _table(self) -> Iterator[str]:
        with self._open() as file:
            # Bytes that are no text pass as `os.fsdecode` holds them.
            lines = (line.decode("utf-8", "surrogateescape") for line in file)
            rows = csv.reader(lines)
            header = [name.removeprefix("\ufeff").strip() for name in next(rows, [])]
            column = header.index(self._column(header))
            yield from (row[column] for row in rows if len(row) > column)

    def _parquet(self) -> Iterator[str]:
        from lungscope.scoring.parquet import path_of, reader

        with self._open() as file:
            table = reader(file)
            wanted = self._column(table.schema_arrow.names)
            # A column that is not there is left out of the batch.
            for batch in table.iter_batches(READ_ROWS, columns=[wanted, f"{wanted}_bytes"]):
                columns = batch.to_pydict()
                exact = columns.get(f"{wanted}_bytes", [None] * len(batch))
                yield from (path_of(name or "", raw) for name, raw in zip(columns[wanted], exact, strict=True))

    def _column(self, names: list[str]) -> str:
        for name in COLUMNS:
            if name in names:
                return name
        raise ManifestError(f"{self.source}: there is no column 'path'. Give the paths a column of this name.")
