import pytest
import torch

from lungscope.config.settings import MixSettings
from lungscope.training.augment.mixup import draw_mixture, mix


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_is_mixed_unless_asked() -> None:
    assert draw_mixture(8, MixSettings(), generator()) is None


def test_the_seed_decides_the_mixture() -> None:
    first, again, other = (draw_mixture(8, MixSettings(mixup=0.4), generator(s)) for s in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.share == again.share != other.share
    assert torch.equal(first.partner, again.partner)
    assert sorted(first.partner.tolist()) == list(range(8))


def test_the_proportion_follows_beta() -> None:
    shares = [draw_mixture(2, MixSettings(mixup=0.5), generator(s)).share for s in range(2000)]
    values = torch.tensor(shares)
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)).
    assert float(values.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(values.var()) == pytest.approx(1 / 8, abs=0.01)


def test_mixup_is_the_weighted_mean() -> None:
    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1).expand(4, 5, 5) * 60
    mixture = draw_mixture(4, MixSettings(mixup=1.0), generator())
    assert mixture is not None
    mine = torch.arange(4)
    found = mix(images, mine, mixture.partner, mixture)
    assert found.dtype == torch.uint8
    wanted = mixture.share * images.float() + (1 - mixture.share) * images[mixture.partner].float()
    assert torch.equal(found, wanted.round().to(torch.uint8))


def test_cutmix_counts_each_label_by_its_area() -> None:
    images = torch.zeros(2, 100, 100, dtype=torch.uint8)
    images[1] = 200
    for seed in range(40):
        mixture = draw_mixture(2, MixSettings(cutmix=1.0), generator(seed))
        assert mixture is not None
        found = mix(images, torch.arange(2), torch.tensor([1, 0]), mixture)
        assert float((found[0] == 0).float().mean()) == pytest.approx(mixture.share, abs=0.03)
        assert float((found[1] == 200).float().mean()) == pytest.approx(mixture.share, abs=0.03)


def test_both_kinds_take_turns() -> None:
    drawn = [draw_mixture(4, MixSettings(mixup=0.4, cutmix=1.0), generator(s)) for s in range(40)]
    kinds = {each is not None and each.box is None for each in drawn}
    assert kinds == {True, False}
