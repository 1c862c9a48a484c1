"""Where an export is written: whole or not at all, and never over anything but an export."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from lungscope.bundle.bundle import bundle_bytes, load_bundle
from lungscope.bundle.card import Card, card_json
from lungscope.bundle.export_record import Format
from lungscope.bundle.folder import CARD, CHECKSUMS, WEIGHTS, checksums, has_checksums
from lungscope.errors import BundleError, OutputError
from lungscope.export.artefact import Artefact
from lungscope.system.files import cannot_write, check_free

GRAPH = {"openvino": "model.xml", "litert": "model.tflite"}


def check_place(out: Path, kind: Format, *, force: bool) -> None:
    """Refuse, before any work, a place that must not be written.

    Raises:
        OutputError: an ONNX export is not named .onnx, or something stands there that `force` does not replace.
    """
    if kind == "onnx" and out.suffix != ".onnx":
        raise OutputError(f"--out {out}: an ONNX export is one file. Name it FILE.onnx.")
    check_free(out, force=force)
    if out.exists() and not _is_export(out):
        raise OutputError(f"{out}: not an export, so --force does not replace it. Choose another --out.")


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A path beside `out` to write an export at; it replaces `out` when all went well and vanishes otherwise.

    Raises:
        OutputError: the place cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputError(cannot_write(out, error)) from None
    try:
        part = folder / out.name
        yield part
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(part, out)
    except OSError as error:
        raise OutputError(cannot_write(out, error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(artefact: Artefact, card: Card, path: Path) -> None:
    """Write an export at `path` with its checksums: one file for ONNX, a folder for the others."""
    if card.export is None or card.export.format == "onnx":
        path.write_bytes(bundle_bytes(artefact.graph, card))
        return
    if card.export.format == "openvino":
        from lungscope.export.openvino import with_card

        artefact = with_card(artefact, card)
    files = {GRAPH[card.export.format]: artefact.graph, CARD: card_json(card).encode()}
    if artefact.weights:
        files[WEIGHTS] = artefact.weights
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    (path / CHECKSUMS).write_bytes(checksums(files))


def _is_export(out: Path) -> bool:
    if out.is_dir():
        return has_checksums(out)
    try:
        return load_bundle(out).card.export is not None
    except BundleError:
        return False
