"""Running a graph: ONNX Runtime or OpenVINO, one choice of runtime and precision for every entry point of a machine."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lungscope.errors import BundleError, ConfigError, RuntimeUnavailable

RuntimeName = Literal["onnxruntime", "openvino", "litert"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]


@dataclass(frozen=True)
class Engine:
    """Which library runs the graph and how it computes."""

    runtime: RuntimeName
    precision: Precision

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


class Session(Protocol):
    """A loaded graph; `run` may be called from several threads at once."""

    engine: Engine
    outputs: tuple[str, ...]
    """Names of all that the graph puts out."""

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Feed the graph's inputs in their order and return the named outputs in theirs."""
        ...


def processor_has_bf16() -> bool:
    """Whether matrix products in bfloat16 run in hardware here (AMX or AVX-512 BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def has_bf16() -> bool:
    """Whether OpenVINO is installed and can compute in bfloat16 here."""
    return find_spec("openvino") is not None and processor_has_bf16()


def usable_cores() -> int:
    """Processors this process may use, which a container can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_engine(runtime: str = "auto", precision: str = "auto", *, bf16_allowed: bool = False) -> Engine:
    """The engine of this machine.

    `auto` is OpenVINO in bf16 where the processor has it, OpenVINO is installed and the bundle's parity
    record allows it; everywhere else ONNX Runtime in fp32, which measures as fast as OpenVINO's fp32.

    Raises:
        ConfigError: an unknown name, or a precision the runtime does not have.
        RuntimeUnavailable: the runtime asked for is not installed.
    """
    if runtime not in ("auto", "onnxruntime", "openvino"):
        raise ConfigError(f"Runtime {runtime!r} is unknown. Choose auto, onnxruntime or openvino.")
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"Precision {precision!r} is unknown. Choose auto, fp32 or bf16.")
    if runtime == "onnxruntime" and precision == "bf16":
        raise ConfigError("ONNX Runtime computes in fp32 here. Use --runtime openvino for bf16.")
    if runtime == "openvino" and find_spec("openvino") is None:
        raise RuntimeUnavailable("OpenVINO is not installed. Run: pip install 'lungscope[openvino]'.")
    bf16 = has_bf16()
    if precision == "bf16" and not bf16:
        raise RuntimeUnavailable(
            "bf16 needs OpenVINO and a processor with AMX or AVX-512 BF16. Use --precision fp32."
        )
    fast = bf16 and precision != "fp32" and (bf16_allowed or precision == "bf16")
    if fast and runtime != "onnxruntime":
        return Engine("openvino", "bf16")
    return Engine("openvino" if runtime == "openvino" else "onnxruntime", "fp32")


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
        if engine.runtime == "openvino":
            return OpenVinoSession(graph, engine, threads, weights)
        if engine.runtime == "litert":
            from lungscope.runtime.litert import LiteRtSession

            return LiteRtSession(graph, engine, threads)
        return OnnxSession(graph, engine, threads)
    except RuntimeUnavailable:
        raise
    except Exception as error:  # each runtime raises its own kinds, some of them plain RuntimeError
        raise BundleError(
            f"{engine.runtime} cannot load the graph ({str(error)[:120]}). Export it again."
        ) from error


class OnnxSession:
    """ONNX Runtime on the processor."""

    def __init__(self, graph: bytes, engine: Engine, threads: int) -> None:
        import onnxruntime

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


class OpenVinoSession:
    """OpenVINO on the processor; every calling thread has its own infer request."""

    def __init__(self, graph: bytes, engine: Engine, threads: int, weights: bytes = b"") -> None:
        import openvino

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
