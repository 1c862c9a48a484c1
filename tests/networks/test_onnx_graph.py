import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lungscope.bundle.card import Calibration
from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.errors import BundleError
from lungscope.networks.network import Network, build_network, grad_cam, pool
from lungscope.networks.onnx_graph import OUTPUTS, build_graph, check_parity, export_backbone

CALIBRATION = Calibration("temperature", 0.6, (0.1, -0.1))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    settings = NetworkSettings(backbone="mobilenetv2_050", hidden=(16,))
    return build_network(settings, ImageSettings(size=64), 2).eval()


@pytest.fixture(scope="module")
def backbone(network: Network) -> bytes:
    return export_backbone(network, 64)


@pytest.fixture(scope="module")
def graph(network: Network, backbone: bytes) -> bytes:
    return build_graph(network, backbone, CALIBRATION)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 64, 64), dtype=np.uint8)


def test_every_output_is_pytorchs_for_any_number_of_images(network, graph, images) -> None:
    session = onnxruntime.InferenceSession(graph)
    assert [output.name for output in session.get_outputs()] == list(OUTPUTS)
    for n in (1, 2, 7):
        probabilities, logits, heat, embedding = session.run(None, {"image": images[:n]})
        with torch.inference_mode():
            feature_map = network.features(torch.from_numpy(images[:n]))
            pooled = pool(feature_map)
            wanted = network(torch.from_numpy(images[:n]))
            calibrated = (0.6 * wanted + torch.tensor([0.1, -0.1])).softmax(1)
            expected_heat = grad_cam(feature_map, network.head.gradient(pooled))
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
        np.testing.assert_allclose(probabilities, calibrated, atol=1e-5)
        np.testing.assert_allclose(heat, expected_heat, atol=1e-4)
        np.testing.assert_allclose(embedding, pooled, atol=1e-4)


def test_the_same_network_exports_to_the_same_bytes(network, backbone, graph) -> None:
    assert export_backbone(network, 64) == backbone
    assert build_graph(network, backbone, CALIBRATION) == graph


def test_the_graph_is_one_file_without_paths_of_this_machine(graph) -> None:
    model = onnx.load_from_string(graph)
    assert not any(t.external_data for t in model.graph.initializer)
    assert __file__.split("tests")[0].encode() not in graph
    assert b"site-packages" not in graph


def test_agreement_is_recorded(network, graph, images) -> None:
    record = check_parity(graph, network, CALIBRATION, images, 0.5)
    assert record.images == 7
    assert record.largest_difference < 1e-4
    assert record.flips == 0


def test_a_graph_that_differs_is_refused(network, graph, images) -> None:
    with pytest.raises(BundleError, match="differs from PyTorch by .* Nothing was written"):
        check_parity(graph, network, Calibration("temperature", 0.7, (0.1, -0.1)), images, 0.5)


def test_a_graph_that_yields_nan_is_refused(network, graph, images) -> None:
    with pytest.raises(BundleError, match="differs from PyTorch by nan"):
        check_parity(graph, network, Calibration("temperature", float("nan")), images, 0.5)
