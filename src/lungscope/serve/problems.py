"""Errors as problem details (RFC 9457): every entry point that speaks HTTP translates here, once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse

from lungscope import errors
from lungscope.errors import LungscopeError

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:lungscope:problem:"


@dataclass(frozen=True)
class Kind:
    """One type of problem."""

    name: str
    status: int
    title: str
    retry_after_s: int | None = None


INTERNAL = Kind("internal", 500, "Something went wrong here")
KINDS: dict[type[LungscopeError], Kind] = {
    errors.ConfigError: Kind("configuration", 422, "A parameter is wrong"),
    errors.DataError: Kind("data", 422, "The data are wrong"),
    errors.UnreadableImage: Kind("unreadable-image", 422, "The image cannot be read"),
    errors.UnsupportedImage: Kind("unsupported-image", 422, "This kind of image is not read"),
    errors.ManifestError: Kind("manifest", 422, "The data do not form a data set"),
    errors.LeakageError: Kind("leakage", 422, "A patient stands in two splits"),
    errors.UndefinedEstimate: Kind("undefined-estimate", 422, "These data cannot give the figure"),
    errors.OutputError: Kind("store-unavailable", 503, "The store cannot be used", 5),
    errors.BundleError: Kind("model", 500, "The model cannot be used"),
    errors.RuntimeUnavailable: Kind("runtime-unavailable", 503, "Something is not installed"),
    errors.TrainingDiverged: Kind("training-diverged", 500, "A training failed"),
    LungscopeError: INTERNAL,
}
INVALID = Kind("invalid-request", 422, "The request is not valid")
MALFORMED = Kind("malformed-upload", 400, "The upload is not complete or not well formed")
UNAUTHORISED = Kind("unauthorised", 401, "A token is needed")
FOREIGN_ORIGIN = Kind("foreign-origin", 403, "Asked by another site")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
NOT_ALLOWED = Kind("method-not-allowed", 405, "This cannot be done here")
SLOW_UPLOAD = Kind("slow-upload", 408, "The upload took too long")
NOT_KEPT = Kind("not-kept", 410, "The pixels are not kept")
TOO_LARGE = Kind("too-large", 413, "The upload is too large")
TOO_MANY_FILES = Kind("too-many-files", 413, "Too many files")
UNSUPPORTED_MEDIA = Kind("unsupported-media-type", 415, "The upload is of a kind not read here")
FOREIGN_HOST = Kind("foreign-host", 421, "Asked under another name")
UNKNOWN_POINT = Kind("unknown-operating-point", 422, "The model has no such operating point")
QUEUE_FULL = Kind("queue-full", 429, "The queue is full")
NOT_READY = Kind("shutting-down", 503, "Not ready", 5)
TIMEOUT = Kind("timeout", 504, "The answer took too long")
MALFORMED_BODY = Kind("malformed-body", 400, "The body cannot be read")
BY_STATUS = {400: MALFORMED_BODY, 404: NOT_FOUND, 405: NOT_ALLOWED}


class Problem(LungscopeError):
    """A refusal with its kind."""

    def __init__(self, kind: Kind, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_after_s = kind.retry_after_s if retry_after_s is None else math.ceil(retry_after_s)


def as_problem(error: LungscopeError) -> Problem:
    """Translate any error of Lungscope; a class without a kind of its own takes its parent's."""
    if isinstance(error, Problem):
        return error
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    # The file stands in the uploader's own list, where its name is shown; here every name is "the image".
    return Problem(kind, str(error))


def respond(
    problem: Problem, *, fields: Sequence[Mapping[str, str]] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to a request that met a problem; `fields` say what is wrong with each."""
    kind = problem.kind
    content: dict[str, Any] = {
        "type": TYPE + kind.name, "title": kind.title, "status": kind.status, "detail": str(problem),
    }  # fmt: skip
    retry = {} if problem.retry_after_s is None else {"Retry-After": str(problem.retry_after_s)}
    return JSONResponse(
        content | ({"errors": list(fields)} if fields else {}), kind.status, {**(headers or {}), **retry}, MEDIA_TYPE
    )
