"""OpenVINO on the processor."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from lungscope.runtime.engine import Engine, usable_cores


class OpenVinoSession:
    """Any bundle, and exports as XML; every calling thread has its own infer request."""

    def __init__(self, graph: bytes, engine: Engine, threads: int, weights: bytes = b"") -> None:
        # Two threads that are the first to look into tensors block each other for ever: one waits for the
        # interpreter's lock, the other for the one-time initialisation behind `data`. So one does it here.
        _ = openvino.Tensor(np.zeros(1, np.uint8)).data
        core = openvino.Core()
        streams = max(1, usable_cores() // threads)
        self._model = core.compile_model(
            core.read_model(model=graph, weights=weights),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if engine.precision == "bf16" else "f32",
                "NUM_STREAMS": str(streams),
                "INFERENCE_NUM_THREADS": threads * streams,
            },
        )
        self._requests = threading.local()
        self.outputs = tuple(output.get_any_name() for output in self._model.outputs)
        self.engine = engine

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """See `Session`."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._model.create_infer_request()
        request.infer(dict(enumerate(inputs)))
        return [np.array(request.get_tensor(name).data) for name in outputs]
