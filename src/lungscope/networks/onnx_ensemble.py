"""Several bundles' graphs as one: averaged logits, calibrated again, and the mean of their heat maps."""

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from lungscope.bundle.card import Calibration
from lungscope.bundle.input_check import INPUT_CHECK_OUTPUTS
from lungscope.errors import BundleError
from lungscope.networks.onnx_graph import OUTPUTS, output_shape

FAINT = 1e-12
"""Heat below which a map counts as empty and stays so."""


def merge_graphs(
    graphs: Sequence[bytes], calibrations: Sequence[Calibration], own: Calibration, limits: Sequence[float] = ()
) -> bytes:
    """One graph that runs every member on the same image.

    Its `logits` are the mean of the members' calibrated ones, so that all speak on one scale, and its
    `probabilities` their softmax after the ensemble's `own` calibration. Its `heatmap` is the mean of the
    members' maps, each divided by its largest value of the image and brought to the largest grid; its
    `embedding` is theirs end to end. Where all have an input check, its `distance` is the mean of theirs, each divided
    by what the member accepts, and its `checks` the mean of theirs.

    Args:
        graphs: what the bundles hold, all of one input size and the same classes.
        calibrations: of the members.
        own: of the ensemble.
        limits: largest distances the members accept; empty when one has no input check.

    Raises:
        BundleError: the members were exported by versions that do not fit together.
    """
    members = [_member(graph, i) for i, graph in enumerate(graphs)]
    kinds = {(each.ir_version, tuple((o.domain, o.version) for o in each.opset_import)) for each in members}
    if len(kinds) > 1:
        raise BundleError(
            "The members were exported by versions of Lungscope that do not fit together. Train the older ones again."
        )
    grid = np.max([output_shape(each, "heatmap")[2:] for each in members], axis=0)
    nodes, constants = _average(members, calibrations, own, grid, limits)
    names = (*OUTPUTS, *(INPUT_CHECK_OUTPUTS if limits else ()))
    graph = helper.make_graph(
        [*(node for each in members for node in each.graph.node), *nodes], "ensemble",
        members[0].graph.input, _outputs(members, grid, names),
        [*(tensor for each in members for tensor in each.graph.initializer), *constants],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=members[0].opset_import, ir_version=members[0].ir_version,
        functions=[function for each in members for function in each.functions], producer_name="lungscope",
    )  # fmt: skip
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def average_heatmaps(heatmaps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What the graph makes of the members' maps (N, K, h, w), computed by PyTorch to hold it against."""
    grid = np.max([each.shape[2:] for each in heatmaps], axis=0).tolist()
    maps = []
    for each in heatmaps:
        resized = functional.interpolate(torch.from_numpy(each), grid, mode="bilinear", align_corners=False).numpy()
        maps.append(resized / np.maximum(resized.max(axis=(1, 2, 3), keepdims=True), FAINT))
    mean: NDArray[np.float32] = np.mean(maps, axis=0)
    return mean


def _member(graph: bytes, i: int) -> onnx.ModelProto:
    """A graph whose every name is its own but the image's."""
    model = onnx.load_from_string(graph)
    model.ClearField("metadata_props")  # card and checksum
    image = model.graph.input[0].name
    model = onnx.compose.add_prefix(model, _prefix(i), rename_inputs=False)
    for node in model.graph.node:
        node.input[:] = ["image" if name == image else name for name in node.input]
    model.graph.input[0].name = "image"
    return model


def _prefix(i: int) -> str:
    return f"member{i}/"


def _average(
    members: Sequence[onnx.ModelProto],
    calibrations: Sequence[Calibration],
    own: Calibration,
    grid: NDArray[np.int64],
    limits: Sequence[float],
) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    nodes: list[onnx.NodeProto] = []
    constants: list[TensorProto] = []

    def constant(name: str, value: object, dtype: type = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: int | str | list[int]) -> str:
        made = helper.make_node(kind, list(inputs), [output], name=output)
        made.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        nodes.append(made)
        return output

    def scaled(logits: str, calibration: Calibration, name: str) -> str:
        gain = node("Mul", [logits, constant(f"{name}/scale", calibration.scale)], f"{name}/scaled")
        shift = constant(f"{name}/shift", calibration.shift or (0.0,))
        return node("Add", [gain, shift], f"{name}/calibrated")

    faint, axes = constant("faint", FAINT), constant("axes", [1, 2, 3], np.int64)
    maps, logits = [], []
    for i, (member, calibration) in enumerate(zip(members, calibrations, strict=True)):
        name = _prefix(i).rstrip("/")
        logits.append(scaled(f"{name}/logits", calibration, name))
        heat = f"{name}/heatmap"
        if tuple(output_shape(member, "heatmap")[2:]) != tuple(grid):
            sizes = constant(f"{name}/grid", [*grid], np.int64)
            heat = node("Resize", [heat, "", "", sizes], f"{name}/resized", mode="linear", axes=[2, 3])
        peak = node("Max", [node("ReduceMax", [heat, axes], f"{name}/peak", keepdims=1), faint], f"{name}/top")
        maps.append(node("Div", [heat, peak], f"{name}/normalised"))
    node("Mean", logits, "logits")
    node("Softmax", [scaled("logits", own, "ensemble")], "probabilities", axis=1)
    node("Mean", maps, "heatmap")
    node("Concat", [f"{_prefix(i)}embedding" for i in range(len(members))], "embedding", axis=1)
    if limits:
        parts = [
            node("Div", [f"{_prefix(i)}distance", constant(f"limit{i}", limit)], f"{_prefix(i)}relative")
            for i, limit in enumerate(limits)
        ]
        node("Mean", parts, "distance")
        node("Mean", [f"{_prefix(i)}checks" for i in range(len(members))], "checks")
    return nodes, constants


def _outputs(
    members: Sequence[onnx.ModelProto], grid: NDArray[np.int64], names: Sequence[str]
) -> list[onnx.ValueInfoProto]:
    k = output_shape(members[0], "logits")[1]
    width = sum(output_shape(each, "embedding")[1] for each in members)
    shapes = {
        "probabilities": [k], "logits": [k], "heatmap": [k, *map(int, grid)], "embedding": [width],
        "distance": [], "checks": output_shape(members[0], "checks")[1:] if "checks" in names else [],
    }  # fmt: skip
    batch = members[0].graph.input[0].type.tensor_type.shape.dim[0].dim_param or "n"
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shapes[name]]) for name in names]
