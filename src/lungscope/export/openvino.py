"""ONNX → OpenVINO's own form (IR): fp32, fp16 weights, bf16 by hint, int8."""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.card import Card, card_json
from lungscope.errors import RuntimeUnavailable
from lungscope.export.artefact import Artefact
from lungscope.export.quantise import kept, quantise
from lungscope.runtime.engine import Precision

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def to_openvino(graph: bytes, precision: Precision) -> Artefact:
    """Convert an ONNX graph; `bf16` gives the file of fp32, as its runtime rounds on its own.

    Raises:
        RuntimeUnavailable: OpenVINO is not installed.
    """
    how = {
        "fp16": ", weights stored in fp16, computed in fp32",
        "bf16": ", computed in bf16 by inference precision hint",
    }
    return _artefact(_convert(graph), how.get(precision, ""), half=precision == "fp16")


def to_openvino_int8(graph: bytes, calibration: NDArray[np.uint8], share: float) -> Artefact:
    """Convert and quantise, with a share of the convolutions left in fp32.

    Args:
        graph: ONNX.
        calibration: (N, S, S).
        share: of the convolutions, from the image on.
    """
    model = _convert(graph)
    convolutions = [
        operation.get_friendly_name()
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in CONVOLUTIONS
    ]
    first = kept(convolutions, share)
    quantised = quantise(model, calibration, first)
    import nncf

    return _artefact(
        quantised,
        f", NNCF {nncf.__version__} post-training quantisation on {len(calibration)} images; the first {len(first)} "
        f"of {len(convolutions)} convolutions and the head stay in fp32",
    )


def with_card(artefact: Artefact, card: Card) -> Artefact:
    """The same graph with the card in its `rt_info`, for whoever has only the XML."""
    import openvino

    model = openvino.Core().read_model(model=artefact.graph, weights=artefact.weights)
    source = card.export.source_sha256 if card.export else ""
    model.set_rt_info(source, ["lungscope", "source_sha256"])
    model.set_rt_info(card_json(card), ["lungscope", "card"])
    xml, weights = _serialise(model)
    return Artefact(xml, artefact.made_by, weights)


def _convert(graph: bytes) -> Any:
    if find_spec("openvino") is None:
        raise RuntimeUnavailable("OpenVINO is not installed. Run: pip install 'lungscope[export]'.")
    import openvino

    # Unlike `read_model` it folds the constants first; quantisation would take the wrong axis of grouped weights.
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(graph)
        return openvino.convert_model(path)


def _artefact(model: Any, how: str, *, half: bool = False) -> Artefact:
    import openvino

    release = openvino.__version__.split("-")[0]
    xml, weights = _serialise(model, half=half)
    return Artefact(xml, f"OpenVINO {release}{how}", weights)


def _serialise(model: Any, *, half: bool = False) -> tuple[bytes, bytes]:
    import openvino

    with TemporaryDirectory() as folder:
        path = Path(folder, "model.xml")
        openvino.save_model(model, path, compress_to_fp16=half)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()
