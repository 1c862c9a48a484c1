"""An ONNX graph as a PyTorch module, for converters that start from PyTorch.

It knows the operators that this project's networks are exported with, opset 13 or later. Shapes and other integers
are NumPy arrays, so that tracing sees them as constants.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungscope.errors import BundleError

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]
OPERATORS: dict[str, Operator] = {}
_F = TypeVar("_F", bound=Operator)


class GraphModule(nn.Module):
    """Runs a graph's nodes in their order."""

    def __init__(self, graph: bytes) -> None:
        """Read the graph.

        Raises:
            BundleError: it has an operator that is not known here.
        """
        super().__init__()
        model = onnx.load_from_string(graph)
        self.nodes = [(node.op_type, _attributes(node), [*node.input], [*node.output]) for node in model.graph.node]
        unknown = {kind for kind, *_ in self.nodes} - set(OPERATORS)
        if unknown:
            raise BundleError(
                f"The graph has operators that cannot be converted: {', '.join(sorted(unknown))}. "
                "Use another --format, and report this network."
            )
        self.outputs = [output.name for output in model.graph.output]
        self.image = model.graph.input[0].name
        self.constants: dict[str, Any] = {}
        for i, tensor in enumerate(model.graph.initializer):
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.float32:
                self.register_buffer(f"constant{i}", torch.from_numpy(values.copy()))
                self.constants[tensor.name] = f"constant{i}"
            else:
                self.constants[tensor.name] = values

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """uint8 (N, S, S) → every output by name."""
        known: dict[str, Any] = {
            name: self.get_buffer(value) if isinstance(value, str) else value for name, value in self.constants.items()
        }
        known |= {"": None, self.image: image}
        for kind, attributes, inputs, outputs in self.nodes:
            found = OPERATORS[kind](attributes, *(known[name] for name in inputs))
            known |= zip(outputs, found if isinstance(found, tuple) else (found,), strict=True)
        return {name: known[name] for name in self.outputs}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _operator(name: str) -> Callable[[_F], _F]:
    def add(function: _F) -> _F:
        OPERATORS[name] = function
        return function

    return add


OPERATORS |= {
    "Abs": lambda a, x: torch.abs(x),
    "Add": lambda a, x, y: x + y,
    "Cast": lambda a, x: x.float() if a["to"] == onnx.TensorProto.FLOAT else x,
    "Div": lambda a, x, y: x / y,
    "Equal": lambda a, x, y: x == y,
    "Exp": lambda a, x: torch.exp(x),
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda a, x: functional.hardswish(x),
    "Identity": lambda a, x: x,
    "MatMul": lambda a, x, y: x @ y,
    "Max": lambda a, x, y: torch.maximum(x, y),
    "Mean": lambda a, *parts: sum(parts[1:], parts[0]) / len(parts),
    "Min": lambda a, x, y: torch.minimum(x, y),
    "Mul": lambda a, x, y: x * y,
    "Neg": lambda a, x: -x,
    "Pow": lambda a, x, y: x**y,
    "Reciprocal": lambda a, x: 1 / x,
    "Relu": lambda a, x: torch.relu(x),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Sign": lambda a, x: torch.sign(x),
    "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)),
    "Sqrt": lambda a, x: torch.sqrt(x),
    "Sub": lambda a, x, y: x - y,
    "Tanh": lambda a, x: torch.tanh(x),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
}


@_operator("Conv")
def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, pads = _padded(a, x, 0.0)
    return functional.conv2d(
        x, weight, bias, a.get("strides", 1), pads, a.get("dilations", 1), a.get("group", 1)
    )  # fmt: skip


@_operator("MaxPool")
def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    x, pads = _padded(a, x, float("-inf"))
    return functional.max_pool2d(
        x, a["kernel_shape"], a.get("strides", 1), pads, a.get("dilations", 1), bool(a.get("ceil_mode", 0))
    )


