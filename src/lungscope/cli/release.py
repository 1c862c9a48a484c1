"""`lungscope release`."""

from pathlib import Path
from typing import Annotated

import typer

from lungscope.cli.options import OutOfDistribution
from lungscope.cli.tables import stdout


def release(
    run: Annotated[Path, typer.Argument(help="A run folder, with its images where they were.")],
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and card.md.")],
    statement: Annotated[Path, typer.Option(help="TOML: origin, licence, attribution, limits, in words.")],
    command: Annotated[str, typer.Option(help="The command that made the run, for the card.")],
    hardware: Annotated[str, typer.Option(help="What it was made on, for the card.")],
    ood: OutOfDistribution = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a former model in --out.")] = False,
) -> None:
    """Make a model to be passed on: one file of 10 MB at most with checksum and origin inside, and its card.

    The model that Lungscope itself brings is made so. What may not be passed on, or lacks an input check, is refused.

    Example: lungscope release runs/first --out passed-on --statement statement.toml --command 'lungscope train DATA'
    --hardware '2 cores'
    """
    from lungscope.bundle.provenance import read_statement
    from lungscope.experiments.release import Provenance, release_model

    done = release_model(run, out, read_statement(statement), Provenance(command, hardware), ood=ood or (), force=force)
    stdout.print(f"{done.bundle.path}: {len(done.bundle.graph):,} bytes, SHA-256 {done.bundle.sha256}")
    stdout.print(f"Card: {done.card}; AUROC {done.evaluated.evaluation.auroc} on the {done.evaluated.split} split.")
    if done.missing_statements:
        stdout.print(f"The statement says nothing of: {', '.join(done.missing_statements)}.")
