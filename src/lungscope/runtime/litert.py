"""LiteRT (TensorFlow Lite) on the processor: what phones run, compared with the original before it leaves."""

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import RuntimeUnavailable
from lungscope.runtime.engine import Engine


class LiteRtSession:
    """One image at a time, as on a phone; every calling thread has its own interpreter."""

    def __init__(self, graph: bytes, engine: Engine, threads: int) -> None:
        if find_spec("ai_edge_litert") is None:
            raise RuntimeUnavailable("LiteRT is not installed. Run: pip install 'lungscope[export]'.")
        self._graph, self._threads = graph, threads
        self._runners = threading.local()
        self.engine = engine
        self.outputs = tuple(self._runner().get_output_details())

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """See `Session`."""
        (images,) = inputs
        runner = self._runner()
        found = [runner(image=images[i : i + 1]) for i in range(len(images))]
        return [np.concatenate([each[name] for each in found]) for name in outputs]

    def _runner(self) -> Any:
        runner = getattr(self._runners, "runner", None)
        if runner is None:
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter(model_content=self._graph, num_threads=self._threads)
            runner = self._runners.runner = interpreter.get_signature_runner("serving_default")
        return runner
