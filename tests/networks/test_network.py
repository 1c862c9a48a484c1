import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.errors import ConfigError, RuntimeUnavailable
from lungscope.networks.backbones import IMAGENET_MEAN, IMAGENET_STD, GreyStem
from lungscope.networks.network import Head, build_network, grad_cam, pool

SMALL = ImageSettings(size=64)


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images.unsqueeze(1).float() / 255 - mean) / std


@pytest.mark.parametrize(("padding", "bias"), [(0, False), (1, True), (3, False)])
def test_the_grey_stem_equals_the_three_channel_one_up_to_the_border(padding: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 5, stride=2, padding=padding, bias=bias)
    stem = GreyStem(conv, torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))
    images = torch.randint(0, 256, (2, 21, 30), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(
            stem(images.unsqueeze(1).float() / 255), conv(normalised(images)), atol=2e-5, rtol=1e-4
        )


def test_a_single_channel_network_has_the_features_of_the_published_one() -> None:
    torch.manual_seed(0)
    reference = timm.create_model("mobilenetv2_050", num_classes=0).eval()
    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone="mobilenetv2_050"), SMALL, 2).eval()
    images = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(pool(network.features(images)), reference(normalised(images)), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("hidden", "output", "n_classes"),
    [((), "softmax", 2), ((), "sigmoid", 2), ((16,), "sigmoid", 2), ((16, 8), "softmax", 3)],
)
def test_the_heat_map_is_autograd_grad_cam(hidden: tuple[int, ...], output: str, n_classes: int) -> None:
    torch.manual_seed(1)
    head = Head(12, n_classes, NetworkSettings(hidden=hidden, output=output)).eval()
    feature_map = torch.rand(4, 12, 5, 6, requires_grad=True)
    logits = head(pool(feature_map))
    heat = grad_cam(feature_map, head.gradient(pool(feature_map)))
    for k in range(n_classes):
        (gradient,) = torch.autograd.grad(logits[:, k].sum(), feature_map, retain_graph=True)
        weights = gradient.mean((2, 3), keepdim=True)
        expected = torch.relu((weights * feature_map).sum(1))
        torch.testing.assert_close(heat[:, k], expected)


def test_one_sigmoid_is_binary_cross_entropy() -> None:
    torch.manual_seed(2)
    head = Head(6, 2, NetworkSettings(output="sigmoid", pooled_dropout=0.0))
    x, y = torch.randn(32, 6), torch.randint(0, 2, (32,))
    binary = nn.functional.binary_cross_entropy_with_logits(head.output(x).squeeze(1), y.float())
    torch.testing.assert_close(nn.functional.cross_entropy(head(x), y), binary)


def test_per_image_scaling_ignores_exposure() -> None:
    network = build_network(NetworkSettings(backbone="mobilenetv2_050"), ImageSettings(size=64, scaling="per-image"), 2)
    image = torch.randint(40, 120, (1, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(network.scale(image), network.scale(2 * image + 10), atol=1e-5, rtol=1e-5)
    assert torch.isfinite(network.scale(torch.zeros_like(image))).all()


def test_weights_from_a_file_are_the_ones_used(tmp_path) -> None:
    torch.manual_seed(3)
    state = timm.create_model("mobilenetv2_050", num_classes=0).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    network = build_network(NetworkSettings(backbone="mobilenetv2_050"), SMALL, 2, tmp_path / "w.safetensors")
    torch.testing.assert_close(network.backbone.model.conv_head.weight, state["conv_head.weight"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("mobilenetv2_1", "Similar: mobilenetv2"), ("vit_tiny_patch16_224", "not a feature map|no plain first")],
)
def test_a_network_that_does_not_fit_is_refused_with_a_remedy(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(NetworkSettings(backbone=name), ImageSettings(size=224), 2)


def test_a_sigmoid_refuses_three_classes_naming_both_settings() -> None:
    with pytest.raises(ConfigError, match=r"network\.output = 'sigmoid' needs 2 classes and the data have 3"):
        Head(4, 3, NetworkSettings(output="sigmoid"))


@pytest.mark.parametrize("content", [None, b"", b"not tensors"])
def test_unreadable_weights_are_refused(tmp_path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RuntimeUnavailable, match="not a readable safetensors file"):
        build_network(NetworkSettings(backbone="mobilenetv2_050"), SMALL, 2, path)


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    save_file({"conv_stem.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(RuntimeUnavailable, match="do not fit 'mobilenetv2_050'"):
        build_network(NetworkSettings(backbone="mobilenetv2_050"), SMALL, 2, tmp_path / "w.safetensors")


def test_without_a_network_imagenet_weights_name_the_remedy(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(RuntimeUnavailable, match=r"could not be downloaded .* --weights FILE"):
        build_network(NetworkSettings(backbone="mobilenetv2_050"), SMALL, 2, "imagenet")
