"""A model file: one ONNX file with its card and its checksum, or an exported folder of several files."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from lungscope.bundle import checksum
from lungscope.bundle.card import Card, card_json, parse_card
from lungscope.bundle.folder import CARD, CHECKSUMS, WEIGHTS, has_checksums, read_folder


@dataclass(frozen=True)
class Bundle:
    """A model that was read and whose checksum holds."""

    path: Path
    sha256: str
    card: Card
    graph: bytes = field(repr=False)
    """ONNX; of an export what its runtime reads."""
    weights: bytes = field(default=b"", repr=False)
    """Of an OpenVINO export; empty where the graph holds them."""


def load_bundle(source: Path) -> Bundle:
    """Read and check a model: a run folder, an exported folder or a bare `model.onnx`.

    Raises:
        BundleError: no such file, not a Lungscope model, another version, truncated or changed.
    """
    if has_checksums(source):
        path, files = read_folder(source)
        digest = hashlib.sha256(files[CHECKSUMS]).hexdigest()
        return Bundle(path, digest, parse_card(files[CARD], path), files[path.name], files.get(WEIGHTS, b""))
    path = source / "model.onnx" if source.is_dir() else source
    content = checksum.read(path)
    card = checksum.check(content, path)
    return Bundle(path, hashlib.sha256(content).hexdigest(), parse_card(card, path), content)


def read_card(path: Path) -> Card:
    """The card of a model file whose checksum is not compared: for a word about it before it is loaded."""
    return parse_card(checksum.entries(checksum.read(path), path)[checksum.CARD], path)


def bundle_bytes(graph: bytes, card: Card) -> bytes:
    """Append a card and a checksum to an ONNX model."""
    return checksum.append(graph, card_json(card))


def replace_card(bundle: Bundle, card: Card) -> bytes:
    """The same graph, byte for byte, with another card and a new checksum; not for an exported folder."""
    return bundle_bytes(checksum.strip(bundle.graph, bundle.path), card)
