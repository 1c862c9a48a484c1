"""Files → radiographs. The only reader of pixels: what a picture is, its content decides, never its name."""

import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.images.dicom import is_dicom, read_dicom
from lungscope.data.images.grey import GreyPicture
from lungscope.data.images.raster import raster_kind, read_raster
from lungscope.errors import DataError, UnreadableImage, UnsupportedImage

if TYPE_CHECKING:
    from lungscope.system.disk_set import Entry

    Listed = os.DirEntry[str] | Entry

MAX_FILE_BYTES = 512 * 2**20
IMAGE_SUFFIXES = frozenset({".bmp", ".dcm", ".dicom", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
MANY = 8192
"""Entries of one folder from which they are sorted on disk."""
HEAD_BYTES = 132
"""A DICOM file says so after 128 bytes."""
FOREIGN = {
    b"GIF8": "GIF",
    b"RIFF": "WebP or other RIFF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
    b"\x93NUMPY": "NumPy",
}
REMEDY = "Save the picture as DICOM, PNG, JPEG or TIFF."


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One picture in 8-bit grey with what is known about its file."""

    pixels: NDArray[np.uint8] = field(repr=False)
    """(H, W), read-only; air dark, bone bright."""
    width: int
    height: int
    """As stored, before any reduction, after EXIF orientation."""
    bits: int
    """Stored bits per sample."""
    format: str
    """"JPEG", "PNG", "TIFF", "BMP" or "DICOM"."""
    file_bytes: int
    sha256: str
    """Of the file's bytes, hexadecimal."""
    notes: tuple[str, ...] = ()
    """What was done to the picture, such as "colour to grey" or "MONOCHROME1 inverted"."""
    patient: str = field(default="", repr=False)
    """DICOM Patient ID; never shown."""
    foreign: str = ""
    """Why it cannot be a frontal radiograph by what its file says, such as another modality; empty when it can."""


def read_radiograph(source: Path | bytes, *, size: int | None = None) -> Radiograph:
    """Read a JPEG, PNG, TIFF, BMP or single-frame DICOM object as 8-bit grey.

    The result depends on the content and `size` only. Safe to call from many threads at once.

    Args:
        source: a file or its whole content.
        size: side of the square that the picture is squashed to, antialiased; None keeps all pixels.

    Raises:
        UnreadableImage: missing, empty, damaged, no image, or beyond `MAX_FILE_BYTES` or `MAX_PIXELS`.
        UnsupportedImage: intact but not a picture that is read here: another format, several frames, no pixels.
    """
    name = "the image" if isinstance(source, bytes) else _shown(source)
    data = source if isinstance(source, bytes) else _read_file(source, name)
    kind = _kind(data, name)
    picture = read_dicom(data, name) if kind == "DICOM" else read_raster(data, kind, name, size)
    return Radiograph(
        pixels=_pixels(picture, size),
        width=picture.width,
        height=picture.height,
        bits=picture.bits,
        format=kind,
        file_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        notes=picture.notes,
        patient=picture.patient,
        foreign=picture.foreign,
    )


def _shown(path: Path | str) -> str:
    # A name may hold line breaks or bytes that are no text; a message is one printable line.
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _read_file(path: Path, name: str) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()  # raises the reason, when it cannot be listed
            raise UnreadableImage(f"{name}: this is a folder. Name an image in it.")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise UnreadableImage(f"{name}: not a regular file. Copy the image to one.")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableImage(_too_large(name, status.st_size))
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise UnreadableImage(f"{name}: cannot be read ({reason}). Check the path and your rights to it.") from None


def _too_large(name: str, n_bytes: int) -> str:
    return (
        f"{name}: {n_bytes / 2**20:.0f} MiB exceed the limit of {MAX_FILE_BYTES // 2**20} MiB (MAX_FILE_BYTES). "
        "Export a single picture."
    )


def _kind(data: bytes, name: str) -> str:
    if not data:
        raise UnreadableImage(f"{name}: the file is empty. Copy or export it again.")
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableImage(_too_large(name, len(data)))
    head = data[:HEAD_BYTES]
    if is_dicom(head):
        return "DICOM"
    if kind := raster_kind(head):
        return kind
    for magic, foreign in FOREIGN.items():
        if head.startswith(magic):
            raise UnsupportedImage(f"{name}: {foreign} is not read here. {REMEDY}")
    # The content is not quoted: a text file may name a patient.
    what = "text" if all(byte >= 32 or byte in b"\t\n\r" for byte in head) else "no known kind of image"
    raise UnreadableImage(f"{name}: the content is {what}, whatever the name says. {REMEDY}")


def _pixels(picture: GreyPicture, size: int | None) -> NDArray[np.uint8]:
    image = picture.image
    if size is not None:
        # A gap of 3 saves a third of the time on large pictures, at 0.15 grey levels on average.
        image = image.resize((size, size), Image.Resampling.BILINEAR, picture.box, reducing_gap=3.0)
    if picture.turn is not None:
        image = image.transpose(picture.turn)
    return np.asarray(image)


def find_images(folder: Path) -> list[Path]:
    """All that `iter_images` finds."""
    return list(iter_images(folder))


def iter_images(folder: Path) -> Iterator[Path]:
    """Image files in a folder and all below it, in the order of their paths, in bounded memory.

    A file counts by its suffix, or by content where it has none, as DICOM archives have it. Hidden files
    and DICOMDIR are skipped. Links are followed, each folder once. A sub-folder that cannot be listed is
    yielded in place of its content, so that whoever reads it learns of the failure.

    Raises:
        DataError: the folder itself cannot be listed.
    """
    name = _shown(folder)
    try:
        status = os.stat(folder)
        entries = _entries(os.fspath(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise DataError(f"{name}: cannot be listed ({reason}). Name a folder that you may read.") from None
    yield from map(Path, _walk(entries, {(status.st_dev, status.st_ino)}))


def _entries(folder: str) -> Iterator["Listed"]:
    with os.scandir(folder) as found:
        visible = (entry for entry in found if not entry.name.startswith("."))
        first = list(itertools.islice(visible, MANY))
        if len(first) < MANY:
            return iter(sorted(first, key=lambda entry: os.fsencode(entry.name)))
        from lungscope.system.disk_set import sort_entries

        entries = sort_entries(itertools.chain(first, visible), folder)
        return itertools.chain([next(entries)], entries)  # all is read while the folder is open


def _walk(entries: Iterator["Listed"], visited: set[tuple[int, int]]) -> Iterator[str]:
    open_folders = [entries]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
            continue
        try:
            if not _holds(entry.is_dir):
                if _is_image(entry):
                    yield entry.path
            elif (place := (entry.stat().st_dev, entry.stat().st_ino)) not in visited:
                open_folders.append(_entries(entry.path))
                visited.add(place)
        except OSError:
            yield entry.path


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # a link to itself
        return False


def _is_image(entry: "Listed") -> bool:
    def head() -> bytes:
        if not _holds(entry.is_file):
            return b""
        with open(entry.path, "rb", buffering=0) as file:
            return file.read(HEAD_BYTES)

    return looks_like_image(entry.name, head)


def looks_like_image(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is one to read: by its suffix, or by its first bytes where the suffix says nothing.

    Args:
        name: of the file, without its folder.
        head: gives its first `HEAD_BYTES`; called only where they are needed.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    # Archives name DICOM files by UID, whose last number looks like a suffix.
    if (suffix and not suffix[1:].isdigit()) or name.upper() == "DICOMDIR":
        return False
    return is_dicom(head())
