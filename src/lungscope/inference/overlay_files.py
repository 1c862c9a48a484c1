"""Heat maps over radiographs, a picture for each file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.data.images.radiograph import read_radiograph
from lungscope.errors import DataError
from lungscope.inference.overlay import overlay
from lungscope.inference.result import ImageResult
from lungscope.inference.sources import Source
from lungscope.system.files import write_atomically


def write_overlays(results: Iterable[ImageResult], sources: Sequence[Source], folder: Path) -> Iterator[ImageResult]:
    """Draw the abnormality heat map over each radiograph that is assessed; pass results on.

    A picture is named after its file and the folders above it, so that no two of them meet.
    """
    for result, source in zip(results, sources, strict=True):
        if (heat := result.abnormality_heatmap) is not None and not result.not_assessed:
            below = source.path.relative_to(source.root)
            result = _draw(result, source.path, heat, folder / below.with_name(below.name + ".png"))
        yield result


def _draw(result: ImageResult, image: Path, heat: NDArray[np.float32], path: Path) -> ImageResult:
    try:
        radiograph = read_radiograph(image)
    except DataError as error:  # it vanished or changed since it was read; its probabilities stand
        return replace(result, notes=(*result.notes, f"no heat map: {error}"))
    picture = BytesIO()
    Image.fromarray(overlay(radiograph.pixels, heat)).save(picture, "PNG")
    write_atomically(path, picture.getvalue())
    return result
