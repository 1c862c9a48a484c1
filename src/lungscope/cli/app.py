"""The command line. Each command has a module, which imports what is heavy only when it runs.

Exit status: 0 success; 2 a user's error, said in one line; 3 a folder was processed but some files failed.
"""

import sys
from typing import Annotated

import typer

from lungscope import __version__
from lungscope.cli.audit import audit
from lungscope.cli.bench import bench
from lungscope.cli.compare import compare
from lungscope.cli.demo import demo
from lungscope.cli.describe import describe
from lungscope.cli.ensemble import ensemble
from lungscope.cli.evaluate import evaluate
from lungscope.cli.export import export
from lungscope.cli.options import USER_ERROR
from lungscope.cli.predict import predict
from lungscope.cli.recipes import recipes
from lungscope.cli.release import release
from lungscope.cli.robustness import robustness
from lungscope.cli.score import score
from lungscope.cli.serve import serve
from lungscope.cli.strata import strata
from lungscope.cli.train import train
from lungscope.cli.tune import tune
from lungscope.errors import LungscopeError
from lungscope.system.progress import show_progress

app = typer.Typer(
    help="Chest X-ray classification that can be checked, trusted and run. Research use only.",
    epilog="Example: lungscope predict new/*.jpeg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = {
    "Use a model": (predict, score, serve, describe),
    "Data": (audit, strata),
    "Train": (demo, train, compare, tune, ensemble, recipes),
    "Measure": (evaluate, robustness, bench),
    "Pass on": (export, release),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lungscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.with_resource(show_progress())


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
