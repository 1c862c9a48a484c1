"""Arguments and options that several commands share, and their exit statuses."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.errors import ConfigError

if TYPE_CHECKING:
    from lungscope.data.dataset import DataSource

FAILED_FILES = 3
USER_ERROR = 2

Data = Annotated[Path, typer.Argument(help="Class folders, train/ val/ test/ above them, or a CSV with path,label.")]
PatientPattern = Annotated[
    str, typer.Option(help=r"Regular expression whose groups are the patient in a file name: '^(p\d+)_'.")
]
LabelPattern = Annotated[str, typer.Option(help="The same whose first group is the label: '_(bacteria|virus)_'.")]
Model = Annotated[
    Path | None, typer.Option("--model", "-m", help="A run folder or a model.onnx; without it the bundled model.")
]
RecipeName = Annotated[str, typer.Option(help="A recipe's name or TOML file; see 'lungscope recipes'.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")
]
Weights = Annotated[str, typer.Option(help="imagenet (downloaded by timm), none, or a safetensors FILE.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a former run in --out.")]
Leakage = Annotated[bool, typer.Option("--allow-leakage", help="Train even if a patient stands in two splits.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Runtime = Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
OutOfDistribution = Annotated[
    list[Path] | None,
    typer.Option("--ood", help="Folder of other images that the input check should reject; repeatable."),
]
ErrorRate = Annotated[
    float | None, typer.Option(help="Add the set of classes that misses the true one so seldom, e.g. 0.1.")
]


def data_source(path: Path, patient_pattern: str, label_pattern: str) -> "DataSource":
    """Where the data of a command lie, and how to read their names."""
    from lungscope.data.dataset import DataSource

    return DataSource(path, patient_pattern, label_pattern)


def settings(overrides: Sequence[str] | None, patient_pattern: str, label_pattern: str) -> list[str]:
    """`--set`, and the two patterns as the settings of a recipe that they are."""
    patterns = {"patient_pattern": patient_pattern, "label_pattern": label_pattern}
    return [*(overrides or ()), *(f"data.{name}={text}" for name, text in patterns.items() if text)]


def chosen_point(operating_point: str | None, threshold: float | None) -> str | None:
    """The operating point that two options name: one of the model's, a goal, or a threshold.

    Raises:
        ConfigError: both are given, or the threshold is no probability.
    """
    if threshold is None:
        return operating_point
    if operating_point is not None:
        raise ConfigError("--threshold and --operating-point both say where to flag. Leave one of them out.")
    if not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold {threshold:g} is not a probability. Give one from 0 to 1.")
    return f"{threshold:.9f}".rstrip("0").rstrip(".")


def chosen_model(named: Path | None, how: str = "--model RUN") -> Path:
    """The model a command uses: the one named, else the bundled one, which standard error says.

    Args:
        named: a run folder or a model file; None when the user named none.
        how: the way to name one, for the message.

    Raises:
        BundleError: none is named and none is bundled.
    """
    if named is not None:
        return named
    from lungscope.bundle.bundle import read_card
    from lungscope.bundle.default_model import bundled_model, introduction
    from lungscope.system.progress import note

    path = bundled_model(how)
    note(introduction(read_card(path)))
    return path
