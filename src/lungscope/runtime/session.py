"""A loaded graph, whatever runs it."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import BundleError, RuntimeUnavailable
from lungscope.runtime.engine import Engine


class Session(Protocol):
    """A loaded graph; `run` may be called from several threads at once."""

    engine: Engine
    outputs: tuple[str, ...]
    """Names of all that the graph puts out."""

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Feed the graph's inputs in their order and return the named outputs in theirs."""
        ...


def open_session(graph: bytes, engine: Engine, *, threads: int, weights: bytes = b"") -> Session:
    """Load a graph from memory.

    Args:
        graph: an ONNX model; for OpenVINO also its own XML, for LiteRT a TFLite model.
        engine: which runtime and precision.
        threads: processors one call of `run` may use. For throughput, open with one and call `run` from
            as many threads as there are cores: no core then waits for another.
        weights: what OpenVINO's XML refers to.

    Raises:
        BundleError: the runtime cannot load the graph.
    """
    try:
        match engine.runtime:  # each library is loaded only where it is used
            case "openvino":
                from lungscope.runtime.openvino import OpenVinoSession

                return OpenVinoSession(graph, engine, threads, weights)
            case "litert":
                from lungscope.runtime.litert import LiteRtSession

                return LiteRtSession(graph, engine, threads)
            case "onnxruntime":
                from lungscope.runtime.onnxruntime import OnnxSession

                return OnnxSession(graph, engine, threads)
    except RuntimeUnavailable:
        raise
    except Exception as error:  # each runtime raises its own kinds, some of them plain RuntimeError
        raise BundleError(f"{engine.runtime} cannot load the graph ({str(error)[:120]}). Export it again.") from error
