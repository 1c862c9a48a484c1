"""A picture in another's style: its exposure and contrast are the other's, its content stays."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from skimage.exposure import match_histograms

from lungscope.config.settings import AugmentSettings
from lungscope.data.phantoms.phantom import draw_phantom
from lungscope.training.augment.style_transfer import (
    Styles,
    _bands,
    _enlarged,
    _matched,
    draw_styles,
    in_styles,
    restyle,
)
from lungscope.training.features import view_features
from lungscope.training.labelled_images import LabelledImages


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def phantom(hospital: str, size: int = 96) -> torch.Tensor:
    """The same patient, (1, H, W), as one of the hospitals photographs it."""
    found = draw_phantom(np.random.default_rng(0), abnormal=False, size=size, hospital=hospital, patient=3)
    return torch.from_numpy(found.pixels.copy()).unsqueeze(0)


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    first, second = phantom("birch"), phantom("cedar")
    height, width = (min(a, b) for a, b in zip(first.shape[1:], second.shape[1:], strict=True))
    return first[:, :height, :width], second[:, :height, :width]


def test_its_own_style_leaves_every_pixel(pictures) -> None:
    assert (restyle(pictures[0], pictures[0]).int() - pictures[0].int()).abs().max() <= 1


def test_bands_add_up_to_the_picture_at_any_size() -> None:
    images = 255 * torch.rand(3, 45, 38, generator=generator())
    *bands, rest = _bands(images)
    for band in reversed(bands):
        rest = band + _enlarged(rest, band)
    assert_allclose(rest, images, atol=1e-3)


def test_histograms_are_matched_as_scikit_image_does(pictures) -> None:
    first, second = (picture[0].numpy() for picture in pictures)
    ours = _matched(pictures[0].long(), pictures[1].long())[0].numpy()
    reference = match_histograms(first, second)
    # The reference interpolates between grey values and counts each to its upper edge; quantiles agree.
    shares = np.linspace(0.05, 0.95, 19)
    assert_allclose(np.quantile(ours, shares), np.quantile(reference, shares), atol=3)


def test_equal_grey_values_stay_equal() -> None:
    black = torch.zeros(1, 40, 40, dtype=torch.uint8)
    black[:, 10:20, 10:20] = 180
    other = torch.randint(0, 256, (1, 40, 40), dtype=torch.uint8, generator=generator())
    assert len(_matched(black.long(), other.long()).unique()) == 2


def test_exposure_and_contrast_become_the_others(pictures) -> None:
    first, second = pictures
    shown = restyle(first, second)
    assert abs(float(shown.float().mean() - second.float().mean())) < 2
    before, after, wanted = (_bands(part.float())[1].std() for part in (first, shown, second))
    assert abs(after / wanted - 1) < abs(before / wanted - 1) / 2


def test_what_is_seen_stays(pictures) -> None:
    """A patch of the partner does not appear, and one of the picture's own does not go."""
    first, second = (picture.clone() for picture in pictures)
    second[:, 20:40, 20:40] = 255
    own = first.clone()
    own[:, 50:60, 50:60] = (own[:, 50:60, 50:60].int() + 60).clamp(max=255).to(torch.uint8)
    plain, marked = (restyle(picture, second).float() for picture in (first, own))
    difference = (marked - plain).abs()[0]
    assert difference[50:60, 50:60].mean() > 4 * difference[:40].mean()
    ranks = [np.argsort(np.argsort(p[0].float().flatten().numpy())) for p in (first, restyle(first, second))]
    assert np.corrcoef(*ranks)[0, 1] > 0.95


def test_flat_pictures_are_no_error() -> None:
    flat = torch.full((2, 33, 33), 7, dtype=torch.uint8)
    noise = torch.randint(0, 256, (2, 33, 33), dtype=torch.uint8, generator=generator())
    assert len(restyle(flat, noise)[0].unique()) == 1
    assert torch.equal(restyle(noise, flat), flat)


def test_drawn_as_often_as_asked_and_from_all() -> None:
    drawn = draw_styles(4000, 50, 0.3, generator())
    assert abs(float(drawn.chosen.float().mean()) - 0.3) < 0.03
    assert drawn.partner.unique().tolist() == list(range(50))
    again = draw_styles(4000, 50, 0.3, generator())
    assert torch.equal(drawn.partner, again.partner)
    assert torch.equal(drawn.chosen, again.chosen)


def test_partners_are_rows_of_the_training_images() -> None:
    """Of a pack that holds other images too."""
    rng = np.random.default_rng(0)
    pack = rng.integers(0, 256, (6, 40, 40), dtype=np.uint8)
    training = LabelledImages(pack, np.zeros(6, np.int64), np.array([4, 2]))
    shown = torch.from_numpy(pack[[0, 1]])
    styles = Styles(torch.tensor([1, 0]), torch.tensor([True, False]))
    found = in_styles(shown, styles, training)
    assert torch.equal(found[0], restyle(shown[:1], torch.from_numpy(pack[[2]]))[0])
    assert torch.equal(found[1], shown[1])
    assert torch.equal(shown, torch.from_numpy(pack[[0, 1]]))  # not changed in place


def test_views_of_the_frozen_phase_are_restyled_and_the_plain_one_is_not() -> None:
    pack = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
    images = LabelledImages(pack, np.zeros(40, np.int64), np.arange(40))
    still = {name: 0.0 for name in AugmentSettings.model_fields}

    def means(style: float) -> np.ndarray:
        settings = AugmentSettings(**{**still, "style_transfer": style})
        return view_features(images, lambda x: x.mean((1, 2))[:, None].astype(np.float32), 2, settings, 0)

    assert_allclose(means(0.0)[0], means(0.0)[1])
    plain, changed = means(1.0)
    assert_allclose(plain, means(0.0)[0])
    assert (plain != changed).mean() > 0.9
    assert_allclose(means(1.0), means(1.0))
