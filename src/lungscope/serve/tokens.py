"""Bearer tokens: who may ask, by name. Secrets are kept as hashes and compared in constant time."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lungscope.errors import ConfigError

SHORTEST = 16
VARIABLE = "LUNGSCOPE_TOKEN"


@dataclass(frozen=True)
class Tokens:
    """Names and hashed secrets; empty lets everybody in as "local"."""

    hashes: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def who(self, authorization: str) -> str | None:
        """Whose token an Authorization header carries; None when it is nobody's.

        Basic credentials are accepted with the token as password, which is how a browser can sign in.
        """
        if not self.hashes:
            return "local"
        given = _hash(_secret(authorization))
        # All are compared, whatever is found, so that the time taken tells nothing.
        found = [name for name, known in self.hashes.items() if hmac.compare_digest(given, known)]
        return found[0] if found else None


def read_tokens(environment: Mapping[str, str], file: Path | None) -> Tokens:
    """Tokens of the environment and of a file with one `name:secret` or bare secret a line.

    Raises:
        ConfigError: the file cannot be read or holds none, or a secret is short, unprintable or named twice.
    """
    named = {"token": environment[VARIABLE].strip()} if environment.get(VARIABLE) else {}
    where = VARIABLE
    if file:
        where = f"--token-file {file}"
        for number, line in enumerate(_lines(file), 1):
            name, colon, secret = line.partition(":")
            name, secret = (name.strip(), secret.strip()) if colon else (f"token{number}", line)
            if name in named:
                raise ConfigError(f"{where}: two tokens are named {name!r}. Give each its own name.")
            named[name] = secret
    for secret in named.values():
        if len(secret) < SHORTEST or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise ConfigError(
                f"{where}: a token needs at least {SHORTEST} printable characters without spaces. "
                "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'."
            )
    return Tokens({name: _hash(secret.encode()) for name, secret in named.items()})


def _lines(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"--token-file {file}: cannot be read ({reason}). Name a file with one token a line."
        ) from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise ConfigError(f"--token-file {file}: it holds no token. Write one a line.")
    return found


def _secret(authorization: str) -> bytes:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(credentials, validate=True).partition(b":")[2]
    return b""


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
