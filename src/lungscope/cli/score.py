"""`lungscope score`."""

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from lungscope.cli.options import FAILED_FILES, Model, PrecisionName, Runtime, chosen_model
from lungscope.cli.tables import stdout


def score(
    source: Annotated[
        str, typer.Argument(help="A folder, a list of paths (.txt, .csv, .parquet), or s3://, gs://, ...")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet parts and summary.json.")],
    model: Model = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the scores in --out.")] = False,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Only part I of N, from 1; all may share --out.")] = "1/1",
    operating_point: Annotated[str | None, typer.Option(help="One of the model's; see 'lungscope describe'.")] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Of a Ray cluster that runs already.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Ray actors; one per processor by default.")] = None,
    adapt_prior: Annotated[
        bool, typer.Option("--adapt-prior", help="Also correct for the prevalence these files suggest.")
    ] = False,
    part_rows: Annotated[int, typer.Option(min=1, help="Files in one part.")] = 10_000,
    runtime: Runtime = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Classify up to millions of files into Parquet, a row each; a bad file is a row with its reason (exit 3).

    Example: lungscope score s3://bucket/chest --model runs/first --out scores --shard 2/16 --resume
    """
    from lungscope.scoring import job
    from lungscope.scoring.listing import parse_shard
    from lungscope.scoring.summary import lines

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop keeps what is scored
    settings = job.Settings(
        operating_point=operating_point, shard=parse_shard(shard), resume=resume, engine=engine,
        rows_per_part=part_rows, runtime=runtime, precision=precision, workers=workers, address=ray_address,
        adapt_prior=adapt_prior,
    )  # fmt: skip
    summary = job.run_score(source, chosen_model(model), out, settings)
    stdout.print(*lines(summary, out), sep="\n")
    if summary.failed:
        raise typer.Exit(FAILED_FILES)
