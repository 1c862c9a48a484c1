"""Frozen batch statistics, against the same network run the slow way."""

import copy

import pytest
import torch
from torch import nn

from lungscope.config.settings import ImageSettings
from lungscope.errors import ConfigError
from lungscope.networks.backbones import build_backbone
from lungscope.networks.frozen_batchnorm import Folded, FoldedConvolution, frozen_batchnorm

IMAGE = ImageSettings(size=96)


def network(name: str) -> nn.Module:
    """With statistics and gains that are not those of the start."""
    torch.manual_seed(0)
    built = build_backbone(name, "none", IMAGE)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.8, 1.2),
                (module.bias.data, -0.1, 0.1),
            ):
                values.uniform_(low, high)
    return built


def images(seed: int = 0, n: int = 2) -> torch.Tensor:
    return torch.rand(n, 1, 96, 96, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet18", "densenet121", "inception_v3", "cnn-4x2-8"])
def test_normalisations_fold_into_the_convolutions_before_them(name: str) -> None:
    built = network(name).eval()
    wanted, names = built(images()).detach(), list(built.state_dict())
    with frozen_batchnorm(built, images()):
        parts = list(built.modules())
        n_folded = sum(isinstance(part, FoldedConvolution) for part in parts)
        assert n_folded == sum(isinstance(part, Folded) for part in parts) > 1
        assert sorted(built.state_dict()) == sorted(names)
        largest = float(wanted.abs().max())
        torch.testing.assert_close(built(images()).detach() / largest, wanted / largest, rtol=0, atol=1e-4)
    assert list(built.state_dict()) == names
    torch.testing.assert_close(built(images()), wanted)


@pytest.mark.parametrize("name", ["mobilenetv2_100", "cnn-rgb-4-8"])
def test_learning_is_that_of_separate_layers_with_frozen_statistics(name: str) -> None:
    built = network(name)
    reference = copy.deepcopy(built).eval()
    with frozen_batchnorm(built, images()):
        built.train()
        for each in (built, reference):
            optimizer = torch.optim.SGD(each.parameters(), lr=1e-3)
            for step in range(3):
                each(images(step, 4)).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
    for (where, learned), wanted in zip(built.state_dict().items(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(learned, wanted, rtol=1e-3, atol=1e-5, msg=where)


def test_a_copy_within_the_block_has_parameters_of_its_own() -> None:
    built = network("cnn-4-8")
    with frozen_batchnorm(built, images()):
        twin = copy.deepcopy(built)
        for parameter in twin.parameters():
            nn.init.zeros_(parameter)
        assert float(built(images()).detach().abs().max()) > 0
        assert float(twin(images()).detach().abs().max()) == 0


class Crossed(nn.Module):
    """Registers its layers in another order than it runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.second(self.first(x)).relu())


def test_a_network_whose_layers_run_in_another_order_is_refused_and_left_whole() -> None:
    torch.manual_seed(0)
    built = Crossed()
    built.norm.running_mean.fill_(3.0)
    with pytest.raises(ConfigError, match=r"finetune.frozen_batchnorm = false"), frozen_batchnorm(built, images()):
        pass
    assert [type(part) for part in built.children()] == [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
