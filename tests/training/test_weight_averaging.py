import copy

import pytest
import torch

from lungscope.config.settings import FinetuneSettings, ImageSettings, NetworkSettings
from lungscope.networks.network import Network, build_network
from lungscope.training.weight_averaging import Average


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return build_network(NetworkSettings(backbone="cnn-4"), ImageSettings(size=32), 2)


def weight(network: Network) -> torch.Tensor:
    return network.head.output.weight.detach()


def test_the_exponential_mean_has_its_closed_form(network) -> None:
    average = Average(network, FinetuneSettings(epochs=1, average="ema", ema_decay=0.9))
    wanted, learned = weight(network).clone(), copy.deepcopy(network)
    for step in range(1, 120):
        with torch.no_grad():
            learned.head.output.weight.add_(0.01)
        average.after_step(learned)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * weight(learned)
    assert torch.allclose(weight(average.network), wanted, atol=1e-5)


def test_the_stochastic_average_is_the_mean_of_the_second_half(network) -> None:
    average = Average(network, FinetuneSettings(epochs=6, average="swa"))
    seen, learned = [], copy.deepcopy(network)
    for epoch in range(1, 7):
        with torch.no_grad():
            learned.head.output.weight.normal_()
        average.after_step(learned)
        average.after_epoch(learned, epoch)
        seen.append(weight(learned).clone())
        if epoch <= 3:
            assert torch.allclose(weight(average.network), seen[-1], atol=1e-6)
    assert torch.allclose(weight(average.network), torch.stack(seen[3:]).mean(0), atol=1e-6)


def test_statistics_are_averaged_and_counters_copied(network) -> None:
    average = Average(network, FinetuneSettings(epochs=1, average="ema", ema_decay=0.5))
    learned = copy.deepcopy(network).train()
    learned(torch.randint(0, 255, (4, 32, 32), dtype=torch.uint8))
    average.after_step(learned)
    ours, theirs = average.network.state_dict(), learned.state_dict()
    assert int(ours["backbone.blocks.1.num_batches_tracked"]) == 1
    name = "backbone.blocks.1.running_var"
    part = 1 - 2 / 11  # at the first step
    wanted = (1 - part) * network.state_dict()[name] + part * theirs[name]
    assert torch.allclose(ours[name], wanted, atol=1e-6)
