"""A graph → LiteRT (TensorFlow Lite) by Google's litert-torch and ai-edge-quantizer, one image at a time."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lungscope.export.onnx_to_torch import GraphModule


def convert(graph: bytes, size: int) -> bytes:
    """A TFLite model of one signature: `image` uint8 (1, S, S) → every output of the graph by name.

    Args:
        graph: ONNX, of a bundle.
        size: S.
    """
    example = torch.zeros(1, size, size, dtype=torch.uint8)
    with _quiet(), TemporaryDirectory() as folder, torch.no_grad():
        import litert_torch

        path = Path(folder, "model.tflite")
        litert_torch.convert(GraphModule(graph).eval(), sample_kwargs={"image": example}).export(str(path))
        return path.read_bytes()


def int8(model: bytes) -> bytes:
    """The same with the weights of convolutions and dense layers in int8, and activations rounded as they come.

    Depthwise convolutions stay as they are: the interpreter has no such kernel for them, and they are small.
    """
    with _quiet():
        from ai_edge_quantizer import quantizer, recipe, recipe_manager

        recipes = recipe_manager.RecipeManager()
        for operation in (recipe.TFLOperationName.CONV_2D, recipe.TFLOperationName.FULLY_CONNECTED):
            recipes.add_dynamic_config(regex=".*", operation_name=operation, num_bits=8)
        found = quantizer.Quantizer(model, recipes.get_quantization_recipe()).quantize(
            enable_progress_bar=False, enable_progress_report=False
        )
        return bytes(found.quantized_model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the converter prints; its errors still come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    held = io.StringIO()
    try:
        with contextlib.redirect_stdout(held), contextlib.redirect_stderr(held), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
