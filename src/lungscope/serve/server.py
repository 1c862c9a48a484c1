"""Listening: a service behind uvicorn until it is told to stop."""

import signal
import socket
import ssl
from pathlib import Path

import uvicorn

from lungscope.bundle.bundle import load_bundle
from lungscope.errors import ConfigError
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import RESEARCH_USE
from lungscope.serve.app import create_app
from lungscope.serve.keys import open_key
from lungscope.serve.service import open_service
from lungscope.serve.settings import Address, Settings
from lungscope.serve.store.audit_log import Verification
from lungscope.serve.store.store import Store
from lungscope.system.progress import note

SHUTDOWN_S = 5
KEEP_ALIVE_S = 75
"""Longer than the longest Retry-After, so that whoever waits need not connect again."""


def serve(
    model: Path,
    settings: Settings,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> None:
    """Serve a model until SIGTERM or SIGINT; requests that were accepted are answered first.

    Raises:
        LungscopeError: model, data folder, database or address cannot be used.
    """
    if certificate:
        _check_certificate(certificate, private_key)
    predictor = Predictor(load_bundle(model), runtime=runtime, precision=precision)
    listener = _listen(settings.address)
    service = open_service(settings, predictor)
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,  # the audit log tells who asked what
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.limits.seconds) + SHUTDOWN_S,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
    )
    scheme, port = "https" if certificate else "http", listener.getsockname()[1]
    host = f"[{settings.address.host}]" if ":" in settings.address.host else settings.address.host
    note(f"Lungscope listens on {scheme}://{host}:{port} ({predictor.engine}). Ctrl-C stops it.")
    note(f"Results are kept in {settings.folder}. {RESEARCH_USE}")
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again once all is done
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])


def verify_log(settings: Settings) -> Verification:
    """Check the audit log and every stored prediction against it.

    Raises:
        LungscopeError: the data folder or the database cannot be used.
    """
    store = Store(settings.database_url, open_key(settings.folder, create=False))
    try:
        return store.verify()
    finally:
        store.close()


def _listen(at: Address) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{at.host}:{at.port}: cannot listen there ({reason}). Choose another --port.") from None


def _check_certificate(certificate: Path, private_key: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key)
    except OSError as error:  # SSLError is one
        raise ConfigError(
            f"--tls-certificate {certificate}: cannot be used ({error}). Name PEM files that belong together."
        ) from None
