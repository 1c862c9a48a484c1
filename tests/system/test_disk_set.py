"""What does not fit into memory: sets of names, and folders of very many files."""

import os
from pathlib import Path

import pytest

from lungscope.data.images import radiograph as image
from lungscope.data.images.radiograph import find_images
from lungscope.system.disk_set import DiskSet, sort_entries


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with files, links, folders and names that are no text, made in no order."""
    for name in (b"z.png", b"a.png", b"caf\xe9.png", "ä.png".encode(), b"m/inner.png", b"b.png", b".hidden.png"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    return tmp_path


def test_a_name_is_new_once() -> None:
    names = DiskSet()
    assert [names.add(name) for name in (b"a", b"b", b"a", b"caf\xe9", b"b")] == [True, True, False, True, False]
    names.close()


def test_many_names_are_all_kept() -> None:
    names = DiskSet()
    assert sum(names.add(str(i % 30_000).encode()) for i in range(60_000)) == 30_000
    names.close()


def test_entries_come_in_the_order_of_their_bytes(crowded: Path) -> None:
    with os.scandir(crowded) as found:
        entries = list(sort_entries(found, str(crowded)))
    names = [os.fsencode(entry.name) for entry in entries]
    assert names == sorted(os.listdir(os.fsencode(crowded)))
    assert {entry.name for entry in entries if entry.is_dir()} == {"m", "loop"}
    by_name = {entry.name: entry for entry in entries}
    assert by_name["a.png"].is_file()
    assert by_name["a.png"].stat().st_size == 0


def test_a_folder_of_very_many_files_is_listed_like_a_small_one(crowded: Path, monkeypatch) -> None:
    small = find_images(crowded)
    assert len(small) == 7  # a, b, é, inner, the link to itself, z, ä
    monkeypatch.setattr(image, "MANY", 3)
    assert find_images(crowded) == small
