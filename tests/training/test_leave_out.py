"""Heads trained without a part of the data have seen nothing of it, not even its style."""

import numpy as np

from lungscope.config.recipe import load_recipe
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.leave_out import compute_features

SMALL = ("network.backbone=cnn-4", "image.size=32", "head.augmented_views=3")


def test_views_depend_on_no_other_image() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 32, 32), dtype=np.uint8)
    others = pixels.copy()
    others[10:] //= 4  # the part to be left out
    recipe = load_recipe("default", [*SMALL, "augment.style_transfer=1.0"])
    first, second = (
        compute_features(LabelledImages(each, np.arange(20) % 2, np.arange(20)), 2, recipe, weights="none").views
        for each in (pixels, others)
    )
    assert first.shape[:2] == (3, 20)
    assert np.array_equal(first[:, :10], second[:, :10])
    assert not np.array_equal(first[:, 10:], second[:, 10:])
