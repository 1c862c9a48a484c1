"""Post-training quantisation to int8 by NNCF, for OpenVINO's and ONNX's graphs.

The head, the calibration and the heat map stay in floating point, and so do the first convolutions: their channels
differ most in range, and a few of them cost little time. How many is found by trying (`SHARES`).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import RuntimeUnavailable

SHARES = (0.05, 0.15, 0.3, 0.5)
"""Of the convolutions, counted from the image, that stay in floating point: tried in this order until it holds."""
CALIBRATION_IMAGES = 300
TAILS = ("tail/.*", ".*/tail/.*")
"""Names of the nodes after the features, alone and in an ensemble."""


def kept(convolutions: Sequence[str], share: float) -> list[str]:
    """The first convolutions, which stay in floating point; at least both of the stem."""
    return list(convolutions[: max(2, round(share * len(convolutions)))])


def spread(pixels: NDArray[np.uint8], n: int = CALIBRATION_IMAGES) -> NDArray[np.uint8]:
    """At most `n` images (N, S, S) from all over a set."""
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(n, len(pixels))).round().astype(int))
    return np.ascontiguousarray(pixels[rows])


def quantise(model: Any, calibration: NDArray[np.uint8], ignored: Sequence[str], feed: str = "") -> Any:
    """Quantise a model's weights and activations.

    Args:
        model: of OpenVINO or ONNX.
        calibration: (N, S, S), images that ranges of activations are taken from.
        ignored: names of nodes that stay in floating point.
        feed: name of the input, where the runtime wants images by name.

    Raises:
        RuntimeUnavailable: NNCF is not installed.
    """
    if find_spec("nncf") is None:
        raise RuntimeUnavailable("int8 needs NNCF. Run: pip install 'lungscope[export]'.")
    with _quiet():
        import nncf
        from nncf.quantization.advanced_parameters import QuantizationParameters

        images = [calibration[i : i + 1] for i in range(len(calibration))]
        return nncf.quantize(
            model,
            nncf.Dataset([{feed: image} for image in images] if feed else images),
            subset_size=len(images),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                # Weights of 7 bits: processors without VNNI add pairs of products in 16 bits, which 8 would overflow.
                overflow_fix=nncf.OverflowFix.ENABLE,
                # ONNX Runtime has one scale for all channels of an activation, also before depthwise convolutions.
                activations_quantization_params=QuantizationParameters(per_channel=False) if feed else None,
            ),
            target_device=nncf.TargetDevice.CPU,
            ignored_scope=nncf.IgnoredScope(names=list(ignored), patterns=list(TAILS), validate=False),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back NNCF's progress bars and notes, and those of the PyTorch it looks for; errors still come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(level)
