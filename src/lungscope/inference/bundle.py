"""A bundle: one ONNX file that carries its own card and a seal over every byte.

The card is read without ONNX or any runtime: at its top level a protobuf message is a sequence of
(tag, length, bytes), and the card and the seal are appended as entries of `metadata_props`. Nothing is
ever unpickled.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lungscope.errors import BundleError
from lungscope.inference.validation import Curve, Reference, Validation
from lungscope.stats.metrics import Figure
from lungscope.stats.operating import OperatingPoint

FORMAT = 1
_CARD, _SEAL = "lungscope.card", "lungscope.sha256"
_METADATA_FIELD = 14  # ModelProto.metadata_props in onnx.proto


@dataclass(frozen=True)
class Calibration:
    """probabilities = softmax(scale · logits + shift)."""

    method: str = "none"
    scale: float = 1.0
    shift: tuple[float, ...] = ()


@dataclass(frozen=True)
class Parity:
    """How far an engine's probabilities were from PyTorch's when the bundle was written."""

    engine: str
    images: int
    largest_difference: float
    flips: int
    """Images on the other side of the default operating point."""


@dataclass(frozen=True)
class Card:
    """What a door must know of a model, and where the model comes from."""

    classes: tuple[str, ...]
    size: int
    """Side of the input in pixels."""
    operating_points: tuple[OperatingPoint, ...]
    """Empty when no class is a reference; the first is the default."""
    calibration: Calibration
    recipe: str
    """Fully resolved, TOML."""
    recipe_name: str
    versions: dict[str, str]
    data: dict[str, int | str]
    """Counts and fingerprint of the data it was trained on."""
    parity: tuple[Parity, ...] = ()
    validation: Validation | None = None
    """Missing in bundles of versions that did not keep it."""
    format: int = FORMAT

    @property
    def label_pattern(self) -> str:
        """How file names told the labels it was trained on; empty when they did not."""
        return str(tomllib.loads(self.recipe).get("data", {}).get("label_pattern", ""))

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """The named operating point, or the default one.

        Raises:
            BundleError: there is none of that name.
        """
        for point in self.operating_points:
            if name in (None, point.name):
                return point
        known = ", ".join(point.name for point in self.operating_points) or "none"
        raise BundleError(f"The model has no operating point {name!r}. It has: {known}.")


@dataclass(frozen=True)
class Bundle:
    """A model file, checked."""

    path: Path
    sha256: str
    card: Card
    graph: bytes = field(repr=False)


def load_bundle(source: Path) -> Bundle:
    """Read and check a model: a run folder or a bare `model.onnx`.

    Raises:
        BundleError: no such file, not a Lungscope model, another version, truncated or changed.
    """
    path = source / "model.onnx" if source.is_dir() else source
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: no model can be read there ({error.strerror}). Name a run folder or a model.onnx."
        ) from None
    entries = _entries(content, path)
    if _CARD not in entries or _SEAL not in entries:
        raise BundleError(
            f"{path}: an ONNX file, but not one that Lungscope wrote. Train one: lungscope train DATA."
        )
    seal = _entry(_SEAL, entries[_SEAL])
    if not content.endswith(seal) or entries[_SEAL] != hashlib.sha256(content[: -len(seal)]).hexdigest():
        raise BundleError(
            f"{path}: the file was changed or damaged after it was written. Copy or train it again."
        )
    return Bundle(path, hashlib.sha256(content).hexdigest(), _read_card(entries[_CARD], path), content)


def seal_bundle(graph: bytes, card: Card) -> bytes:
    """Append a card and a seal to an ONNX model."""
    text = json.dumps(asdict(card), sort_keys=True, allow_nan=False)
    body = graph + _entry(_CARD, text)
    return body + _entry(_SEAL, hashlib.sha256(body).hexdigest())


def _read_card(text: str, path: Path) -> Card:
    try:
        fields = json.loads(text)
        if fields["format"] != FORMAT:
            raise BundleError(
                f"{path}: bundle format {fields['format']}, and this version reads {FORMAT}. Export the model again."
            )
        fields["operating_points"] = tuple(_point(point) for point in fields["operating_points"])
        fields["calibration"] = Calibration(**_tuples(fields["calibration"]))
        fields["parity"] = tuple(Parity(**record) for record in fields["parity"])
        fields["validation"] = _validation(fields.get("validation"))
        return Card(**_tuples(fields))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path}: the model's card cannot be read ({error}). Export the model again."
        ) from None


def _point(fields: dict[str, Any]) -> OperatingPoint:
    figures = {name: Figure(**fields[name]) for name in ("sensitivity", "specificity")}
    return OperatingPoint(**{**fields, **figures})


def _validation(fields: dict[str, Any] | None) -> Validation | None:
    if fields is None:
        return None
    curve = Curve(**_tuples(fields["curve"])) if fields["curve"] else None
    return Validation(curve, Reference(**_tuples(fields["reference"])))


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _entries(content: bytes, path: Path) -> dict[str, str]:
    try:
        properties = [value for number, value in _fields(content) if number == _METADATA_FIELD]
        pairs = [dict(_fields(value)) for value in properties]
        return {str(pair[1], "utf-8"): str(pair.get(2, b""), "utf-8") for pair in pairs}
    except (IndexError, KeyError, ValueError):
        raise BundleError(f"{path}: not an ONNX file, or cut short. Copy or train it again.") from None


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """The top-level fields of a protobuf message: (number, bytes); numeric fields come empty."""
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = _varint(view, at)
        kind, length = tag & 7, 0
        if kind == 0:
            _, at = _varint(view, at)
        elif kind == 2:
            length, at = _varint(view, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("no protobuf")
        if at + length > len(view):
            raise ValueError("cut short")
        yield tag >> 3, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("no protobuf")


def _entry(key: str, value: str) -> bytes:
    """One `metadata_props` entry in protobuf's encoding."""
    pair = b"".join(
        bytes([number << 3 | 2]) + _length(part.encode()) for number, part in ((1, key), (2, value))
    )
    return bytes([_METADATA_FIELD << 3 | 2]) + _length(pair)


def _length(content: bytes) -> bytes:
    n, out = len(content), bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n]) + content
