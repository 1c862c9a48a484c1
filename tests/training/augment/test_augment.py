import pytest
import torch

from lungscope.config.settings import AugmentSettings
from lungscope.training.augment.augment import augment

STILL = AugmentSettings(rotation_deg=0.0, zoom=0.0, shift=0.0, flip=0.0, brightness=0.0, contrast=0.0, gamma=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_only(**settings: float) -> AugmentSettings:
    return STILL.model_copy(update=settings)


def picture() -> torch.Tensor:
    image = torch.zeros(1, 40, 60, dtype=torch.uint8)
    image[:, 5:15, 40:55] = 200
    return image


def test_nothing_turned_on_changes_nothing() -> None:
    images = torch.randint(0, 256, (8, 33, 47), dtype=torch.uint8, generator=generator())
    assert torch.equal(augment(images, STILL, generator()), images)


def test_the_seed_decides_everything() -> None:
    images = picture().repeat(6, 1, 1)
    first, again, other = (augment(images, AugmentSettings(), generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(image.flatten().tolist()) for image in first}) == 6


def test_a_certain_flip_is_an_exact_mirror() -> None:
    assert torch.equal(augment(picture(), with_only(flip=1.0), generator()), picture().flip(2))


def test_a_shift_stays_within_its_reach() -> None:
    images = torch.zeros(200, 41, 41, dtype=torch.uint8)
    images[:, 20, 20] = 255
    moved = augment(images, with_only(shift=0.1), generator()).float()
    total = moved.sum((1, 2))
    grid = torch.arange(41.0)
    x = (moved.sum(1) * grid).sum(1) / total
    y = (moved.sum(2) * grid).sum(1) / total
    for centre in (x, y):
        assert (centre - 20).abs().max() <= 0.1 * 41 + 0.05
        assert (centre - 20).abs().max() > 0.08 * 41
        assert (centre - 20).mean().abs() < 0.5


def test_rotation_keeps_the_centre_and_stays_within_its_reach() -> None:
    images = torch.zeros(100, 81, 81, dtype=torch.uint8)
    images[:, 40, 40:78] = 255
    turned = augment(images, with_only(rotation_deg=10.0), generator()).float()
    grid = torch.arange(81.0) - 40
    x, y = (turned.sum(1) * grid).sum(1), (turned.sum(2) * grid).sum(1)
    angle = torch.rad2deg(torch.atan2(y, x))
    assert 8 < angle.abs().max() <= 10.2
    assert (angle > 0).any()
    assert (angle < 0).any()


def test_a_crop_shows_a_rectangle_of_the_image_and_nothing_beyond() -> None:
    flat = augment(torch.full((50, 40, 60), 130, dtype=torch.uint8), with_only(crop=0.9), generator())
    assert (flat[:, 1:-1, 1:-1] == 130).all()
    # Enlarged, the outermost row may lie beyond the centres of the image's last pixels, by half a pixel at most.
    assert flat.min() > 130 / 2
    ramps = torch.stack(
        [torch.arange(0, 240, 2).repeat(120, 1), torch.arange(0, 240, 2).view(-1, 1).repeat(1, 120)]
    ).to(torch.uint8)
    shown = augment(ramps.repeat(300, 1, 1), with_only(crop=0.9), generator()).float()
    # Every image has a crop of its own, so the sides are those of the ramp across and of the ramp down apart.
    wide = (shown[0::2, 60, 110] - shown[0::2, 60, 9]) / 202
    high = (shown[1::2, 110, 60] - shown[1::2, 9, 60]) / 202
    for side in (wide, high):
        assert side.min() == pytest.approx((0.1 * 3 / 4) ** 0.5, abs=0.06)
        assert side.max() > 0.97
    middle = (shown[0::2, 60, 9] + shown[0::2, 60, 110]) / 2 / 238
    assert (middle - 0.5).mean().abs() < 0.03
    assert middle.min() < 0.25
    assert middle.max() > 0.75


def test_brightness_and_contrast_scale_by_at_most_their_reach() -> None:
    images = torch.full((300, 8, 8), 100, dtype=torch.uint8)
    means = augment(images, with_only(brightness=0.2), generator()).float().mean((1, 2))
    assert means.min() >= 80
    assert means.max() <= 120
    assert means.max() - means.min() > 30
    assert torch.equal(augment(images, with_only(contrast=0.5), generator()), images)


def test_gamma_keeps_black_and_white() -> None:
    images = torch.tensor([[[0, 128, 255]]], dtype=torch.uint8).repeat(50, 3, 1)
    exposed = augment(images, with_only(gamma=0.5), generator())
    assert (exposed[:, :, 0] == 0).all()
    assert (exposed[:, :, 2] == 255).all()
    assert exposed[:, 0, 1].float().std() > 5


def test_a_part_of_the_images_is_shown_as_it_is() -> None:
    images = torch.randint(0, 256, (400, 16, 16), dtype=torch.uint8, generator=generator(3))
    settings = AugmentSettings(
        rotation_deg=20.0, p_identity=0.25, equalise=0.5, blur=1.0, noise=0.1, jpeg=0.9, cutout=0.5
    )
    same = (augment(images, settings, generator(0)) == images).flatten(1).all(1)
    assert 70 < int(same.sum()) < 130


def test_leaving_images_alone_is_no_change() -> None:
    assert with_only(p_identity=0.5).off
