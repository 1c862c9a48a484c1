"""The command line. Commands are short and import what is heavy only when they run.

Exit status: 0 success; 2 a user's error, told in one line; 3 a folder was processed but some files failed.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from lungscope import __version__
from lungscope.cli import bench as cli_bench
from lungscope.cli import export as cli_export
from lungscope.cli import methods as cli_methods
from lungscope.cli import release as cli_bundle
from lungscope.cli import robustness as cli_robust
from lungscope.cli import score as cli_score
from lungscope.cli.options import (
    FAILED_FILES,
    USER_ERROR,
    Data,
    Device,
    ErrorRate,
    Force,
    Json,
    Leakage,
    Model,
    Overrides,
    PrecisionName,
    RecipeName,
    Runtime,
    Weights,
    chosen_model,
    chosen_point,
)
from lungscope.errors import LungscopeError, RuntimeUnavailable

app = typer.Typer(
    help="Chest X-ray classification that can be checked, trusted and run. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for phantoms, run and heat maps.")] = Path("demo"),
    data: Annotated[Path | None, typer.Option(help="A folder of your own instead of phantoms.")] = None,
    weights: Weights = "auto",
    force: Force = False,
) -> None:
    """Do the whole main job on synthetic radiographs: make, train, evaluate, predict, report.

    Example: lungscope demo --out demo
    """
    from lungscope.experiments.demo import run_demo

    run_demo(out, data, weights, force=force)


@app.command()
def audit(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.json and audit.html.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 when there is leakage.")] = False,
    as_json: Json = False,
) -> None:
    """Look for what makes figures lie: copies, patients in two splits, shortcuts, unreadable files, imbalance.

    Example: lungscope audit chest_xray --strict --out audit
    """
    from lungscope.cli import show_audit
    from lungscope.data.audit.inspection import inspect

    found = inspect(data)
    page = show_audit.write(found, out) if out else None
    show_audit.inspection(found, page, as_json=as_json)
    if strict and found.report.leaks:
        raise typer.Exit(USER_ERROR)


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to fill.")] = Path("runs/default"),
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    weights: Weights = "imagenet",
    device: Device = "auto",
    force: Force = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after a run in --out that was stopped.")
    ] = False,
    allow_leakage: Leakage = False,
) -> None:
    """Audit, split, train, calibrate, export and evaluate; everything ends up in the run folder.

    Example: lungscope train chest_xray --set finetune.epochs=3 --out runs/first
    """
    from lungscope.cli import show
    from lungscope.config.recipe import load_recipe
    from lungscope.experiments.train_run import train_and_evaluate

    done = train_and_evaluate(
        data, load_recipe(recipe, overrides or ()), out,
        weights=weights, device=device, force=force, resume=resume, allow_leakage=allow_leakage,
    )  # fmt: skip
    show.evaluation(done)


@app.command()
def evaluate(
    data: Data,
    model: Model = None,
    split: Annotated[str, typer.Option(help="test, validation, train or all.")] = "test",
    prevalence: Annotated[
        float | None, typer.Option(help="Share of diseased where the model will be used.")
    ] = None,
    ood: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of other images that the input check should decline; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json and report.html.")] = None,
    no_heat_checks: Annotated[
        bool, typer.Option("--no-heat-checks", help="Leave out the checks of heat maps, some seconds.")
    ] = False,
    adapt_prior: Annotated[
        bool, typer.Option("--adapt-prior", help="Also correct for the prevalence the images suggest.")
    ] = False,
    runtime: Runtime = "auto",
    precision: PrecisionName = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on labelled images, with 95 % intervals.

    Example: lungscope evaluate chest_xray/test --model runs/first --split all --prevalence 0.1 --out evaluation
    """
    from lungscope.bundle.bundle import load_bundle
    from lungscope.cli import show
    from lungscope.data.dataset import load
    from lungscope.evaluation.measurements import EvaluationOptions
    from lungscope.experiments.evaluate_run import evaluate_bundle

    bundle = load_bundle(chosen_model(model))
    card = bundle.card
    images = load(data, card.size, classes=card.classes, label_pattern=card.label_pattern)
    options = EvaluationOptions(
        split, prevalence, runtime, precision, ood or (), not no_heat_checks, adapt_prior
    )
    done = evaluate_bundle(bundle, images, out, options)
    show.evaluation(done, as_json=as_json)


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, DICOM files or folders.")],
    model: Model = None,
    operating_point: Annotated[
        str | None, typer.Option(help="One of the model's, or a goal: 'sensitivity >= 0.98'.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Flag from this probability on, instead of an operating point.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of diseased where it is used; tells what a flag is worth.")
    ] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for overlays.")] = None,
    error_rate: ErrorRate = None,
    out: Annotated[Path | None, typer.Option(help="FILE.csv or FILE.jsonl instead of a table.")] = None,
    runtime: Runtime = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Classify images: finding, calibrated probability, operating point, file, notes; or why one is not assessed.

    Example: lungscope predict new/*.jpeg --heatmaps overlays
    """
    from lungscope.bundle.bundle import load_bundle
    from lungscope.cli import show, show_statistics
    from lungscope.inference import batch
    from lungscope.inference.predictor import Predictor

    if out:
        batch.check_table(out)
    predictor = Predictor(load_bundle(chosen_model(model)), runtime=runtime, precision=precision)
    operating_point = chosen_point(operating_point, threshold)
    if prevalence is not None:
        show_statistics.predictive(predictor.card, operating_point, prevalence)
    sources = batch.find_sources(inputs)
    paths = [source.path for source in sources]
    readings = predictor.assess_files(
        paths, operating_point=operating_point, heatmaps=heatmaps is not None, error_rate=error_rate
    )
    if heatmaps:
        readings = batch.write_overlays(readings, sources, heatmaps)
    if show.readings(readings, predictor, len(paths), out):
        raise typer.Exit(FAILED_FILES)


@app.command()
def recipes() -> None:
    """List the recipes and every setting of the default one.

    Example: lungscope recipes
    """
    from lungscope.cli import show

    show.recipes()


@app.command()
def describe(
    model: Annotated[
        Path | None, typer.Argument(help="A run folder or a model.onnx; without it the bundled model.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of diseased where it will be used; adds PPV and NPV.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what a model is: classes, operating points, calibration, data, versions, seal.

    Example: lungscope describe runs/first
    """
    from lungscope.cli import show

    show.bundle(chosen_model(model, "RUN"), as_json=as_json, prevalence=prevalence)


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; not loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    data: Annotated[
        Path | None, typer.Option(help="Folder for results and key; by default the user's.")
    ] = None,
    database: Annotated[str, typer.Option(help="postgresql://USER@HOST/NAME instead of SQLite.")] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="One NAME:SECRET a line; or set LUNGSCOPE_TOKEN.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Host name that requests may use; repeatable.")
    ] = None,
    keep_images: Annotated[bool, typer.Option("--keep-images", help="Keep pictures on disk.")] = False,
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Keep file names in the store.")] = False,
    retention_days: Annotated[int | None, typer.Option(help="Remove results after so many days.")] = None,
    queue: Annotated[int, typer.Option(help="Images that may wait before requests get 429.")] = 256,
    files: Annotated[int, typer.Option(help="Files in one request.")] = 64,
    megabytes: Annotated[int, typer.Option(help="Size of one request.")] = 64,
    seconds: Annotated[float, typer.Option(help="Time limit of one request.")] = 60.0,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file; serves HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    runtime: Runtime = "auto",
    precision: PrecisionName = "auto",
    verify_log: Annotated[
        bool, typer.Option("--verify-log", help="Check the audit log and every result, and stop.")
    ] = False,
) -> None:
    """Serve a model to browsers and programs: a page to read radiographs on, and REST.

    Example: lungscope serve --model runs/first
    """
    from lungscope.serve.settings import configure

    settings = configure(
        data, host, port, database=database, token_file=token_file, allow_hosts=allow_host or [],
        keep_images=keep_images, keep_names=keep_names, retention_days=retention_days,
        queue=queue, files=files, megabytes=megabytes, seconds=seconds,
    )  # fmt: skip
    server = _server()
    if verify_log:
        if not server.verify_log(settings):
            raise typer.Exit(USER_ERROR)
        return
    server.serve(
        chosen_model(model), settings,
        runtime=runtime, precision=precision, certificate=tls_certificate, private_key=tls_key,
    )  # fmt: skip


def _server() -> ModuleType:
    try:
        from lungscope.serve import server
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable(
            f"The service needs {error.name}. Run: pip install 'lungscope[serve]'."
        ) from None
    return server


cli_methods.add_to(app)
cli_bench.add_to(app)
cli_bundle.add_to(app)
cli_export.add_to(app)
cli_robust.add_to(app)
cli_score.add_to(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lungscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; a user's error is one line on standard error and exit status 2."""
    try:
        app()
    except LungscopeError as error:
        sys.stderr.write(f"lungscope: {error}\n")
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt:
        sys.stderr.write("lungscope: stopped. Finished files are kept.\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
