"""Folders, lists and object stores give the same kind of items, and shards divide them."""

import os
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest

from lungscope.errors import ConfigError, ManifestError, RuntimeUnavailable
from lungscope.scoring import object_store as store
from lungscope.scoring.listing import Shard, open_listing, parse_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name in ("b/2.png", "b/1.JPG", "a.dcm", "c/d/e.tif", "notes.txt", ".hidden.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


WANTED = ["a.dcm", "b/1.JPG", "b/2.png", "c/d/e.tif"]


def test_a_folder_gives_names_below_it(folder: Path, monkeypatch) -> None:
    assert [(item.name, item.place) for item in open_listing(str(folder))] == [
        (name, str(folder / name)) for name in WANTED
    ]
    monkeypatch.chdir(folder)
    here = open_listing(".")
    assert [item.name for item in here] == WANTED
    assert here.source == str(folder)


def test_an_address_on_this_machine_is_the_folder(folder: Path) -> None:
    listing = open_listing(f"file://{folder}")
    assert listing.source == str(folder)
    assert not listing.remote
    assert [item.name for item in listing] == WANTED


def test_an_object_store_gives_the_same_names(folder: Path, memory) -> None:
    memory.put(str(folder), "/bucket", recursive=True)
    listing = open_listing("memory://bucket/")
    assert [item.name for item in listing] == WANTED
    assert [item.place for item in listing] == [f"memory:///bucket/{name}" for name in WANTED]
    assert {item.n_bytes for item in listing} == {1}
    assert listing.remote


def test_dicom_objects_without_a_suffix_are_found_by_their_content(memory) -> None:
    memory.pipe(
        {"/bucket/1.2.3": b"\0" * 128 + b"DICM", "/bucket/1.2.4": b"no", "/bucket/DICOMDIR": b"\0" * 128 + b"DICM"}
    )
    assert [item.name for item in open_listing("memory://bucket")] == ["1.2.3"]


@pytest.mark.parametrize("address", ["memory://nothing-here", "memory://bucket/a.dcm"])
def test_an_address_that_is_no_folder_is_told(memory, address: str) -> None:
    memory.pipe("/bucket/a.dcm", b"x")
    with pytest.raises(ManifestError, match=r"cannot be listed .* Check the address"):
        list(open_listing(address))


def test_a_text_list_is_read_from_where_it_lies(tmp_path: Path) -> None:
    lines = b"one.png\r\n\n/abs/two.png\ncaf\xe9.png\nmemory://bucket/x.png\nfile:///abs/three.png"
    (tmp_path / "list.txt").write_bytes(lines)
    items = list(open_listing(str(tmp_path / "list.txt")))
    assert [os.fsencode(item.name) for item in items] == [line.strip() for line in lines.split(b"\n") if line]
    assert [item.place for item in items] == [
        str(tmp_path / "one.png"), "/abs/two.png", os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"),
        "memory://bucket/x.png", "/abs/three.png",
    ]  # fmt: skip


@pytest.mark.parametrize("column", ["path", "file"])
def test_tables_are_read_by_their_column(tmp_path: Path, column: str) -> None:
    (tmp_path / "list.csv").write_bytes(f'\ufefflabel,{column}\n0,"a, b.png"\n1,c.png\n\n'.encode())
    table = pyarrow.table({"label": [0, 1], column: ["a, b.png", "c.png"]})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    for name in ("list.csv", "list.parquet"):
        assert [item.name for item in open_listing(str(tmp_path / name))] == ["a, b.png", "c.png"]


def test_a_list_may_lie_in_an_object_store(memory) -> None:
    memory.pipe("/bucket/day/list.txt", b"one.png\n")
    (item,) = open_listing("memory://bucket/day/list.txt")
    assert (item.name, item.place) == ("one.png", "memory://bucket/day/one.png")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"a,b\n1,2\n", "no column 'path'"),
        ("list.csv", b"", "no column 'path'"),
        ("list.csv", b'path\n"' + b"x" * 200_000, "cannot be read"),
        ("list.parquet", b"PAR1", "cannot be read"),
        ("list.json", b"[]", "neither a folder nor a list"),
    ],
)
def test_a_list_that_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        list(open_listing(str(tmp_path / name)))


def test_a_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file or folder. Check the path"):
        open_listing(str(tmp_path / "gone"))


def test_an_unknown_protocol_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot be opened .* Check it"):
        open_listing("nowhere://bucket")


def test_a_store_whose_package_is_missing_names_it(monkeypatch) -> None:
    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(RuntimeUnavailable, match="s3:// is not available: ImportError: Install s3fs"):
        store.open_store("s3://bucket")


def test_shards_are_disjoint_and_complete() -> None:
    names = [f"ward/{i:04}.dcm" for i in range(2000)]
    parts = [{name for name in names if Shard(i, 7).holds(name)} for i in range(1, 8)]
    assert set().union(*parts) == set(names)
    assert sum(map(len, parts)) == len(names)
    assert min(map(len, parts)) > 200  # 286 on average


def test_a_shard_is_read_from_text() -> None:
    assert parse_shard("2/16") == Shard(2, 16)
    assert str(Shard(2, 16)) == "2/16"


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/0", "-1/2", "1/2/3", "²/3"])
def test_a_shard_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        parse_shard(text)
