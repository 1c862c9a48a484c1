"""What a service is told when it starts."""

import ipaddress
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lungscope.errors import ConfigError
from lungscope.serve.tokens import Tokens, read_tokens

MEBIBYTE = 2**20
OPEN_BYTES = 512 * MEBIBYTE
RESEARCH_USE = "Research use only. Not a medical device."


@dataclass(frozen=True)
class Limits:
    """What one request and all requests together may take."""

    request_bytes: int = 64 * MEBIBYTE
    files: int = 64
    """Per request."""
    queue: int = 256
    """Images accepted and not yet answered; beyond it a request is told to come back."""
    open_bytes: int = OPEN_BYTES
    """Of all uploads that are being received or wait."""
    seconds: float = 60.0
    """From the first byte of a request to its answer."""
    cache_bytes: int = 256 * MEBIBYTE
    """Of uploads held in memory, so that their pictures can be shown."""

    def __post_init__(self) -> None:
        if not 1 <= self.files <= self.queue:
            raise ConfigError(
                f"A request may hold {self.files} files, but the queue {self.queue} images. Enlarge --queue."
            )
        if self.seconds <= 0 or self.request_bytes < 1:
            raise ConfigError("The time limit and the upload limit must be above 0. Leave them out for defaults.")


@dataclass(frozen=True)
class Settings:
    """Everything but the model."""

    folder: Path
    """Data folder: store, key, and pictures when they are kept."""
    host: str = "127.0.0.1"
    port: int = 8000
    database: str = ""
    """SQLAlchemy URL; empty is a SQLite file in the data folder."""
    tokens: Tokens = field(default_factory=Tokens)
    keep_images: bool = False
    keep_names: bool = False
    retention_days: int | None = None
    hosts: frozenset[str] = frozenset()
    """Host names that requests may carry; empty is any."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.tokens:
            raise ConfigError(
                f"--host {self.host} can be reached from other machines, so a token is needed. "
                "Set LUNGSCOPE_TOKEN or pass --token-file FILE."
            )
        if self.retention_days is not None and self.retention_days < 1:
            raise ConfigError(f"--retention-days {self.retention_days}: at least 1 day. Leave it out to keep all.")

    @property
    def database_url(self) -> str:
        """Where results are kept."""
        return self.database or f"sqlite:///{self.folder / 'lungscope.db'}"


def configure(
    folder: Path | None,
    host: str,
    port: int,
    *,
    token_file: Path | None = None,
    allow_hosts: Sequence[str] = (),
    queue: int,
    files: int,
    megabytes: int,
    seconds: float,
    database: str = "",
    keep_images: bool = False,
    keep_names: bool = False,
    retention_days: int | None = None,
) -> Settings:
    """Settings from what the command line says and the environment.

    Raises:
        ConfigError: they cannot be, or would open the service to others without a token.
    """
    most = megabytes * MEBIBYTE
    return Settings(
        folder=folder or default_folder(),
        host=host,
        port=port,
        database=database or os.environ.get("LUNGSCOPE_DATABASE", ""),
        tokens=read_tokens(os.environ, token_file),
        keep_images=keep_images,
        keep_names=keep_names,
        retention_days=retention_days,
        hosts=allowed_hosts(host, allow_hosts),
        limits=Limits(most, files, queue, max(most, OPEN_BYTES), seconds),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, named: Sequence[str]) -> frozenset[str]:
    """Names a request may give for this service: those named, and on loopback always its own.

    Without a token a page elsewhere could otherwise reach the service by a name that it lets point here
    (DNS rebinding). Elsewhere, where a token is required, any name will do unless some are named.
    """
    own = {"localhost", "127.0.0.1", "[::1]", host.lower()} if is_loopback(host) else set[str]()
    return frozenset({name.lower() for name in named} | own)


def default_folder() -> Path:
    """The user's data folder: LUNGSCOPE_DATA, else where the platform keeps data of programs."""
    if chosen := os.environ.get("LUNGSCOPE_DATA"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lungscope"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "lungscope"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lungscope"
