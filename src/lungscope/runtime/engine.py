"""The choice of runtime and precision, one for every entry point of a machine."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lungscope.errors import ConfigError, RuntimeUnavailable

RuntimeName = Literal["onnxruntime", "openvino", "litert"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]


@dataclass(frozen=True)
class Engine:
    """Which library runs the graph and how it computes."""

    runtime: RuntimeName
    precision: Precision

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


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
        raise RuntimeUnavailable("bf16 needs OpenVINO and a processor with AMX or AVX-512 BF16. Use --precision fp32.")
    fast = bf16 and precision != "fp32" and (bf16_allowed or precision == "bf16")
    if fast and runtime != "onnxruntime":
        return Engine("openvino", "bf16")
    return Engine("openvino" if runtime == "openvino" else "onnxruntime", "fp32")
