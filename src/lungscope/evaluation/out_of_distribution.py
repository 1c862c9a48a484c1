"""Pictures that are no radiograph of the kind a model was trained on, to see whether its input check rejects them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.data.images.radiograph import Radiograph, find_images, read_radiograph
from lungscope.errors import DataError, ManifestError

PICTURES = (("skimage", "data"), ("sklearn", "datasets/images"), ("matplotlib", "mpl-data/sample_data"))
"""Packages that bring pictures, and where."""
SLICES = ("CT", "MR")
MADE = 60
"""Pictures of noise."""


@dataclass(frozen=True)
class OutOfDistributionImages:
    """Pictures of one kind."""

    kind: str
    radiographs: tuple[Radiograph, ...]
    patients: tuple[str, ...] = ()
    """Whose they are, where that is known."""


def other_pictures(size: int) -> tuple[OutOfDistributionImages, tuple[str, ...]]:
    """Photographs, drawings and textures that installed packages bring, and notes on what is missing.

    Args:
        size: side of the decoded pictures.
    """
    found: list[Radiograph] = []
    for package, folder in PICTURES:
        if home := _home(package):
            found += _readable(sorted((home / folder).iterdir()), size)
    notes = (
        ()
        if _home("skimage")
        else ("Most pictures come with scikit-image, which is not installed: pip install scikit-image.",)
    )
    return OutOfDistributionImages("photographs and other pictures", tuple(found)), notes


def slices(size: int) -> OutOfDistributionImages:
    """CT and MR slices that pydicom brings; each picture once, however many files encode it."""
    home = _home("pydicom")
    paths = sorted(home.glob("data/test_files/*.dcm")) if home else []
    found = [each for each in _readable(paths, size) if each.foreign.endswith(SLICES)]
    distinct = {each.pixels.tobytes(): each for each in reversed(found)}
    return OutOfDistributionImages("CT and MR slices", tuple(reversed(distinct.values())))


def noise(size: int, seed: int = 0) -> OutOfDistributionImages:
    """Noise of many strengths and brightnesses, white and with the spectrum of natural images by turns."""
    rng = np.random.default_rng(seed)
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    falling = 1 / np.maximum(waves, 1 / size)
    made = []
    for i in range(MADE):
        field = rng.normal(size=(size, size))
        if i % 2:
            field = np.fft.ifft2(np.fft.fft2(field) * falling).real
        field = (field - field.mean()) / field.std()
        made.append(np.clip(rng.uniform(40, 215) + rng.uniform(10, 70) * field, 0, 255))
    return OutOfDistributionImages("noise", tuple(as_radiograph(np.rint(each).astype(np.uint8)) for each in made))


def blank(size: int) -> OutOfDistributionImages:
    """One grey level throughout, from black to white."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    return OutOfDistributionImages("blank", tuple(as_radiograph(np.full((size, size), level)) for level in levels))


def misplaced(pixels: NDArray[np.uint8], patients: Sequence[str]) -> Iterator[OutOfDistributionImages]:
    """Radiographs (N, S, S) upside down, on their side and inverted."""
    ways: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "radiographs upside down": lambda each: each[::-1, ::-1],
        "radiographs turned to the left": lambda each: np.rot90(each),
        "radiographs turned to the right": lambda each: np.rot90(each, -1),
        "radiographs inverted": lambda each: 255 - each,
    }
    for kind, change in ways.items():
        yield OutOfDistributionImages(kind, tuple(as_radiograph(change(each)) for each in pixels), tuple(patients))


def out_of_distribution(folder: Path, size: int) -> OutOfDistributionImages:
    """Every readable image below a folder, such as the radiographs of another hospital.

    Raises:
        ManifestError: none can be read.
    """
    found = tuple(_readable(find_images(folder), size))
    if not found:
        raise ManifestError(f"--ood {folder}: no image there can be read. Name a folder of other images.")
    return OutOfDistributionImages(f"other data: {folder.name}", found)


def as_radiograph(pixels: NDArray[np.uint8]) -> Radiograph:
    """Pixels (H, W) as they are read from a file of which nothing else is known."""
    kept = np.ascontiguousarray(pixels)
    return Radiograph(kept, kept.shape[1], kept.shape[0], 8, "PNG", kept.size, "")


def _readable(paths: Sequence[Path], size: int) -> Iterator[Radiograph]:
    for path in paths:
        try:
            yield read_radiograph(path, size=size)
        except DataError:  # these folders also hold tables, and files that are damaged on purpose
            continue


def _home(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None
