"""Every image decoded once into a memory map in the user's cache, keyed by the content of the files."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.decode import Record, decode, file_digests
from lungscope.errors import OutputError
from lungscope.system.files import write_atomically
from lungscope.system.folders import cache_folder
from lungscope.system.parallel import cores
from lungscope.system.progress import Bar, note

READER_VERSION = 2
"""To be raised when `data.images` gives other pixels for the same file, or records hold something else."""
PROBES = 32
"""Rows that are held against their digest when a pack is opened."""
LARGEST_IN_MEMORY = 2 << 30
"""Bytes of pixels that are kept in memory where the cache cannot be written."""
ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True, eq=False)
class Pack:
    """Images of one size, ready for use."""

    pixels: NDArray[np.uint8]
    """(N, S, S), read-only memory map; air dark, bone bright; unreadable rows are 0."""
    records: tuple[Record, ...]
    """One per row."""

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"Pack({len(self)} images of {self.pixels.shape[1:]}, {int((~self.readable).sum())} unreadable)"

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(N,), which rows hold an image."""
        return np.array([not record.error for record in self.records], dtype=bool)

    def identical(self) -> tuple[tuple[int, ...], ...]:
        """Groups of two or more rows with the same packed pixels; the same bytes give the same pixels."""
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for row, record in enumerate(self.records):
            if not record.error:
                groups[record.pixel_sha256].append(row)
        return tuple(tuple(rows) for rows in groups.values() if len(rows) > 1)


def pack(paths: Sequence[Path], size: int, *, cache: Path | None = None, workers: int | None = None) -> Pack:
    """Decode images to one size, or take them from the cache if their content has been decoded before.

    Unchanged files (same path, length and times) are not opened again; moved or copied ones are only
    hashed. Files that cannot be read are rows with an error. A pack enters the cache whole or not at all,
    and a damaged one is decoded again. Where the cache cannot be written, up to `LARGEST_IN_MEMORY` bytes
    of pixels are kept in memory instead, which a line on stderr says.

    Args:
        paths: N files.
        size: side of the square that images are squashed to, in pixels.
        cache: folder of the cache; None: that of the user.
        workers: threads; None: one per processor (the decoders release the interpreter lock).

    Raises:
        OutputError: the cache cannot be written and the pixels are too many for memory.
    """
    if not paths:
        return Pack(np.zeros((0, size, size), dtype=np.uint8), ())
    shelf = (cache or cache_folder()) / "packs"
    workers = workers or cores()
    state = _look_at(paths, size)
    if found := _find(shelf, paths, size, state, workers):
        return found
    try:
        part = _make_part(shelf, len(paths) * size * size)
    except OSError as error:
        return _pack_in_memory(paths, size, workers, shelf, error)
    try:
        return _build(part, shelf, paths, size, state, workers)
    except OSError as error:
        raise OutputError(_advice(shelf, error)) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True)
class _State:
    """What the file system says of the files, without opening them."""

    digest: str  # "" when a file is missing, so that nothing is concluded from it
    file_bytes: int


def _look_at(paths: Sequence[Path], size: int) -> _State:
    digest, total, complete = hashlib.sha256(repr((_reader(), size)).encode()), 0, True
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            complete = False
            continue
        times = f"\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\n"
        digest.update(os.fsencode(os.path.abspath(path)) + times.encode())
        total += found.st_size
    return _State(digest.hexdigest() if complete else "", total)


def _reader() -> tuple[int | str, ...]:
    # Another decoder may give other pixels, and training must see what prediction sees.
    return (READER_VERSION, version("pillow"), version("pydicom"))


def _find(shelf: Path, paths: Sequence[Path], size: int, state: _State, workers: int) -> Pack | None:
    if name := _remembered(shelf, state):
        return _open(shelf / name, len(paths), size)
    prefix = _name(paths, size, state, "")
    if not any(shelf.glob(f"{prefix}*")):
        return None
    digests: list[str] = []
    with Bar("Comparing with the cache", len(paths)) as bar:
        for block in file_digests(paths, workers):
            digests += block
            bar.advance(len(block))
    name = _name(paths, size, state, _content_key(digests, size))
    if found := _open(shelf / name, len(paths), size):
        _remember(shelf, state, name, digests)
    return found


def _name(paths: Sequence[Path], size: int, state: _State, key: str) -> str:
    # What is known without opening a file comes first: if no pack begins so, nothing needs hashing.
    return f"{size}-{len(paths)}-{state.file_bytes}-{key}"


def _content_key(digests: Sequence[str], size: int) -> str:
    return hashlib.sha256(repr((_reader(), size, *digests)).encode()).hexdigest()[:32]


