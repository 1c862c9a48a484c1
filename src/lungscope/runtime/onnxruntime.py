"""ONNX Runtime on the processor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lungscope.runtime.engine import Engine


class OnnxSession:
    """Any bundle, in fp32."""

    def __init__(self, graph: bytes, engine: Engine, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A waiting thread that spins takes the core that a decoder needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads == 1 else "1")
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._inputs = [argument.name for argument in self._session.get_inputs()]
        self.outputs = tuple(argument.name for argument in self._session.get_outputs())
        self.engine = engine

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """See `Session`."""
        feed = dict(zip(self._inputs, inputs, strict=True))
        results: list[NDArray[np.float32]] = self._session.run(list(outputs), feed)
        return results
