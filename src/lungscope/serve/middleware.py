"""What stands before every route: who asks, from where, and what every answer carries."""

import logging
import time
import traceback
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungscope.serve import problems
from lungscope.serve.metrics import Metrics
from lungscope.serve.problems import Problem
from lungscope.serve.settings import Settings

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)
BEARER = "Bearer"
# A line of its own, because Chromium takes a whole line as one challenge.
BASIC = 'Basic realm="lungscope", charset="UTF-8"'

log = logging.getLogger(__name__)


class AccessControl:
    """An ASGI application around another: refuses who has no key, adds security headers, counts answers."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics
        self._hosts, self._tokens = settings.address.names, settings.tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, count."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, receive, answer)
        except Problem as problem:
            response = problems.respond(problem)
            for challenge in _challenges(scope) if problem.kind is problems.UNAUTHORISED else ():
                response.headers.append("WWW-Authenticate", challenge)
            await response(scope, receive, answer)
        except ClientDisconnect:
            status = 499  # nobody is there to be answered; the number is nginx's
        except Exception as error:
            # Not its message: a library may have put a value of the image into it.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s while answering %s\n%s", type(error).__name__, scope["method"], frames)
            if not status:
                response = problems.respond(Problem(problems.INTERNAL, "This is a fault of the service."))
                await response(scope, receive, answer)
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.answered(scope["method"], route, status, time.monotonic() - started)

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._hosts and _without_port(host) not in self._hosts:
            raise Problem(
                problems.FOREIGN_HOST, "The service does not go by this host name. Start it with --allow-host."
            )
        who = self._tokens.who(headers.get("authorization", ""))
        if who is None and scope["path"] not in OPEN_PATHS:
            raise Problem(problems.UNAUTHORISED, "Send the header 'Authorization: Bearer TOKEN'.")
        if scope["method"] not in SAFE_METHODS and _from_elsewhere(headers, host):
            raise Problem(problems.FOREIGN_ORIGIN, "Only pages of this service may change anything here.")
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["who"] = who


def _challenges(scope: Scope) -> tuple[str, ...]:
    # A browser opens its sign-in box for Basic. The page asks by itself, so its own requests get none.
    mode = dict(scope["headers"]).get(b"sec-fetch-mode", b"navigate")
    return (BEARER, BASIC) if mode == b"navigate" else (BEARER,)


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _from_elsewhere(headers: dict[str, str], host: str) -> bool:
    # A browser sends these by itself; programs send neither and are not to be protected from themselves.
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:  # no URL at all
        return True
