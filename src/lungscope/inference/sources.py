"""The files that inputs on a command line or in Python stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lungscope.data.images.radiograph import find_images
from lungscope.errors import ManifestError


@dataclass(frozen=True)
class Source:
    """One file to read and the folder it was found in, so that its place below is kept in outputs."""

    path: Path
    root: Path


def find_sources(inputs: Sequence[Path]) -> list[Source]:
    """Files as named, and every image below the folders named, in a stable order.

    Raises:
        ManifestError: a folder holds no image, or an input does not exist.
    """
    sources: list[Source] = []
    for given in inputs:
        if given.is_dir():
            found = find_images(given)
            if not found:
                raise ManifestError(f"{given}: no image in this folder. Name one with PNG, JPEG, TIFF or DICOM files.")
            sources += (Source(path, given) for path in found)
        elif given.exists():
            sources.append(Source(given, given.parent))
        else:
            raise ManifestError(f"{given}: there is no such file or folder. Check the path.")
    return sources
