"""Uploads after they were answered: in a bounded memory, and as pictures on disk where that was asked for."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from lungscope.errors import OutputError
from lungscope.system.files import cannot_write, write_atomically

MOST_NAMES = 100_000
ORPHAN_S = 3600


class UploadCache:
    """Names and contents of uploads by id; the least recently used are forgotten first.

    Contents are held as they came and only in memory, because they may name the patient. On disk, in
    `folder`, there are only pictures without any metadata.
    """

    def __init__(self, cache_bytes: int, folder: Path | None) -> None:
        """A `folder` of None keeps no pictures."""
        self.folder = folder
        self._room = cache_bytes
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, id_: str, name: str | None, content: bytes | None) -> None:
        """Hold an upload; contents of None or larger than all room are not held."""
        with self._lock:
            if name:
                self._names[id_] = name
                if len(self._names) > MOST_NAMES:
                    self._names.popitem(last=False)
            if content is None or len(content) > self._room:
                return
            self._contents[id_] = content
            self._room -= len(content)
            while self._room < 0:
                self._room += len(self._contents.popitem(last=False)[1])

    def name(self, id_: str) -> str | None:
        """The name under which an image came."""
        with self._lock:
            return self._names.get(id_)

    def holds(self, id_: str) -> bool:
        """Whether the pixels of an image can still be had."""
        with self._lock:
            if id_ in self._contents:
                return True
        return self.folder is not None and self._path(self.folder, id_).exists()

    def content(self, id_: str) -> bytes | None:
        """A file that holds the pixels of an image; None when it is gone."""
        with self._lock:
            if id_ in self._contents:
                self._contents.move_to_end(id_)
                return self._contents[id_]
        try:
            return self._path(self.folder, id_).read_bytes() if self.folder else None
        except OSError:
            return None

    def keep(self, id_: str, png: bytes) -> None:
        """Write a picture to disk.

        Raises:
            OutputError: it cannot be written.
        """
        if self.folder:
            path = self._path(self.folder, id_)
            write_atomically(path, png)
            try:
                path.chmod(0o600)
            except OSError as error:
                raise OutputError(cannot_write(path, error)) from None

    def forget(self, id_: str) -> None:
        """Let go of an upload and of its picture."""
        with self._lock:
            self._names.pop(id_, None)
            self._room += len(self._contents.pop(id_, b""))
        if self.folder:
            self._path(self.folder, id_).unlink(missing_ok=True)

    def on_disk(self) -> Iterator[str]:
        """Ids of pictures old enough that their record must be in the store by now."""
        for path in self.folder.glob("??/*.png") if self.folder else ():
            if time.time() - path.stat().st_mtime > ORPHAN_S:
                yield path.stem

    @staticmethod
    def _path(folder: Path, id_: str) -> Path:
        return folder / id_[:2] / f"{id_}.png"
