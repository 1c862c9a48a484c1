"""A data set for loops of one's own in PyTorch."""

import torch
from torch.utils import data

from lungscope.training.labelled_images import LabelledImages


class TorchDataset(data.Dataset[tuple[torch.Tensor, int]]):
    """Pairs of an image, uint8 (1, S, S), as prediction sees it, and its class index."""

    def __init__(self, images: LabelledImages) -> None:
        """Of images that stay in their memory map until they are asked for."""
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)  # ends a for loop
        row = self.images.rows[index]
        return torch.from_numpy(self.images.pixels[row][None].copy()), int(self.images.classes[row])
