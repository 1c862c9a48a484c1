"""Arguments and options that several commands share, and their exit statuses."""

from pathlib import Path
from typing import Annotated

import typer

FAILED_FILES = 3
USER_ERROR = 2

Data = Annotated[
    Path, typer.Argument(help="Class folders, train/ val/ test/ above them, or a CSV with path,label.")
]
Model = Annotated[Path, typer.Option("--model", "-m", help="A run folder or a model.onnx.")]
RecipeName = Annotated[str, typer.Option(help="A recipe's name or TOML file; see 'lungscope recipes'.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")
]
Weights = Annotated[str, typer.Option(help="imagenet (downloaded by timm), none, or a safetensors FILE.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a former run in --out.")]
Leakage = Annotated[
    bool, typer.Option("--allow-leakage", help="Train even if a patient stands in two splits.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Runtime = Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