def _remembered(shelf: Path, state: _State) -> str:
    with suppress(OSError, ValueError):
        return (shelf / "seen" / state.digest).read_text(encoding="utf-8") if state.digest else ""
    return ""


def _remember(shelf: Path, state: _State, name: str, digests: Sequence[str]) -> None:
    if state.digest and all(digests):
        with suppress(OutputError):
            write_atomically(shelf / "seen" / state.digest, name)


def _make_part(shelf: Path, n_bytes: int) -> Path:
    shelf.mkdir(parents=True, exist_ok=True)
    for left in shelf.glob(".part-*"):  # by runs that were killed
        with suppress(OSError):
            if time.time() - max(entry.stat().st_mtime for entry in (left, *left.iterdir())) > ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)
    if (free := shutil.disk_usage(shelf).free) < n_bytes * 1.05:
        raise OSError(0, f"{n_bytes / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")
    return Path(tempfile.mkdtemp(prefix=".part-", dir=shelf))


def _build(part: Path, shelf: Path, paths: Sequence[Path], size: int, state: _State, workers: int) -> Pack:
    records: list[Record] = []
    with open(part / "pixels.npy", "wb") as file, Bar("Decoding", len(paths)) as bar:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        for pixels, block in decode(paths, size, workers):
            file.write(pixels.data)
            records += block
            bar.advance(len(block))
        os.fsync(file.fileno())
    content = _records_to_json(records)
    with open(part / "records.json", "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    digests = [record.sha256 for record in records]
    name = _name(paths, size, state, _content_key(digests, size))
    published = _publish(part, shelf / name, len(paths), size)
    _remember(shelf, state, name, digests)
    return published


def _publish(part: Path, folder: Path, n: int, size: int) -> Pack:
    for _ in range(3):
        with suppress(OSError):
            os.replace(part, folder)
        if found := _open(folder, n, size):
            return found  # ours, or that of another process that was first
        damaged = part.with_name(part.name + "-damaged")
        with suppress(OSError):
            os.replace(folder, damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    raise OSError(0, "what was written cannot be read back")


def _open(folder: Path, n: int, size: int) -> Pack | None:
    try:
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        records = _records_from_json((folder / "records.json").read_bytes())
    except (OSError, EOFError, ValueError, TypeError):
        return None
    whole = pixels.shape == (n, size, size) and pixels.dtype == np.uint8 and len(records) == n
    return Pack(pixels, records) if whole and _probe(pixels, records) else None


def _probe(pixels: NDArray[np.uint8], records: Sequence[Record]) -> bool:
    rows = np.unique(np.linspace(0, len(records) - 1, PROBES).astype(int))
    digests = {row: records[row].pixel_sha256 for row in rows if records[row].pixel_sha256}
    return all(hashlib.sha256(pixels[row].tobytes()).hexdigest() == digest for row, digest in digests.items())


def _records_to_json(records: Sequence[Record]) -> bytes:
    # One list per column: 5,216 records are read back in about 20 ms.
    columns = [[getattr(record, column.name) for record in records] for column in fields(Record)]
    content = json.dumps(columns).encode()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _records_from_json(content: bytes) -> tuple[Record, ...]:
    digest, _, columns = content.partition(b"\n")
    if hashlib.sha256(columns).hexdigest().encode() != digest:
        raise ValueError("damaged records")
    table, notes = json.loads(columns), [column.name for column in fields(Record)].index("notes")
    table[notes] = map(tuple, table[notes])
    return tuple(Record(*row) for row in zip(*table, strict=True))


def _pack_in_memory(paths: Sequence[Path], size: int, workers: int, shelf: Path, error: OSError) -> Pack:
    n_bytes = len(paths) * size * size
    if n_bytes > LARGEST_IN_MEMORY:
        raise OutputError(_advice(shelf, error)) from None
    note(f"Note: {_advice(shelf, error)} Images are kept in memory meanwhile.")
    pixels = np.empty((len(paths), size, size), dtype=np.uint8)
    records: list[Record] = []
    with Bar("Decoding", len(paths)) as bar:
        for block, found in decode(paths, size, workers):
            pixels[len(records) : len(records) + len(found)] = block
            records += found
            bar.advance(len(found))
    pixels.flags.writeable = False
    return Pack(pixels, tuple(records))


def _advice(shelf: Path, error: OSError) -> str:
    return (
        f"{shelf}: the cache of decoded images cannot be written ({error.strerror}). "
        "Make room, or set LUNGSCOPE_CACHE to another folder."
    )
