"""Writing results: whole or not at all, and never over somebody else's."""

import contextlib
import os
import shutil
from pathlib import Path

from lungscope.errors import OutputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; text is UTF-8.

    Raises:
        OutputError: the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError as error:
        discard(part)
        raise OutputError(cannot_write(path, error)) from None


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
                raise OutputError(
                    f"{path}: not a run folder, so --force does not empty it. Choose another --out."
                )
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
