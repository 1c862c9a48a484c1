"""Sets and sorted lists larger than memory: a private SQLite file that vanishes with the process."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b

DIGEST_BYTES = 16
"""Two of a thousand million names meet with a probability below 10⁻²⁰."""


class DiskSet:
    """Names that were seen, in bounded memory."""

    def __init__(self) -> None:
        # An empty name is a temporary file of SQLite's own, which holds in memory only a cache of 2 MB.
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self._file.execute("BEGIN")

    def add(self, name: bytes) -> bool:
        """Take a name in; whether it is new."""
        digest = blake2b(name, digest_size=DIGEST_BYTES).digest()
        return self._file.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount == 1

    def close(self) -> None:
        """Free the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Entry:
    """What `os.DirEntry` tells of something in a folder, without holding it open."""

    name: str
    path: str
    folder: bool

    def is_dir(self) -> bool:
        """Whether it was a folder, or a link to one, when it was listed."""
        return self.folder

    def is_file(self) -> bool:
        """Whether it is a file or a link to one."""
        return os.path.isfile(self.path)

    def stat(self) -> os.stat_result:
        """Of what it leads to."""
        return os.stat(self.path)


def sort_entries(entries: Iterable[os.DirEntry[str]], folder: str) -> Iterator[Entry]:
    """The entries of one folder in the order of their names' bytes, in bounded memory."""
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as file:
        file.execute("CREATE TABLE entries (name BLOB PRIMARY KEY, folder INT) WITHOUT ROWID")
        file.execute("BEGIN")
        rows = ((os.fsencode(entry.name), _is_folder(entry)) for entry in entries)
        # A folder that changes while it is read may show a name twice.
        file.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?)", rows)
        for stored, is_folder in file.execute("SELECT name, folder FROM entries ORDER BY name"):
            name = os.fsdecode(stored)
            yield Entry(name, os.path.join(folder, name), bool(is_folder))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
