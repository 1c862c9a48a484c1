"""The application: all routes, errors as problem JSON, the page, and the access control before them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lungscope import __version__
from lungscope.errors import LungscopeError, OutputError
from lungscope.inference.result import RESEARCH_USE
from lungscope.serve import problems
from lungscope.serve.middleware import AccessControl
from lungscope.serve.problems import Kind, Problem, as_problem, respond
from lungscope.serve.routes.predict import PredictRoutes
from lungscope.serve.routes.results import ResultRoutes
from lungscope.serve.routes.system import SystemRoutes
from lungscope.serve.schemas import problem_responses
from lungscope.serve.service import Service

PAGE = Path(__file__).parent / "static"
SWEEP_S = 3600
# Nothing is sent anywhere, whatever the environment asks FastAPI for; its spans would carry messages of errors.
TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(service: Service) -> AccessControl:
    """The ASGI application of a service; it closes the service when it stops."""
    app = FastAPI(
        title="Lungscope",
        version=__version__,
        description=f"Chest radiographs in, calibrated and stored answers out. {RESEARCH_USE}",
        telemetry=TELEMETRY,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        responses=problem_responses(422),
        lifespan=lambda _: _running(service),
    )
    for routes in (PredictRoutes(service), ResultRoutes(service), SystemRoutes(service)):
        app.include_router(routes.router())
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/web", StaticFiles(directory=PAGE, check_dir=False))
    app.add_exception_handler(LungscopeError, _lungscope_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    return AccessControl(app, service.settings, service.metrics)


@contextlib.asynccontextmanager
async def _running(service: Service) -> AsyncIterator[None]:
    sweeping = asyncio.create_task(_sweep(service))
    yield
    sweeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping
    await asyncio.to_thread(service.close)


async def _sweep(service: Service) -> None:
    while True:
        with contextlib.suppress(OutputError):  # a store that is away for a while is swept later
            await asyncio.to_thread(service.expire)
        await asyncio.sleep(SWEEP_S)


async def _page() -> Response:
    return FileResponse(PAGE / "index.html", media_type="text/html")


async def _lungscope_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LungscopeError)
    return respond(as_problem(error))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"where": ".".join(map(str, one["loc"])), "message": str(one["msg"])} for one in error.errors()]
    detail = "; ".join(f"{one['where']}: {one['message']}" for one in found[:3])
    return respond(Problem(problems.INVALID, detail), fields=found)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = problems.BY_STATUS.get(error.status_code, Kind("http", error.status_code, "The request cannot be served"))
    return respond(Problem(kind, f"{error.detail}."), headers=error.headers)


async def _fault(_: Request, error: Exception) -> Response:
    return respond(Problem(problems.INTERNAL, "This is a fault of the service."))
