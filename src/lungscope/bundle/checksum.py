"""The bytes of a model file: an ONNX graph, then its card, then a SHA-256 over all that comes before.

Both are read without ONNX or any runtime: at its top level a protobuf message is a sequence of (tag, length, bytes),
and they are appended as entries of `metadata_props`. Nothing is ever unpickled. The checksum finds damage and
accidental changes; it is no signature, since whoever changes the file on purpose can compute it anew.
"""

import hashlib
from pathlib import Path

from lungscope.bundle.protobuf import bytes_field, message_fields
from lungscope.errors import BundleError

CARD, CHECKSUM = "lungscope.card", "lungscope.sha256"
_METADATA_FIELD = 14  # ModelProto.metadata_props in onnx.proto


def read(path: Path) -> bytes:
    """The content of a model file; `BundleError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: no model can be read there ({error.strerror}). Name a run folder or a model.onnx."
        ) from None


def append(graph: bytes, card: str) -> bytes:
    """A graph with its card and the checksum of both."""
    body = graph + _entry(CARD, card)
    return body + _entry(CHECKSUM, hashlib.sha256(body).hexdigest())


def strip(content: bytes, path: Path) -> bytes:
    """The graph alone, byte for byte; `BundleError` where it is no model file."""
    found = entries(content, path)
    for key in (CHECKSUM, CARD):
        content = content.removesuffix(_entry(key, found[key]))
    return content


def check(content: bytes, path: Path) -> str:
    """The card in a model file whose checksum holds.

    Raises:
        BundleError: not a model file, or one that was changed after it was written.
    """
    found = entries(content, path)
    last = _entry(CHECKSUM, found[CHECKSUM])
    if not content.endswith(last) or found[CHECKSUM] != hashlib.sha256(content[: -len(last)]).hexdigest():
        raise BundleError(f"{path}: the file was changed or damaged after it was written. Copy or train it again.")
    return found[CARD]


def entries(content: bytes, path: Path) -> dict[str, str]:
    """What was appended to a graph, `CARD` and `CHECKSUM` among it.

    Raises:
        BundleError: not an ONNX file, or one without them.
    """
    try:
        properties = [value for number, value in message_fields(content) if number == _METADATA_FIELD]
        pairs = [dict(message_fields(value)) for value in properties]
        found = {str(pair[1], "utf-8"): str(pair.get(2, b""), "utf-8") for pair in pairs}
    except (IndexError, KeyError, ValueError):
        raise BundleError(f"{path}: not an ONNX file, or cut short. Copy or train it again.") from None
    if CARD not in found or CHECKSUM not in found:
        raise BundleError(f"{path}: an ONNX file, but not one that Lungscope wrote. Train one: lungscope train DATA.")
    return found


def _entry(key: str, value: str) -> bytes:
    """One `metadata_props` entry in protobuf's encoding."""
    return bytes_field(_METADATA_FIELD, bytes_field(1, key.encode()) + bytes_field(2, value.encode()))