@_operator("AveragePool")
def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    before, after = _pads(a)
    if before != after:
        raise BundleError("The graph pools with uneven borders, which cannot be converted. Use another --format.")
    return functional.avg_pool2d(
        x, a["kernel_shape"], a.get("strides", 1), before, bool(a.get("ceil_mode", 0)),
        bool(a.get("count_include_pad", 0)),
    )  # fmt: skip


@_operator("BatchNormalization")
def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, shift, eps=a.get("epsilon", 1e-5))


@_operator("Clip")
def _clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x.clamp(None if low is None else low, None if high is None else high)


@_operator("Gemm")
def _gemm(a: Attributes, x: Tensor, y: Tensor, shift: Tensor | float = 0.0) -> Tensor:
    x = x.T if a.get("transA", 0) else x
    y = y.T if a.get("transB", 0) else y
    product: Tensor = a.get("alpha", 1.0) * (x @ y)
    beta: float = a.get("beta", 1.0)
    return product + beta * shift


@_operator("Concat")
def _concat(a: Attributes, *parts: Any) -> Any:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts, axis=a["axis"])
    return torch.cat(parts, a["axis"])


@_operator("Shape")
def _shape(a: Attributes, x: Any) -> Any:
    return np.array(x.shape[a.get("start", 0) : a.get("end", len(x.shape))], np.int64)


@_operator("Expand")
def _expand(a: Attributes, x: Tensor, shape: Any) -> Tensor:
    return x.expand(*np.broadcast_shapes(tuple(x.shape), tuple(int(n) for n in shape)))


@_operator("Reshape")
def _reshape(a: Attributes, x: Tensor, shape: Any) -> Tensor:
    keep = not a.get("allowzero", 0)
    return x.reshape([x.shape[i] if n == 0 and keep else int(n) for i, n in enumerate(shape)])


@_operator("Unsqueeze")
def _unsqueeze(a: Attributes, x: Any, axes: Any) -> Any:
    for axis in sorted(int(n) for n in axes):
        x = np.expand_dims(x, axis) if isinstance(x, np.ndarray) else x.unsqueeze(axis)
    return x


@_operator("Squeeze")
def _squeeze(a: Attributes, x: Any, axes: Any) -> Any:
    for axis in sorted((int(n) for n in axes), reverse=True):
        x = x.squeeze(axis)
    return x


@_operator("ReduceMean")
def _reduce_mean(a: Attributes, x: Tensor, axes: Any) -> Tensor:
    return x.mean([int(n) for n in axes], keepdim=bool(a.get("keepdims", 1)))


@_operator("ReduceSum")
def _reduce_sum(a: Attributes, x: Tensor, axes: Any) -> Tensor:
    return x.sum([int(n) for n in axes], keepdim=bool(a.get("keepdims", 1)))


@_operator("ReduceMax")
def _reduce_max(a: Attributes, x: Tensor, axes: Any) -> Tensor:
    return x.amax([int(n) for n in axes], keepdim=bool(a.get("keepdims", 1)))


@_operator("Resize")
def _resize(a: Attributes, x: Tensor, roi: None, scales: None, sizes: Any) -> Tensor:
    return functional.interpolate(x, [int(n) for n in sizes[-2:]], mode="bilinear", align_corners=False)


@_operator("Pad")
def _pad(a: Attributes, x: Tensor, pads: Any, value: Tensor | None = None) -> Tensor:
    half = len(pads) // 2
    sides = [int(n) for i in reversed(range(half)) for n in (pads[i], pads[half + i])]
    return functional.pad(x, sides, value=0.0 if value is None else float(value))


def _pads(a: Attributes) -> tuple[list[int], list[int]]:
    pads = a.get("pads", [0, 0, 0, 0])
    return list(pads[:2]), list(pads[2:])


def _padded(a: Attributes, x: Tensor, value: float) -> tuple[Tensor, list[int]]:
    """PyTorch pads both sides alike; what differs is padded beforehand."""
    before, after = _pads(a)
    if before == after:
        return x, before
    return functional.pad(x, [before[1], after[1], before[0], after[0]], value=value), [0, 0]
