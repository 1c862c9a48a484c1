"""Object stores that fail: an object costs its row, a folder too, and the reason is told without names."""

import fsspec
import pytest

from lungscope.data.images import radiograph as image
from lungscope.errors import ManifestError, UnreadableImage
from lungscope.scoring import object_store as store
from lungscope.scoring.job import Settings, run_score
from lungscope.scoring.object_store import is_url, local_path, open_store


@pytest.fixture
def memory(folder):
    system = fsspec.filesystem("memory")
    system.put(str(folder), "/failing", recursive=True)
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.mark.parametrize(
    ("text", "url", "path"),
    [
        ("s3://bucket/a", True, ""),
        ("file:///data/a", True, "/data/a"),
        ("local:///data/a", True, "/data/a"),
        ("/data/a:b", False, ""),
        ("C:/data", False, ""),
        ("ward:/a", False, ""),
    ],
)
def test_an_address_is_told_from_a_path(text, url, path) -> None:
    assert is_url(text) == url
    if url:
        assert local_path(text) == path


def test_objects_that_cannot_be_read_are_rows(memory, tiny, tmp_path, rows, monkeypatch) -> None:
    kind = type(memory)
    read, ls = kind.cat_file, kind.ls

    def failing(self, path, **limits):
        if path.endswith("/004.png"):
            raise FileNotFoundError(path)
        if path.endswith("/007.png"):
            raise RuntimeError("SlowDown: please\nreduce your request rate")
        return read(self, path, **limits)

    def listing(self, path, **how):
        if path.endswith("/ward2"):
            raise PermissionError(13, "AccessDenied")
        return ls(self, path, **how)

    monkeypatch.setattr(kind, "cat_file", failing)
    monkeypatch.setattr(kind, "ls", listing)
    summary = run_score("memory://failing", tiny, tmp_path / "out", Settings())
    bad = {row["path"]: row["error"] for row in rows(tmp_path / "out") if row["error"]}
    assert {name: error.partition(". Check")[0] for name, error in bad.items()} == {
        "ward1/004.png": "cannot be read (No such file or directory)",
        "ward1/007.png": "cannot be read (RuntimeError: SlowDown: please reduce your request rate)",
        "ward2": "this folder cannot be listed (PermissionError: AccessDenied)",
    }
    assert (summary.images, summary.failed) == (41, 3)


def test_an_object_too_large_is_not_transferred(memory, monkeypatch) -> None:
    monkeypatch.setattr(store, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(type(memory), "cat_file", lambda *_: pytest.fail("transferred"))
    assert image.MAX_FILE_BYTES > 1000
    for known in ((), (memory.size("/failing/ward0/000.png"),)):
        with pytest.raises(UnreadableImage, match="exceed the limit .* Export a single picture"):
            open_store("memory://failing").read("memory://failing/ward0/000.png", *known)


def test_a_list_that_cannot_be_opened_is_told(memory) -> None:
    with pytest.raises(ManifestError, match="cannot be opened .* Check the address"):
        open_store("memory://failing").open("memory://failing/gone.txt")
