"""Object stores and other places with an address, through fsspec."""

import re
from collections.abc import Iterator
from typing import IO, Any, cast

from lungscope.data.images.radiograph import HEAD_BYTES, MAX_FILE_BYTES, looks_like_image
from lungscope.errors import ConfigError, ManifestError, RuntimeUnavailable, UnreadableImage

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
LOCAL = ("file", "local")
UNKNOWN = -1
"""Size of a file where the store does not give it."""


def is_url(text: str) -> bool:
    """Whether a text is an address with a protocol rather than a path."""
    return ADDRESS.match(text) is not None


def local_path(url: str) -> str:
    """The path that an address on this machine means; empty for one elsewhere."""
    protocol, _, rest = url.partition("://")
    return rest if protocol.lower() in LOCAL else ""


def open_store(url: str) -> "Store":
    """The store that an address lies in; access to it is set up as its own fsspec package says.

    Raises:
        ConfigError: fsspec does not know the protocol, or its settings are refused.
        RuntimeUnavailable: fsspec, or its package for this protocol, is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise RuntimeUnavailable("Addresses are read with fsspec. Run: pip install 'lungscope[score]'.") from None
    protocol = url.partition("://")[0]
    try:
        return Store(url_to_fs(url, use_listings_cache=False)[0], protocol)
    except ImportError as error:
        raise RuntimeUnavailable(f"{protocol}:// is not available: {_line(error)}.") from None
    except Exception as error:  # every store raises its own kinds
        raise ConfigError(f"{url}: this address cannot be opened ({_line(error)}). Check it.") from None


class Store:
    """One file system of fsspec."""

    def __init__(self, system: Any, protocol: str) -> None:
        self._system, self._protocol = system, protocol

    def images(self, root: str) -> Iterator[tuple[str, str, int, str]]:
        """Name below `root`, address and size of what looks like an image, in the order of their paths by folder.

        A folder that cannot be listed is yielded itself, with the reason.

        Raises:
            ManifestError: `root` cannot be listed.
        """
        try:
            top = self._system._strip_protocol(root)
            if not self._system.isdir(top):
                raise FileNotFoundError("no such folder")
        except Exception as error:
            raise ManifestError(f"{root}: cannot be listed ({_line(error)}). Check the address.") from None
        for path, n_bytes, reason in self._walk(top):
            yield path[len(top) :].lstrip("/"), self._system.unstrip_protocol(path), n_bytes, reason

    def _walk(self, folder: str) -> Iterator[tuple[str, int, str]]:
        try:
            entries = self._system.ls(folder, detail=True)
        except Exception as failure:
            yield (folder, UNKNOWN, f"this folder cannot be listed ({_line(failure)}). Check your rights to it.")
            return
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            path = str(entry["name"]).rstrip("/")
            name = path.rpartition("/")[2]
            if name.startswith(".") or path == folder.rstrip("/"):  # stores list a folder's own marker in it
                continue
            if entry["type"] == "directory":
                yield from self._walk(path)
            elif self._is_image(path, name):
                size = entry.get("size")
                yield path, UNKNOWN if size is None else int(size), ""

    def _is_image(self, path: str, name: str) -> bool:
        try:
            return looks_like_image(name, lambda: self._system.cat_file(path, start=0, end=HEAD_BYTES))
        except Exception:  # whoever reads it learns of the failure
            return True

    def open(self, url: str) -> IO[bytes]:
        """A file to read from the start; `ManifestError` where it cannot be opened."""
        try:
            return cast(IO[bytes], self._system.open(self._system._strip_protocol(url), "rb"))
        except Exception as error:
            raise ManifestError(f"{url}: cannot be opened ({_line(error)}). Check the address.") from None

    def read(self, url: str, n_bytes: int = UNKNOWN) -> bytes:
        """All of a file.

        Args:
            url: its address.
            n_bytes: its size, which costs a request where it is `UNKNOWN`.

        Raises:
            UnreadableImage: it cannot be read, or is larger than any radiograph.
        """
        try:
            path = self._system._strip_protocol(url)
            size = int(self._system.size(path) or 0) if n_bytes == UNKNOWN else n_bytes
            content = b"" if size > MAX_FILE_BYTES else bytes(self._system.cat_file(path))
        except Exception as error:
            raise UnreadableImage(
                f"cannot be read ({_line(error)}). Check the address and your rights to it."
            ) from None
        if size > MAX_FILE_BYTES:
            raise UnreadableImage(
                f"{size / 2**20:.0f} MiB exceed the limit of {MAX_FILE_BYTES // 2**20} MiB. Export a single picture."
            )
        return content


def _line(error: Exception) -> str:
    # The file's own name stands in the results already, and may be a patient's.
    if isinstance(error, FileNotFoundError):
        return "No such file or directory"
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"{type(error).__name__}: {reason}"[:160] if reason else type(error).__name__
