"""A model of several files: a folder whose `SHA256SUMS` lists the checksum of every one of them.

`sha256sum --check SHA256SUMS` checks it without Lungscope. The model's own digest is that of `SHA256SUMS`, which
changes when any file does.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from lungscope.errors import BundleError

CHECKSUMS, CARD = "SHA256SUMS", "card.json"
GRAPHS = ("model.xml", "model.tflite")
"""The graph's file; one of them is there."""
WEIGHTS = "model.bin"
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_.-]+)")


def has_checksums(folder: Path) -> bool:
    """Whether a folder was written as a model of several files."""
    return (folder / CHECKSUMS).is_file()


def checksums(files: Mapping[str, bytes]) -> bytes:
    """The content of `SHA256SUMS` for files by name."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    return "".join(lines).encode()


def read_folder(folder: Path) -> tuple[Path, dict[str, bytes]]:
    """Where the graph is, and the content of every file of the model by name, `SHA256SUMS` too; all checked.

    Raises:
        BundleError: a file is missing, cut or changed, one was added, or `SHA256SUMS` itself is damaged.
    """
    content = _read(folder / CHECKSUMS)
    files: dict[str, bytes] = {}
    for line in content.decode("utf-8", errors="replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            raise BundleError(f"{folder / CHECKSUMS}: the list of checksums is damaged. Copy or export it again.")
        digest, name = found.groups()
        files[name] = _read(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleError(
                f"{folder / name}: the file was changed or damaged after it was written. Copy or export it again."
            )
    graph = next((name for name in GRAPHS if name in files), None)
    if content != checksums(files) or graph is None or CARD not in files:
        raise BundleError(f"{folder / CHECKSUMS}: the list of checksums names no whole model. Copy or export it again.")
    # A model file that is not listed could be taken for the one that is.
    for name in (*GRAPHS, WEIGHTS, "model.onnx"):
        if name not in files and (folder / name).exists():
            raise BundleError(f"{folder / name}: not part of the model. Remove it, or export again.")
    return folder / graph, {**files, CHECKSUMS: content}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: part of the model cannot be read ({error.strerror}). Copy or export it again."
        ) from None
