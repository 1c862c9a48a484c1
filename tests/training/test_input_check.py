from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.covariance import LedoitWolf

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Calibration
from lungscope.bundle.input_check import CHECKS, INPUT_CHECK_OUTPUTS, UPRIGHT
from lungscope.config.settings import ImageSettings, InputCheckSettings, NetworkSettings
from lungscope.errors import BundleError
from lungscope.networks.input_check import InputCheckTail, InputCheckWeights
from lungscope.networks.network import build_network
from lungscope.networks.onnx_ensemble import merge_graphs
from lungscope.networks.onnx_graph import OUTPUTS, build_graph, check_parity, export_backbone
from lungscope.training.input_check import fit_input_check, spread
from lungscope.training.labelled_images import LabelledImages


def skewed(n: int, seed: int = 0) -> np.ndarray:
    """Features (N, 12) as networks pool them: correlated, at least 0, skewed."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 12)) @ np.random.default_rng(9).normal(size=(12, 12))
    return np.maximum(mixed + 2, 0).astype(np.float32)


def tiles(pixels: np.ndarray) -> np.ndarray:
    """Images (N, S, S) → the brightness of sixteen tiles, an embedding that sees how a picture lies."""
    n, s, _ = pixels.shape
    return (pixels.reshape(n, 4, s // 4, 4, s // 4).mean((2, 4)).reshape(n, 16) / 255).astype(np.float32)


def slopes(n: int, seed: int) -> LabelledImages:
    """Pictures that are dark above and bright to the left, each with noise of its own."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[0:16, 0:16]
    pixels = np.clip(6 * down - 3 * right + 60 + rng.normal(0, 12, (n, 16, 16)), 0, 255).astype(np.uint8)
    return LabelledImages(pixels, np.zeros(n, np.int64), np.arange(n))


def fitted(directions: int = 96, n: int = 150) -> InputCheckWeights:
    images = slopes(n, 1)
    return fit_input_check(images, tiles, InputCheckSettings(directions=directions), 0)


