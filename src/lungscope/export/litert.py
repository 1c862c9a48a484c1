"""ONNX → LiteRT (TensorFlow Lite), by Google's converter from PyTorch."""

from importlib.metadata import version
from importlib.util import find_spec

from lungscope.errors import RuntimeUnavailable
from lungscope.export.artefact import Artefact
from lungscope.runtime.engine import Precision


def to_litert(graph: bytes, precision: Precision, size: int) -> Artefact:
    """Convert an ONNX graph for one image at a time.

    Args:
        graph: ONNX, of a bundle.
        precision: fp32 or int8.
        size: side of the images.

    Raises:
        RuntimeUnavailable: the converter is not installed.
    """
    if find_spec("litert_torch") is None:
        raise RuntimeUnavailable(
            "The LiteRT converter is not installed. It keeps to older releases of PyTorch, so give it an environment "
            "of its own: pip install 'lungscope[litert]'."
        )
    from lungscope.export import litert_converter as litert

    model, made_by = litert.convert(graph, size), f"litert-torch {version('litert-torch')}"
    if precision == "int8":
        quantiser = f"ai-edge-quantizer {version('ai-edge-quantizer')}"
        how = "weights in int8 but those of depthwise convolutions, activations rounded as they come"
        return Artefact(litert.int8(model), f"{made_by}, {quantiser}, {how}")
    return Artefact(model, made_by)
