"""Network → the one graph. Agreement with PyTorch is a condition of success.

The graph has two parts that are exported apart and joined: the backbone, which is exported once and
also computes the features the head learns from, and the tail (head, calibration, heat map), which is
small and made anew whenever one of its constants changes.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungscope.bundle.card import Calibration, Parity
from lungscope.bundle.input_check import INPUT_CHECK_OUTPUTS
from lungscope.errors import BundleError
from lungscope.networks.input_check import InputCheckTail, InputCheckWeights
from lungscope.networks.network import Head, Network, grad_cam, pool
from lungscope.runtime.engine import choose_engine
from lungscope.runtime.session import open_session
from lungscope.stats.reference_class import p_abnormal

OPSET = 20
TOLERANCE = 1e-4
OUTPUTS = ("probabilities", "logits", "heatmap", "embedding")


class Backbone(nn.Module):
    """Images → feature map and its pooled embedding."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W) → (N, C, h, w), (N, C)."""
        feature_map = self.network.features(image)
        return feature_map, pool(feature_map)


class Tail(nn.Module):
    """Feature map and embedding → calibrated probabilities, logits and heat map, and what the input check needs."""

    def __init__(self, head: Head, calibration: Calibration, input_check: InputCheckWeights | None = None) -> None:
        super().__init__()
        self.head = head
        self.input_check = InputCheckTail(input_check) if input_check else None
        self.scale = calibration.scale
        self.register_buffer("shift", torch.tensor(calibration.shift or (0.0,)))

    def forward(self, feature_map: Tensor, embedding: Tensor) -> tuple[Tensor, ...]:
        """(N, C, h, w), (N, C) → (N, K), (N, K), (N, K, h, w), and `INPUT_CHECK_OUTPUTS` if it has any."""
        logits = self.head(embedding)
        probabilities = torch.softmax(self.scale * logits + cast(Tensor, self.shift), dim=1)
        heat = grad_cam(feature_map, self.head.gradient(embedding))
        return probabilities, logits, heat, *(self.input_check(embedding) if self.input_check else ())


def export_backbone(network: Network, size: int) -> bytes:
    """ONNX of the backbone: `image` uint8 (N, size, size) → `feature_map`, `embedding`."""
    example = torch.zeros(2, size, size, dtype=torch.uint8)
    return _export(Backbone(network), (example,), ["image"], ["feature_map", "embedding"])


def build_graph(
    network: Network, backbone: bytes, calibration: Calibration, input_check: InputCheckWeights | None = None
) -> bytes:
    """The graph of a bundle: `image` → `OUTPUTS`, then the input check's.

    Args:
        network: whose head is exported.
        backbone: as exported before.
        calibration: of the head's logits.
        input_check: none where the model has none.
    """
    first = onnx.load_from_string(backbone)
    example = torch.zeros(2, *output_shape(first, "feature_map")[1:])
    outputs = [*OUTPUTS[:3], *(INPUT_CHECK_OUTPUTS if input_check else ())]
    tail = _export(
        Tail(network.head, calibration, input_check), (example, pool(example)), ["features", "pooled"], outputs
    )
    second = onnx.compose.add_prefix(onnx.load_from_string(tail), "tail/", rename_inputs=False, rename_outputs=False)
    wanted = [*OUTPUTS, *outputs[3:]]
    joined = onnx.compose.merge_models(
        first, second, io_map=[("feature_map", "features"), ("embedding", "pooled")], outputs=wanted
    )
    by_name = {output.name: output for output in joined.graph.output}
    del joined.graph.output[:]
    joined.graph.output.extend(by_name[name] for name in wanted)
    joined.producer_name, joined.producer_version = "lungscope", ""
    onnx.checker.check_model(joined)
    return cast(bytes, joined.SerializeToString(deterministic=True))


def check_parity(
    graph: bytes,
    network: Network,
    calibration: Calibration,
    images: NDArray[np.uint8],
    threshold: float,
    *,
    input_check: InputCheckWeights | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Hold the graph in this machine's runtime against PyTorch.

    Args:
        graph: what `build_graph` returned.
        network: the same network.
        calibration: the same calibration.
        images: (N, H, W), validation images.
        threshold: default operating point, to count decisions that flip.
        input_check: the same input check.
        tolerance: largest difference of a probability that is accepted.

    Raises:
        BundleError: they differ by more.
    """
    engine = choose_engine()
    with torch.inference_mode():
        feature_map, embedding = Backbone(network.eval())(torch.from_numpy(images))
        tail = Tail(network.head.eval(), calibration, input_check)
        wanted, _, heat, *checks = tail(feature_map, embedding)
    session = open_session(graph, engine, threads=1)
    names = ["probabilities", "heatmap", *(INPUT_CHECK_OUTPUTS if input_check else ())]
    found, found_heat, *found_checks = session.run([images], names)
    difference = float(np.abs(found - wanted.numpy()).max())
    heat_difference = float(np.abs(found_heat - heat.numpy()).max() / max(float(heat.max()), 1e-12))
    if not difference <= tolerance or not heat_difference <= 10 * tolerance:
        raise BundleError(
            f"The exported graph differs from PyTorch by {difference:.2g} in probability and {heat_difference:.2g} "
            f"in heat (accepted: {tolerance:.0e}, {10 * tolerance:.0e}). Nothing was written; report this network."
        )
    _check_input_check(found_checks, checks, 100 * tolerance)
    flips = int(((p_abnormal(found) >= threshold) != (p_abnormal(wanted.numpy()) >= threshold)).sum())
    return Parity(str(engine), len(images), difference, flips)


def _check_input_check(found: Sequence[NDArray[np.float32]], wanted: Sequence[Tensor], tolerance: float) -> None:
    """Directions of little variance magnify rounding: by 0.13 % of the distance in a network from scratch."""
    for name, ours, theirs in zip(INPUT_CHECK_OUTPUTS, found, wanted, strict=False):
        reference = theirs.numpy()
        difference = float((np.abs(ours - reference) / np.maximum(reference, 1)).max())
        if not difference <= tolerance:
            raise BundleError(
                f"The exported graph differs from PyTorch by {difference:.2g} in {name} (accepted: {tolerance:.0e}). "
                "Nothing was written; report this network, or use --set input_check.enabled=false."
            )


def _export(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> bytes:
    # In-place activations are decomposed through the symbolic batch size, which takes a minute in all.
    for part in module.modules():
        if hasattr(part, "inplace"):
            setattr(part, "inplace", False)  # noqa: B010 - no such attribute for the type checker
    batch = torch.export.Dim("n")
    with _quiet():
        program = torch.onnx.export(
            module.eval(), example, dynamo=True, verbose=False, opset_version=OPSET,
            input_names=inputs, output_names=outputs, dynamic_shapes=tuple({0: batch} for _ in example),
        )  # fmt: skip
    return cast(bytes, _strip(program.model_proto).SerializeToString())  # type: ignore[union-attr]


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    # The exporter notes stack traces, with paths of this machine, at every node.
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def output_shape(model: onnx.ModelProto, name: str) -> list[int]:
    """Sizes of the output whose name ends with `name`; 0 for the number of images."""
    found = next(each for each in model.graph.output if each.name.endswith(name))
    return [dimension.dim_value for dimension in found.type.tensor_type.shape.dim]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter says about itself; its errors still come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
