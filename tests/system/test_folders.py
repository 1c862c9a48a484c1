"""The folders of the user: as told, else where the platform keeps such things."""

import sys
from pathlib import Path

import pytest

from lungscope.system.folders import cache_folder, data_folder

LINUX = {"CACHE": ".cache/lungscope", "DATA": ".local/share/lungscope"}


@pytest.mark.parametrize(("folder", "kind"), [(cache_folder, "CACHE"), (data_folder, "DATA")])
def test_a_folder_lies_where_it_is_asked_for(folder, kind: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv(f"LUNGSCOPE_{kind}", str(tmp_path / "named"))
    assert folder() == tmp_path / "named"
    monkeypatch.setenv(f"LUNGSCOPE_{kind}", "~/named")
    assert folder() == Path.home() / "named"
    monkeypatch.delenv(f"LUNGSCOPE_{kind}")
    if sys.platform == "linux":
        assert folder() == tmp_path / "xdg" / "lungscope"
        monkeypatch.delenv(f"XDG_{kind}_HOME")
        assert folder() == Path.home() / LINUX[kind]
