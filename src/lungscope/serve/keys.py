"""The key of a data folder: patients become pseudonyms with it, and the audit log is chained with it."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from lungscope.errors import ConfigError, OutputError
from lungscope.system.files import cannot_write

BYTES = 32
NAME = "lungscope.key"


@dataclass(frozen=True)
class Key:
    """A secret that never leaves its file."""

    secret: bytes = field(repr=False)

    def pseudonym(self, patient: str) -> str | None:
        """A keyed hash (HMAC-SHA-256) of a patient identifier, hexadecimal; None when there is none."""
        name = patient.strip()
        return self._mac(b"patient", name.encode("utf-8", "surrogatepass")) if name else None

    def link(self, previous: str, content: str) -> str:
        """The hash, hexadecimal, of an audit row that follows one of hash `previous`."""
        return self._mac(b"audit", f"{previous}\n{content}".encode())

    def _mac(self, purpose: bytes, message: bytes) -> str:
        return hmac.new(self.secret, purpose + b"\0" + message, hashlib.sha256).hexdigest()


def open_key(folder: Path, *, create: bool = True) -> Key:
    """Read the key of a data folder; make one, readable by its owner only, when there is none.

    Raises:
        OutputError: the folder cannot be written.
        ConfigError: the key is damaged, missing, or others may read it.
    """
    path = folder / NAME
    try:
        if create and not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(path, secrets.token_bytes(BYTES))
        content, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        if not create:
            raise ConfigError(f"{path}: the key cannot be read ({error.strerror}). Name its --data.") from None
        raise OutputError(cannot_write(path, error)) from None
    if len(content) != BYTES:
        raise ConfigError(f"{path}: the key is damaged. Restore it from a backup of the data folder.")
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(f"{path}: others may read this key. Run: chmod 600 '{path}'.")
    return Key(content)


def _write(path: Path, secret: bytes) -> None:
    # Linked into place whole: of two services that start at once, one makes the key and both read it.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            return
    finally:
        part.unlink(missing_ok=True)
