"""Writing results: whole or not at all, and never over somebody else's."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lungscope.errors import OutputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; text is UTF-8.

    Raises:
        OutputError: the place cannot be written.
    """
    with open_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def open_atomically(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file to write; it takes its name, over a former one, when all is written, and is gone after a failure.

    Args:
        path: of the file; folders above it are made.
        durable: whether it survives a loss of power from then on, which takes a while.

    Raises:
        OutputError: the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from None
    finally:
        discard(part)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_free(path: Path, *, force: bool) -> None:
    """Refuse, before any work, to replace a file or folder that was not offered.

    Raises:
        OutputError: it exists and `force` is off.
    """
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already. Choose another --out, or pass --force to replace it.")


def discard(part: Path) -> None:
    """Remove a half-written file, if there is one."""
    with contextlib.suppress(OSError):
        part.unlink()


def claim_folder(path: Path, *, marker: str = "recipe.toml", force: bool = False) -> None:
    """Make `path` an empty folder that may be written into; `force` removes what a former run left there.

    A folder without `marker`, a file that every run leaves, is not a run's and is never emptied.

    Raises:
        OutputError: there is something already, or the folder cannot be made.
    """
    try:
        if path.is_dir() and any(path.iterdir()):
            if not force:
                raise OutputError(
                    f"{path}: the folder is not empty. Choose another --out, or pass --force to replace it."
                )
            if not (path / marker).exists():
                raise OutputError(f"{path}: not a run folder, so --force does not empty it. Choose another --out.")
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".lungscope"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from None


def cannot_write(path: Path, error: OSError) -> str:
    """The line that tells a user why nothing was written."""
    return f"{path}: cannot be written ({error.strerror}). Choose a place with room and the right to write."
