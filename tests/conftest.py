"""Fixtures every suite may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and weights beside the repository."""
    folder = Path(os.environ.get("LUNGSCOPE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no real radiographs here; LUNGSCOPE_SHARED names their folder")
    return folder
