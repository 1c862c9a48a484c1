"""What an exported model says of itself: format, precision, and how far it is from the model it was made of."""

from dataclasses import dataclass
from typing import Literal, get_args

from lungscope.errors import ConfigError
from lungscope.runtime.engine import Engine, Precision, RuntimeName, choose_engine, has_bf16

Format = Literal["onnx", "openvino", "litert"]
FORMATS: tuple[Format, ...] = get_args(Format)
RUNTIMES: dict[Format, RuntimeName] = {"onnx": "onnxruntime", "openvino": "openvino", "litert": "litert"}
"""Which library runs a format."""


@dataclass(frozen=True)
class Flips:
    """Images on the other side of a decision than with the original."""

    decision: str
    """An operating point, or "assessed" for the input check."""
    images: int


@dataclass(frozen=True)
class OutputDifference:
    """Root of the mean square difference of one output, divided by the root mean square of the original's."""

    output: str
    relative: float


@dataclass(frozen=True)
class Agreement:
    """An export compared with the model it was made of, on the same images, each in its own runtime."""

    images: int
    largest_difference: float
    """Of any probability."""
    flips: tuple[Flips, ...]
    auroc: float
    """Of the export, on these images."""
    auroc_difference: float
    """Export minus original; of several classes the one that differs most."""
    outputs: tuple[OutputDifference, ...]

    def of(self, output: str) -> float:
        """Relative difference of an output; 0 when the graph has none of that name."""
        return next((each.relative for each in self.outputs if each.output == output), 0.0)


@dataclass(frozen=True)
class Export:
    """Kept in the card of an exported model."""

    format: Format
    precision: Precision
    source_sha256: str
    """Of the model it was made of."""
    made_by: str
    """Tools and settings, in plain words."""
    agreement: Agreement | None = None
    """Missing only until it has been measured."""

    def __str__(self) -> str:
        text = f"{self.format} {self.precision} of model {self.source_sha256[:12]}…, {self.made_by}"
        if found := self.agreement:
            flips = ", ".join(f"{each.images} at {each.decision}" for each in found.flips)
            text += (
                f"; on {found.images} validation images largest |Δp| {found.largest_difference:.1e}, AUROC "
                f"{found.auroc_difference:+.4f}, decisions flipped: {flips}"
            )
        return text

    @property
    def is_bundle(self) -> bool:
        """Whether it runs as the original does: in every runtime, in fp32."""
        return self.format == "onnx" and self.precision == "fp32"


def export_engine(export: Export, runtime: str = "auto", precision: str = "auto") -> Engine:
    """The engine of an exported model: the one it was checked with.

    An export for bf16 computes in fp32 on a processor without it, which is closer to the original.

    Raises:
        ConfigError: another runtime or precision is asked for.
        RuntimeUnavailable: the runtime is not installed.
    """
    if export.is_bundle:
        return choose_engine(runtime, precision)
    own = RUNTIMES[export.format]
    if runtime not in ("auto", own) or precision not in ("auto", export.precision):
        raise ConfigError(
            f"The model is an export for {own} in {export.precision} and was only checked there. Leave --runtime and "
            "--precision out, or name the run it was made of."
        )
    if own != "litert":
        choose_engine(own)  # refuses where it is not installed
    if export.precision == "bf16" and not has_bf16():
        return Engine(own, "fp32")
    return Engine(own, export.precision)
