"""Protobuf's wire format, as much of it as a model file needs: walking one level, and writing fields of bytes."""

from collections.abc import Iterator


def message_fields(message: bytes | bytearray | memoryview) -> Iterator[tuple[int, memoryview]]:
    """The top-level fields of a protobuf message: (number, bytes), views into it.

    Raises:
        ValueError: not a protobuf message, or cut short.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == 0:
            length = _varint(view, at)[1] - at
        elif kind == 2:
            length, at = _varint(view, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
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


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message, encoded; `number` is below 16."""
    n, length = len(content), bytearray()
    while n > 127:
        length.append(n & 127 | 128)
        n >>= 7
    return bytes([number << 3 | 2, *length, n]) + content
