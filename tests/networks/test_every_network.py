"""Each network: exact on grey images, exported with parity, its heat map that of captum's Grad-CAM."""

import numpy as np
import pytest
import timm
import torch
from captum.attr import LayerGradCam
from torch import nn

from lungscope.bundle.card import Calibration
from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.networks.backbones import GreyStem, TimmBackbone
from lungscope.networks.network import Network, build_network, grad_cam, pool
from lungscope.networks.onnx_graph import build_graph, check_parity, export_backbone
from tests.export.test_onnx_to_torch import assert_runs_as_onnxruntime

TIMM = {
    "resnet50": 64,
    "densenet121": 64,
    "inception_v3": 75,
    "vgg16": 64,
    "mobilenetv1_100": 64,
    "mobilenetv2_100": 64,
    "mobilenetv3_large_100": 64,
    "efficientnet_b0": 64,
    "convnextv2_tiny": 64,
}
OWN = {"cnn-16x2-32x2-64x2-128x3-256x3": 64, "cnn-rgb-32-64-128-256": 64, "cnn-nobn-32-64-128": 64}
CONVERTED = {"densenet121", "inception_v3", "mobilenetv3_large_100", "resnet50"}
"""Which of them are held against PyTorch made of their graph again, too."""
QUICK = {"vgg16", *OWN}
NETWORKS = [
    pytest.param(name, size, marks=[] if name in QUICK else pytest.mark.slow) for name, size in {**TIMM, **OWN}.items()
]
HEADS = {
    "vgg16": NetworkSettings(hidden=(512,), hidden_dropout=0.5, output="sigmoid"),
    "cnn-rgb-32-64-128-256": NetworkSettings(pooled_dropout=0.5, hidden=(128,), hidden_dropout=0.5),
}


class Differentiable(nn.Module):
    """The network from its scaled input on, which captum can follow."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.backbone, self.head = network.backbone, network.head

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        return self.head(pool(self.backbone(scaled)))


def build(name: str, size: int) -> Network:
    torch.manual_seed(0)
    settings = HEADS.get(name, NetworkSettings()).model_copy(update={"backbone": name})
    return build_network(settings, ImageSettings(size=size), 2).eval()


def pictures(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)


def normalised(images: torch.Tensor, name: str) -> torch.Tensor:
    published = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (published.mean, published.std))
    return (images.unsqueeze(1).float() / 255 - mean) / std


@pytest.mark.parametrize(("name", "size"), [*TIMM.items(), ("tf_efficientnet_b0", 64)])
def test_features_are_those_of_the_published_network_on_three_channels(name: str, size: int) -> None:
    torch.manual_seed(0)
    reference = timm.create_model(name, num_classes=0).eval()
    network = build(name, size)
    images = torch.from_numpy(pictures(2, size))
    with torch.no_grad():
        wanted = reference.forward_features(normalised(images, name))
        norm = getattr(getattr(reference, "head", None), "norm", None)
        if isinstance(norm, nn.Module):
            wanted = norm(wanted)
        found = network.features(images)
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, atol=2e-5 * max(scale, 1), rtol=1e-3)


def test_stems_are_folded_wherever_they_are_plain() -> None:
    folded = {
        name: any(isinstance(part, GreyStem) for part in build(name, size).modules())
        for name, size in {"mobilenetv2_050": 64, "vgg11": 64, "tf_efficientnet_b0": 64}.items()
    }
    assert folded == {"mobilenetv2_050": True, "vgg11": True, "tf_efficientnet_b0": False}


@pytest.mark.parametrize(("name", "size"), NETWORKS)
def test_the_exported_network_agrees_and_its_heat_map_is_captums(name: str, size: int) -> None:
    network = build(name, size)
    images = pictures(3, size)
    calibration = Calibration("temperature", 0.7, (0.0, 0.0))
    graph = build_graph(network, export_backbone(network, size), calibration)
    # Raises when probabilities or heat maps differ between PyTorch and this machine's runtime.
    assert check_parity(graph, network, calibration, images, 0.5).images == 3
    if name in CONVERTED:  # here, as an export takes longest
        assert_runs_as_onnxruntime(graph, images)

    scaled = network.scale(torch.from_numpy(images))
    with torch.no_grad():
        feature_map = network.backbone(scaled)
        heat = grad_cam(feature_map, network.head.gradient(pool(feature_map)))
    reference = LayerGradCam(Differentiable(network), network.backbone)
    for k in range(2):
        wanted = reference.attribute(scaled, target=k, relu_attributions=True).squeeze(1).detach()
        scale = float(wanted.abs().max()) + 1e-12
        torch.testing.assert_close(heat[:, k] / scale, wanted / scale, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["mobilenetv3_large_100", "vgg11", "convnextv2_atto"])
def test_every_weight_of_the_backbone_takes_part_in_the_features(name: str) -> None:
    network = build(name, 64)
    with torch.enable_grad():
        network.features(torch.from_numpy(pictures(2, 64))).sum().backward()
    idle = [path for path, parameter in network.backbone.named_parameters() if parameter.grad is None]
    assert not idle


@pytest.mark.slow
def test_a_channels_last_network_gives_its_features_channels_first() -> None:
    network = build("swin_tiny_patch4_window7_224", 224)
    assert isinstance(network.backbone, TimmBackbone)
    with torch.no_grad():
        assert network.features(torch.from_numpy(pictures(1, 224))).shape == (1, 768, 7, 7)
