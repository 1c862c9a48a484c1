"""The bundle's graph as one ONNX file: as it is, of another opset, or in int8."""

from importlib.util import find_spec
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import ConfigError, RuntimeUnavailable
from lungscope.export.artefact import Artefact
from lungscope.export.quantise import kept, quantise


def to_onnx(graph: bytes, opset: int | None = None) -> Artefact:
    """The graph without the bundle's card and checksum.

    Args:
        graph: ONNX, of a bundle.
        opset: another version of the operators; None for the graph's own.

    Raises:
        ConfigError: the graph has an operator that cannot be expressed in that opset.
    """
    model = _load(graph)
    own = model.opset_import[0].version
    if opset not in (None, own):
        from onnx import version_converter

        try:
            model = version_converter.convert_version(model, opset)
        except Exception as error:  # the converter raises RuntimeError and its own kinds
            raise ConfigError(
                f"--opset {opset}: the graph cannot be expressed in it ({str(error).splitlines()[0][:120]}). "
                f"Leave it out for opset {own}."
            ) from None
    return Artefact(_bytes(model), f"ONNX opset {opset or own}")


def to_onnx_int8(graph: bytes, calibration: NDArray[np.uint8], share: float) -> Artefact:
    """Quantise with a share of the convolutions left in fp32; see `to_openvino_int8`."""
    model = _load(graph)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    first = kept(convolutions, share)
    quantised = quantise(model, calibration, first, feed=model.graph.input[0].name)
    import nncf

    return Artefact(
        _bytes(quantised),
        f"ONNX opset {quantised.opset_import[0].version}, NNCF {nncf.__version__} post-training quantisation on "
        f"{len(calibration)} images; the first {len(first)} of {len(convolutions)} convolutions and the head stay in "
        "fp32",
    )


def _load(graph: bytes) -> Any:
    if find_spec("onnx") is None:
        raise RuntimeUnavailable("ONNX is not installed. Run: pip install 'lungscope[export]'.")
    import onnx

    model = onnx.load_from_string(graph)
    model.ClearField("metadata_props")
    return model


def _bytes(model: Any) -> bytes:
    import onnx

    model.ClearField("metadata_props")
    onnx.checker.check_model(model)
    return cast(bytes, model.SerializeToString(deterministic=True))
