"""Labelled images without copies: rows of a packed memory map."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lungscope.data.dataset import Dataset


@dataclass(frozen=True)
class LabelledImages:
    """Some rows of a pack with their classes; pixels stay in the memory map until a batch is taken."""

    pixels: NDArray[np.uint8]
    """(M, H, W), the whole pack."""
    classes: NDArray[np.int64]
    """(M,), class index of every row of the pack."""
    rows: NDArray[np.int64]
    """(N,), which of them these are."""
    owners: NDArray[np.object_] | None = None
    """(M,), patient of every row of the pack; None: each image is its own."""
    places: NDArray[np.object_] | None = None
    """(M,), site of every row of the pack; None: not known."""

    @classmethod
    def of(cls, data: Dataset, rows: NDArray[np.int64]) -> "LabelledImages":
        """Rows of a data set."""
        manifest = data.manifest
        places = None if manifest.sites is None else np.array(manifest.sites, dtype=object)
        return cls(data.pixels, manifest.labels, rows, np.array(manifest.patients, dtype=object), places)

    def select(self, positions: NDArray[np.int64]) -> "LabelledImages":
        """Those at some positions in 0..N-1, repeated where a position is."""
        return replace(self, rows=self.rows[positions])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,), class indices."""
        return self.classes[self.rows]

    @property
    def patients(self) -> NDArray[np.object_]:
        """(N,)."""
        return self.rows.astype(str).astype(object) if self.owners is None else self.owners[self.rows]

    @property
    def sites(self) -> NDArray[np.object_] | None:
        """(N,), where each was taken; None where that is not known."""
        return None if self.places is None else self.places[self.rows]

    def batch(self, index: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """(n, H, W), a copy of the images at `index`, positions in 0..N-1."""
        return np.ascontiguousarray(self.pixels[self.rows[index]])
