"""What a service is told when it starts."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from lungscope.errors import ConfigError
from lungscope.serve.tokens import Tokens, read_tokens
from lungscope.system.folders import data_folder

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Address:
    """Where the service listens, and the names under which it may be asked there."""

    host: str = "127.0.0.1"
    port: int = 8000
    allowed: frozenset[str] = frozenset()
    """Further host names that requests may carry."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def names(self) -> frozenset[str]:
        """Host names that requests may carry, in lower case; empty is any.

        Without a token a page elsewhere could otherwise reach the service by a name that it lets point here
        (DNS rebinding). Off loopback, where a token is required, any name will do unless some are allowed.
        """
        own = {"localhost", "127.0.0.1", "[::1]", self.host.lower()} if self.is_loopback else set[str]()
        return frozenset({name.lower() for name in self.allowed} | own)


@dataclass(frozen=True)
class Retention:
    """What is kept on disk beside the results, and for how long."""

    images: bool = False
    names: bool = False
    """Of the files."""
    days: int | None = None
    """None keeps everything."""

    def __post_init__(self) -> None:
        if self.days is not None and self.days < 1:
            raise ConfigError(f"--retention-days {self.days}: at least 1 day. Leave it out to keep all.")


@dataclass(frozen=True)
class Limits:
    """What one request and all requests together may take."""

    request_bytes: int = 64 * MEBIBYTE
    files: int = 64
    """Per request."""
    queue: int = 256
    """Images accepted and not yet answered; beyond it a request is told to come back."""
    open_bytes: int = 512 * MEBIBYTE
    """Of all uploads that are being received or wait; one request of `request_bytes` is always let in."""
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
    address: Address = field(default_factory=Address)
    database: str = ""
    """SQLAlchemy URL; empty is a SQLite file in the data folder."""
    tokens: Tokens = field(default_factory=Tokens)
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.address.is_loopback and not self.tokens:
            raise ConfigError(
                f"--host {self.address.host} can be reached from other machines, so a token is needed. "
                "Set LUNGSCOPE_TOKEN or pass --token-file FILE."
            )

    @property
    def database_url(self) -> str:
        """Where results are kept."""
        return self.database or f"sqlite:///{self.folder / 'lungscope.db'}"


def configure(
    folder: Path | None,
    address: Address,
    retention: Retention,
    limits: Limits,
    *,
    token_file: Path | None = None,
    database: str = "",
) -> Settings:
    """Settings from what the command line says and the environment.

    Raises:
        ConfigError: a token cannot be read, or the service would be open to others without one.
    """
    return Settings(
        folder or data_folder(),
        address,
        database or os.environ.get("LUNGSCOPE_DATABASE", ""),
        read_tokens(os.environ, token_file),
        retention,
        limits,
    )
