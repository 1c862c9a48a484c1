"""Where the platform keeps what programs write for a user, unless the user says otherwise."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Of what can be made again: LUNGSCOPE_CACHE, else the platform's folder of caches."""
    # Imported here and below: a prediction of one file needs no folder.
    from platformdirs import user_cache_path

    return _named("LUNGSCOPE_CACHE") or user_cache_path("lungscope", appauthor=False)


def data_folder() -> Path:
    """Of what the service keeps: LUNGSCOPE_DATA, else the platform's folder of data."""
    from platformdirs import user_data_path

    return _named("LUNGSCOPE_DATA") or user_data_path("lungscope", appauthor=False)


def _named(variable: str) -> Path | None:
    return Path(named).expanduser() if (named := os.environ.get(variable)) else None
