"""`lungscope ensemble`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lungscope.cli.evaluate import print_evaluation
from lungscope.cli.options import Force


def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders of one split.")],
    out: Annotated[Path, typer.Option(help="The run folder to fill.")],
    average: Annotated[
        Literal["logits", "weights"],
        typer.Option(help="What to average. Weights of one recipe: as small and fast as one member."),
    ] = "logits",
    force: Force = False,
) -> None:
    """Average models of one split into one: a single graph, calibrated again and evaluated.

    Example: lungscope ensemble comparison/default/seed-0 comparison/default/seed-1 --out runs/ensemble
    """
    from lungscope.experiments.ensemble import build_ensemble
    from lungscope.experiments.weight_average import average_weights

    build = average_weights if average == "weights" else build_ensemble
    print_evaluation(build(runs, out, force=force))
