"""The body of a request → files, in memory and within limits. Nothing is written to a temporary file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from functools import partial

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from lungscope.serve.problems import MALFORMED, TOO_LARGE, TOO_MANY_FILES, UNSUPPORTED_MEDIA, Problem
from lungscope.serve.settings import Limits

RAW_TYPES = frozenset(
    {
        "image/jpeg", "image/png", "image/tiff", "image/bmp", "image/x-ms-bmp",
        "application/dicom", "application/octet-stream",
    }
)  # fmt: skip
LONGEST_HEADER = 16_384
LONGEST_NAME = 200
OTHER_PARTS = 16
"""Form fields without a file that a request may carry beside its files; they are ignored."""


@dataclass(frozen=True)
class Upload:
    """One file as it came."""

    name: str | None = field(repr=False)
    """Its base name, printable; a name may name the patient."""
    content: bytes = field(repr=False)


async def read_uploads(body: AsyncIterator[bytes], content_type: str, disposition: str, limits: Limits) -> list[Upload]:
    """Read all files of a request.

    Args:
        body: as it is received.
        content_type: header of that name; multipart/form-data or one of `RAW_TYPES`.
        disposition: Content-Disposition header, which may name a raw file.
        limits: for bytes and files.

    Raises:
        Problem: another type, beyond a limit, no file, or cut short.
    """
    kind, boundary = _content_type(content_type)
    if kind == "multipart/form-data" and boundary:
        form = _Form(boundary, limits.files)
        async for chunk in _limited(body, limits.request_bytes):
            form.feed(chunk)
        return form.uploads()
    if kind not in RAW_TYPES:
        known = ", ".join(sorted(RAW_TYPES))
        raise Problem(UNSUPPORTED_MEDIA, f"Send multipart/form-data with files, or one file as {known}.")
    content = bytearray()
    async for chunk in _limited(body, limits.request_bytes):
        content += chunk
    named = _file_name(disposition)
    return [Upload(clean_name(named) if named else None, bytes(content))]


def clean_name(name: str) -> str | None:
    """The base name of a file, printable and of bounded length; None when nothing of it remains."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in base if letter.isprintable()).strip()[:LONGEST_NAME] or None


async def _limited(body: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    received = 0
    async for chunk in body:
        received += len(chunk)
        if received > most:
            raise Problem(TOO_LARGE, f"A request may have {most:,} bytes. Send fewer or smaller files.")
        yield chunk


def _content_type(header: str) -> tuple[str, bytes]:
    message = Message()
    message["Content-Type"] = header
    try:
        return message.get_content_type(), (message.get_boundary() or "").encode("latin-1")
    except (LookupError, ValueError):  # parameters in an encoding that does not exist, or is not kept to
        raise Problem(UNSUPPORTED_MEDIA, "The Content-Type cannot be read. Send it as RFC 7578 has it.") from None


def _file_name(disposition: str) -> str | None:
    """The file name of a Content-Disposition, "" when it cannot be read; None when it has none."""
    message = Message()
    message["Content-Disposition"] = disposition
    try:
        name = message.get_filename()
    except (LookupError, ValueError):
        return ""
    try:
        # Browsers send UTF-8 as it is; headers were taken for Latin-1, which keeps the bytes.
        return name and name.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # it came percent-encoded (RFC 5987) and is text already
        return name


class _Form:
    """Collects the files of a multipart body."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most, self._parts, self._ended = most, 0, False
        self._name, self._value = bytearray(), bytearray()
        self._disposition = ""
        self._file: tuple[str | None, bytearray] | None = None
        self._files: list[tuple[str | None, bytearray]] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": partial(self._header, self._name),
                    "on_header_value": partial(self._header, self._value),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except (FormParserError, ValueError):
            raise Problem(MALFORMED, "The boundary of the upload is not valid. Send it again.") from None

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Problem(MALFORMED, "The multipart body is not well formed. Send it again.") from None

    def uploads(self) -> list[Upload]:
        if not self._ended:
            raise Problem(MALFORMED, "The upload ended before its last boundary. Send it again.")
        if not self._files:
            raise Problem(MALFORMED, "The upload holds no file. Send each image as a part with a filename.")
        return [Upload(name, bytes(content)) for name, content in self._files]

    def _begin_part(self) -> None:
        self._parts += 1
        self._disposition, self._file = "", None
        if self._parts > self._most + OTHER_PARTS:
            raise self._too_many()

    def _header(self, part: bytearray, data: bytes, start: int, end: int) -> None:
        part += data[start:end]
        if len(self._name) + len(self._value) > LONGEST_HEADER:
            raise Problem(MALFORMED, "A part of the upload has a header beyond all measure. Send it again.")

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def _begin_data(self) -> None:
        name = _file_name(self._disposition)
        if name is None:
            return
        if len(self._files) == self._most:
            raise self._too_many()
        self._file = (clean_name(name), bytearray())
        self._files.append(self._file)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file[1].extend(memoryview(data)[start:end])

    def _end(self) -> None:
        self._ended = True

    def _too_many(self) -> Problem:
        return Problem(TOO_MANY_FILES, f"A request may hold {self._most} files. Send the rest in another.")
