import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from lungscope.training.augment.filters import blur, compress, equalise


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Smooth grey pictures with some structure, uint8 (3, 64, 96)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:64, 0:96]
    pictures = [60 + 50 * np.sin(x / (5 + i)) * np.cos(y / 9) + 0.5 * x for i in range(3)]
    return torch.from_numpy((np.stack(pictures) + rng.normal(0, 3, (3, 64, 96))).clip(0, 255).astype(np.uint8))


def test_equalisation_of_the_whole_image_is_close_to_pillows(images) -> None:
    found = equalise(images.float(), 1, 0.0)
    wanted = np.stack([np.asarray(ImageOps.equalize(Image.fromarray(i))) for i in images.numpy()])
    # Pillow maps a value to the middle of its step of the distribution, OpenCV and we to the end.
    assert np.abs(found.numpy() - wanted).mean() < 2.5
    assert float(found.min()) == 0
    assert float(found.max()) == pytest.approx(255)


def test_equalisation_keeps_the_order_of_grey_values(images) -> None:
    found, order = equalise(images.float(), 1, 0.0)[0].flatten(), images[0].flatten().argsort()
    assert bool((found[order].diff() >= -1e-3).all())


def test_every_image_is_equalised_by_its_own_histogram(images) -> None:
    together = equalise(images.float(), 4, 3.0)
    alone = torch.cat([equalise(image[None].float(), 4, 3.0) for image in images])
    assert torch.allclose(together, alone, atol=1e-3)


def test_clipping_limits_how_much_contrast_is_gained(images) -> None:
    flat = (images.float() * 0.1 + 100).round()
    spreads = [float(equalise(flat, 1, clip).std()) for clip in (1.0, 3.0, 0.0)]
    assert spreads == sorted(spreads)
    # With a limit of the mean itself, the histogram is flat and the mapping is the identity.
    assert torch.allclose(equalise(flat, 1, 1.001), flat, atol=20)


def test_blur_is_scipys_gaussian(images) -> None:
    found = blur(images.float(), torch.tensor([0.0, 1.0, 2.0]))
    assert torch.equal(found[0].round(), images[0].float())
    for i, deviation in ((1, 1.0), (2, 2.0)):
        wanted = gaussian_filter(images[i].numpy().astype(float), deviation, mode="mirror", truncate=6 / deviation)
        assert np.abs(found[i].numpy() - wanted).max() < 0.3


@pytest.mark.parametrize("quality", [90, 40, 15])
def test_compression_is_that_of_libjpeg(images, quality: int) -> None:
    found = compress(images.float(), torch.full((3,), float(quality))).numpy().round().clip(0, 255)
    for image, ours in zip(images.numpy(), found, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(file)).astype(float)
        assert np.abs(ours - theirs).mean() < 0.5
        assert np.abs(ours - theirs).max() <= 12


def test_sides_that_are_no_multiple_of_eight_are_kept(images) -> None:
    odd = images[:, :61, :91].float()
    assert compress(odd, torch.full((3,), 50.0)).shape == odd.shape
