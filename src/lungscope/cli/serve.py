"""`lungscope serve`."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.options import USER_ERROR, Model, PrecisionName, Runtime, chosen_model
from lungscope.cli.tables import stdout
from lungscope.errors import RuntimeUnavailable
from lungscope.system.progress import note

if TYPE_CHECKING:
    from lungscope.serve.store.audit_log import Verification

SHOWN_FAULTS = 20


def serve(
    model: Model = None,
    host: Annotated[str, typer.Option(help="Address to listen on; not loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    data: Annotated[Path | None, typer.Option(help="Folder for results and key; by default the user's.")] = None,
    database: Annotated[str, typer.Option(help="postgresql://USER@HOST/NAME instead of SQLite.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="One NAME:SECRET a line; or set LUNGSCOPE_TOKEN.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="Host name that requests may use; repeatable.")] = None,
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
    from lungscope.serve.settings import MEBIBYTE, Address, Limits, Retention, configure

    settings = configure(
        data,
        Address(host, port, frozenset(allow_host or [])),
        Retention(keep_images, keep_names, retention_days),
        Limits(megabytes * MEBIBYTE, files, queue, seconds=seconds),
        token_file=token_file,
        database=database,
    )
    server = _server()
    if verify_log:
        found = server.verify_log(settings)
        _print(found)
        raise typer.Exit(USER_ERROR if found.faults else 0)
    server.serve(
        chosen_model(model), settings,
        runtime=runtime, precision=precision, certificate=tls_certificate, private_key=tls_key,
    )  # fmt: skip


def _print(found: "Verification") -> None:
    for fault in found.faults[:SHOWN_FAULTS]:
        note(f"Fault: {fault}")
    if len(found.faults) > SHOWN_FAULTS:
        note(f"... and {len(found.faults) - SHOWN_FAULTS} more.")
    state = f"{len(found.faults)} faults" if found.faults else "intact"
    stdout.print(f"{found.rows} rows of the audit log, {found.predictions} predictions: {state}. Head: {found.head}")


def _server() -> ModuleType:
    try:
        from lungscope.serve import server
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable(f"The service needs {error.name}. Run: pip install 'lungscope[serve]'.") from None
    return server
