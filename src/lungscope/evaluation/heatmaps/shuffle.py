"""A bundle whose weights are put in disorder, to see whether its heat maps depend on what was learned.

The weights stand in the graph as raw bytes, so they are shuffled in place: no library that trains or exports
is needed, every bundle can be checked wherever it is evaluated, and it is the shipped graph that is checked.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle
from lungscope.bundle.protobuf import message_fields
from lungscope.errors import BundleError

# Field numbers of onnx.proto.
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_FLOAT = b"\x01"
HEAD = "tail/"
"""Begins the names of everything behind the pooled features, after the prefix of an ensemble's member."""


@dataclass(frozen=True)
class _Node:
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class _Tensor:
    name: str
    depth: int
    values: NDArray[np.float32]
    """Its numbers where they stand in the graph."""


def shuffle_weights(bundle: Bundle, share: float, seed: int) -> Bundle:
    """Shuffle the weights behind a heat map, the last layers first (cascading, Adebayo et al. 2018).

    The numbers of a layer stay the same, only their places change: activations keep their size, so that
    what is compared is what was learned and not how large it is. Norms and biases stay.

    Args:
        bundle: the model; it is left as it is.
        share: of the layers below the head that are shuffled with it, 0..1, the deepest first.
        seed: of the shuffling.

    Raises:
        BundleError: the graph holds no weights.
    """
    content = bytearray(bundle.graph)
    found = _weights(content)
    if not found:
        raise BundleError(f"{bundle.path}: the graph holds no weights that can be shuffled. Export it again.")
    head = [each for each in found if HEAD in each.name]
    below = sorted((each for each in found if HEAD not in each.name), key=lambda each: -each.depth)
    rng = np.random.default_rng(seed)
    for each in (*head, *below[: round(share * len(below))]):
        rng.shuffle(each.values)
    return replace(bundle, graph=bytes(content))


def _weights(content: bytearray) -> list[_Tensor]:
    """Arrays of more than one axis that the heat map depends on, each once."""
    graphs = [value for number, value in message_fields(content) if number == _MODEL_GRAPH]
    parts = [part for graph in graphs for part in message_fields(graph)]
    nodes = [_node(value) for number, value in parts if number == _GRAPH_NODE]
    depths = _depths(nodes, _needed(nodes, "heatmap"))
    tensors = (_tensor(value, depths) for number, value in parts if number == _GRAPH_INITIALIZER)
    return [each for each in tensors if each is not None]


def _node(message: memoryview) -> _Node:
    fields = list(message_fields(message))
    return _Node(
        tuple(str(value, "utf-8") for number, value in fields if number == _NODE_INPUT),
        tuple(str(value, "utf-8") for number, value in fields if number == _NODE_OUTPUT),
    )


def _needed(nodes: list[_Node], output: str) -> set[str]:
    """Names that `output` depends on; ONNX keeps nodes in the order of computation."""
    needed = {output}
    for node in reversed(nodes):
        if needed & set(node.outputs):
            needed |= set(node.inputs)
    return needed


def _depths(nodes: list[_Node], needed: set[str]) -> dict[str, int]:
    """How many steps into the graph each needed name is used first."""
    made: dict[str, int] = {}
    used: dict[str, int] = {}
    for node in nodes:
        depth = 1 + max((made.get(name, 0) for name in node.inputs), default=0)
        made.update(dict.fromkeys(node.outputs, depth))
        for name in needed.intersection(node.inputs):
            used[name] = min(depth, used.get(name, depth))
    return used


def _tensor(message: memoryview, depths: dict[str, int]) -> _Tensor | None:
    fields = list(message_fields(message))
    by_number = dict(fields)
    name = str(by_number.get(_TENSOR_NAME, b""), "utf-8")
    axes = sum(number == _TENSOR_DIMS for number, _ in fields)
    if (
        name not in depths
        or axes < 2
        or bytes(by_number.get(_TENSOR_TYPE, b"")) != _FLOAT
        or _TENSOR_RAW not in by_number
    ):
        return None
    return _Tensor(name, depths[name], np.frombuffer(by_number[_TENSOR_RAW], np.float32))