def outputs(weights: InputCheckWeights, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        distance, checks = InputCheckTail(weights)(torch.from_numpy(embeddings))
    return distance.numpy(), checks.numpy()


def test_the_distance_is_mahalanobis_with_the_shrinkage_of_ledoit_and_wolf() -> None:
    images = slopes(80, 1)
    training = skewed(80)
    weights = fit_input_check(images, tiles_of(12), InputCheckSettings(directions=96), 0, training)
    new = skewed(30, seed=5)
    reference = LedoitWolf().fit(spread(training.astype(np.float64), weights.rounding))
    wanted = reference.mahalanobis(spread(new.astype(np.float64), weights.rounding)) / 12
    np.testing.assert_allclose(outputs(weights, new)[0], wanted, rtol=1e-3)


def test_few_directions_keep_the_largest_and_take_the_rest_as_round() -> None:
    training = skewed(400)
    weights = fit_input_check(slopes(400, 1), tiles_of(12), InputCheckSettings(directions=3), 0, training)
    values = spread(training.astype(np.float64), weights.rounding)
    variances = np.sort(np.linalg.eigvalsh(LedoitWolf().fit(values).covariance_))[::-1]
    np.testing.assert_allclose(weights.variances, variances[:3], rtol=1e-4)
    assert weights.rest == pytest.approx(variances[3:].mean(), rel=1e-4)
    np.testing.assert_allclose(weights.directions.T @ weights.directions, np.eye(3), atol=1e-9)
    assert outputs(weights, training)[0].mean() == pytest.approx(1, rel=0.05)


def tiles_of(width: int):
    return lambda pixels: tiles(pixels)[:, :width]


def test_how_a_picture_lies_is_told() -> None:
    weights, shown = fitted(), slopes(60, 2).pixels
    assert CHECKS[0] == UPRIGHT
    ways = (shown, shown[:, ::-1, ::-1], np.rot90(shown, 1, (1, 2)), 255 - shown)
    for kind, pixels in enumerate(ways):
        found = outputs(weights, tiles(np.ascontiguousarray(pixels)))[1]
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        assert (found.argmax(1) == kind).mean() >= 0.95


def test_what_is_no_such_picture_is_far() -> None:
    weights = fitted()
    noise = np.random.default_rng(3).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    near, far = (outputs(weights, tiles(each))[0] for each in (slopes(60, 2).pixels, noise))
    assert far.min() > near.max()


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = fitted(), fitted()
    for name in ("centre", "directions", "variances", "slopes", "offsets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("n", [2, 5])
def test_a_handful_of_images_is_enough_to_fit(n: int) -> None:
    distance, checks = outputs(fitted(n=n), tiles(slopes(9, 3).pixels))
    assert np.isfinite(distance).all()
    assert np.isfinite(checks).all()


def test_dead_features_do_not_make_the_distance_infinite() -> None:
    training = skewed(50)
    training[:, 4:] = 0
    weights = fit_input_check(slopes(50, 1), tiles_of(12), InputCheckSettings(), 0, training)
    assert np.isfinite(outputs(weights, skewed(20, 3))[0]).all()


def test_the_exported_graph_computes_what_pytorch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = ImageSettings(size=32)
    network = build_network(NetworkSettings(backbone="cnn-4-8"), settings, 2).eval()
    backbone = export_backbone(network, 32)
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32), dtype=np.uint8)

    def embed(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network.features(torch.from_numpy(pixels)).mean((2, 3)).numpy()

    shown = LabelledImages(images, np.zeros(12, np.int64), np.arange(12))
    input_check = fit_input_check(shown, embed, InputCheckSettings(directions=4), 0)
    graph = build_graph(network, backbone, Calibration(), input_check)
    session = onnxruntime.InferenceSession(graph)
    assert [output.name for output in session.get_outputs()] == [*OUTPUTS, *INPUT_CHECK_OUTPUTS]
    wanted = outputs(input_check, embed(images))
    for n in (1, 12):
        distance, checks = session.run(list(INPUT_CHECK_OUTPUTS), {"image": images[:n]})
        np.testing.assert_allclose(distance, wanted[0][:n], rtol=1e-3)
        np.testing.assert_allclose(checks, wanted[1][:n], atol=1e-4)
    check_parity(graph, network, Calibration(), images, 0.5, input_check=input_check)
    other = fit_input_check(shown, embed, InputCheckSettings(directions=1), 0)
    with pytest.raises(BundleError, match=r"differs from PyTorch by .* in distance .* input_check.enabled=false"):
        check_parity(graph, network, Calibration(), images, 0.5, input_check=other)
    assert len(graph) < len(build_graph(network, backbone, Calibration())) + 20_000
    onnx.checker.check_model(onnx.load_from_string(graph))


def test_an_ensemble_averages_distances_in_units_of_what_each_member_accepts(checked_model: Path) -> None:
    bundle = load_bundle(checked_model)
    merged = merge_graphs([bundle.graph] * 2, [bundle.card.calibration] * 2, Calibration(), [2.0, 4.0])
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64), dtype=np.uint8)
    single, both = (onnxruntime.InferenceSession(graph) for graph in (bundle.graph, merged))
    distance, checks = single.run(list(INPUT_CHECK_OUTPUTS), {single.get_inputs()[0].name: images})
    found, shown = both.run(list(INPUT_CHECK_OUTPUTS), {"image": images})
    np.testing.assert_allclose(found, (distance / 2 + distance / 4) / 2, rtol=1e-5)
    np.testing.assert_allclose(shown, checks, atol=1e-6)
    plain = onnx.load_from_string(merge_graphs([bundle.graph] * 2, [Calibration()] * 2, Calibration()))
    assert [output.name for output in plain.graph.output] == list(OUTPUTS)
