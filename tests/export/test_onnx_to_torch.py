import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Calibration
from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.errors import BundleError
from lungscope.export.onnx_to_torch import GraphModule
from lungscope.networks.network import build_network
from lungscope.networks.onnx_ensemble import merge_graphs
from lungscope.networks.onnx_graph import build_graph, export_backbone
from lungscope.runtime.engine import Engine
from lungscope.runtime.session import open_session

CALIBRATION = Calibration("temperature", 0.8, (0.1, -0.1))


def assert_runs_as_onnxruntime(graph: bytes, pixels) -> None:
    session = open_session(graph, Engine("onnxruntime", "fp32"), threads=1)
    wanted = session.run([pixels], session.outputs)
    with torch.inference_mode():
        found = GraphModule(graph).eval()(torch.from_numpy(pixels))
    assert tuple(found) == session.outputs
    for name, value in zip(session.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-3, atol=1e-4 * np.abs(value).max(), err_msg=name)


def graph_of(backbone: str, size: int) -> bytes:
    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone=backbone), ImageSettings(size=size), 2).eval()
    return build_graph(network, export_backbone(network, size), CALIBRATION)


def noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8)


def test_a_bundle_runs_as_in_onnxruntime(model) -> None:
    assert_runs_as_onnxruntime(load_bundle(model).graph, noise(64))


def test_a_gate_runs_as_in_onnxruntime(checked_model) -> None:
    assert_runs_as_onnxruntime(load_bundle(checked_model).graph, noise(64))


def test_an_ensemble_of_two_grids_runs_as_in_onnxruntime() -> None:
    graphs = [graph_of(backbone, 32) for backbone in ("cnn-4-8", "cnn-4-8-8")]
    assert_runs_as_onnxruntime(merge_graphs(graphs, [CALIBRATION] * 2, CALIBRATION), noise(32))


@pytest.mark.parametrize("kind", ["Conv", "MaxPool"])
def test_uneven_borders_are_padded_as_onnx_does(kind: str) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = onnx.numpy_helper.from_array(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3), "w")
    inputs = ["x", "w"] if kind == "Conv" else ["x"]
    node = helper.make_node(kind, inputs, ["y"], kernel_shape=[3, 3], pads=[0, 1, 1, 0], strides=[2, 2])
    graph = helper.make_graph([node], "g", [x], [y], [weights] if kind == "Conv" else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    pixels = -np.random.default_rng(0).random((1, 1, 6, 6), np.float32)
    wanted = onnx.reference.ReferenceEvaluator(model).run(None, {"x": pixels})[0]
    found = GraphModule(model.SerializeToString())(torch.from_numpy(pixels))["y"].numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_an_unknown_operator_is_named_before_any_work() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Det", ["x"], ["y"])], "g", [x], [x])
    with pytest.raises(BundleError, match="cannot be converted: Det. Use another --format"):
        GraphModule(helper.make_model(graph).SerializeToString())
