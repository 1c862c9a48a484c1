"""The pack: right pixels, decoded once, never half written, and rebuilt when it is damaged."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.pack import ABANDONED_S, Pack, pack
from lungscope.errors import OutputError
from lungscope.system.progress import show_progress

PLACE = Path("packs")
PACK_64 = """
import sys, pathlib
from lungscope.data.pack import pack
pack(sorted(pathlib.Path(sys.argv[1]).iterdir()), 64, cache=pathlib.Path(sys.argv[2]))
"""


def pictures(folder: Path, n: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 50), dtype=np.uint8)).save(path)
    return paths


def packs(cache: Path) -> list[Path]:
    return [entry for entry in sorted((cache / PLACE).iterdir()) if entry.name != "seen"]


def check(packed: Pack, paths: list[Path], size: int = 32) -> None:
    expected = [read_radiograph(path, size=size).pixels for path in paths]
    np.testing.assert_array_equal(packed.pixels, expected)
    assert packed.readable.all()
    assert len(packed) == len(paths)


def test_a_pack_holds_what_the_reader_gives_and_cannot_be_changed(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 20)
    packed = pack(paths, 32, cache=tmp_path / "cache")
    check(packed, paths)
    assert packed.records[3].file_bytes == paths[3].stat().st_size
    with pytest.raises(ValueError, match="read-only"):
        packed.pixels[0] = 0


def test_unchanged_files_are_not_decoded_again(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 20)
    first = pack(paths, 32, cache=tmp_path / "cache")
    before = (tmp_path / "cache" / PLACE).stat().st_mtime_ns
    again = pack(paths, 32, cache=tmp_path / "cache")
    assert (tmp_path / "cache" / PLACE).stat().st_mtime_ns == before  # building begins with a folder in it
    assert again.records == first.records
    check(again, paths)


def test_moved_files_are_recognised_by_their_content(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 20)
    first = pack(paths, 32, cache=tmp_path / "cache")
    before = (tmp_path / "cache" / PLACE).stat().st_mtime_ns
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = pack([tmp_path / "moved" / path.name for path in paths], 32, cache=tmp_path / "cache")
    assert (tmp_path / "cache" / PLACE).stat().st_mtime_ns == before
    assert moved.records == first.records


def test_another_order_or_size_is_another_pack(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 5)
    pack(paths, 32, cache=tmp_path / "cache")
    check(pack(paths[::-1], 32, cache=tmp_path / "cache"), paths[::-1])
    check(pack(paths, 48, cache=tmp_path / "cache"), paths, 48)
    assert len(packs(tmp_path / "cache")) == 3


def test_a_change_that_keeps_length_and_time_is_noticed(tmp_path: Path) -> None:
    paths = [path.with_suffix(".bmp.png") for path in pictures(tmp_path / "data", 3)]
    for path in paths:
        Image.new("L", (40, 40), 10).save(path, compress_level=0)
    pack(paths, 32, cache=tmp_path / "cache")
    before = paths[1].stat()
    Image.new("L", (40, 40), 200).save(paths[1], compress_level=0)
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert paths[1].stat().st_size == before.st_size
    check(pack(paths, 32, cache=tmp_path / "cache"), paths)


def cut(folder: Path) -> None:
    with open(folder / "pixels.npy", "r+b") as file:
        file.truncate(5000)


def empty(folder: Path) -> None:
    (folder / "pixels.npy").write_bytes(b"")


def flip(folder: Path) -> None:
    content = bytearray((folder / "pixels.npy").read_bytes())
    content[-1] ^= 255
    (folder / "pixels.npy").write_bytes(content)


def alter_records(folder: Path) -> None:
    content = (folder / "records.json").read_bytes()
    (folder / "records.json").write_bytes(content.replace(b'"PNG"', b'"GIF"', 1))


def lose_records(folder: Path) -> None:
    (folder / "records.json").unlink()


@pytest.mark.parametrize("damage", [cut, empty, flip, alter_records, lose_records])
@pytest.mark.parametrize("moved", [False, True])
def test_a_damaged_pack_is_decoded_again(tmp_path: Path, damage: Callable[[Path], None], moved: bool) -> None:
    paths = pictures(tmp_path / "data", 20)
    pack(paths, 32, cache=tmp_path / "cache")
    damage(packs(tmp_path / "cache")[0])
    if moved:
        (tmp_path / "data").rename(tmp_path / "moved")
        paths = [tmp_path / "moved" / path.name for path in paths]
    packed = pack(paths, 32, cache=tmp_path / "cache")
    check(packed, paths)
    assert packed.records[0].format == "PNG"
    assert len(packs(tmp_path / "cache")) == 1


def test_unreadable_files_are_rows_with_an_error(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 4)
    paths[2].write_bytes(b"not a picture")
    for _ in range(2):  # decoded, then from the cache
        packed = pack(paths, 32, cache=tmp_path / "cache")
        assert packed.readable.tolist() == [True, True, False, True]
        assert packed.records[2].error
        assert not packed.pixels[2].any()
    assert repr(packed) == "Pack(4 images of (32, 32), 1 unreadable)"


def test_a_file_that_was_missing_is_read_once_it_is_there(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 3)
    content = paths[1].read_bytes()
    paths[1].unlink()
    for _ in range(2):
        assert pack(paths, 32, cache=tmp_path / "cache").readable.tolist() == [True, False, True]
    paths[1].write_bytes(content)
    check(pack(paths, 32, cache=tmp_path / "cache"), paths)


def test_identical_pictures_are_grouped_whatever_their_files(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 5)
    paths[3].write_bytes(paths[0].read_bytes())
    Image.open(paths[1]).save(paths[4].with_suffix(".tif"))
    paths[4] = paths[4].with_suffix(".tif")
    empty_files = [tmp_path / "x.png", tmp_path / "y.png"]
    for path in empty_files:
        path.touch()
    assert pack([*paths, *empty_files], 32, cache=tmp_path / "cache").identical() == ((0, 3), (1, 4))


def test_no_files_make_an_empty_pack(tmp_path: Path) -> None:
    packed = pack([], 32, cache=tmp_path)
    assert packed.pixels.shape == (0, 32, 32)
    assert packed.identical() == ()


def test_several_at_once_agree(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 40)
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(pack, paths, 32, cache=tmp_path / "cache") for _ in range(4)]
    for result in results:
        check(result.result(), paths)
    assert len(packs(tmp_path / "cache")) == 1


def test_a_killed_run_leaves_nothing_that_is_taken_for_a_pack(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 1500)
    run = subprocess.Popen([sys.executable, "-c", PACK_64, str(tmp_path / "data"), str(tmp_path / "cache")])
    while run.poll() is None and not list((tmp_path / "cache").glob("packs/.part-*/pixels.npy")):
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert all(entry.name.startswith(".part-") for entry in packs(tmp_path / "cache"))
    check(pack(paths, 64, cache=tmp_path / "cache"), paths, 64)


def test_what_killed_runs_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, new = (tmp_path / PLACE / name for name in (".part-old", ".part-new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "pixels.npy").write_bytes(b"0")
    for path in (old / "pixels.npy", old):
        os.utime(path, (time.time() - ABANDONED_S - 60,) * 2)
    pack(pictures(tmp_path / "data", 2), 32, cache=tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_without_a_writable_cache_images_are_kept_in_memory_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = pictures(tmp_path / "data", 20)
    (tmp_path / "cache").write_text("a file, not a folder")
    with show_progress():
        packed = pack(paths, 32, cache=tmp_path / "cache")
    check(packed, paths)
    assert not packed.pixels.flags.writeable
    message = capsys.readouterr().err
    assert "cannot be written" in message
    assert "LUNGSCOPE_CACHE" in message
    assert "kept in memory" in message


def test_too_many_for_memory_without_a_writable_cache_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(OutputError, match=r"cannot be written .*set LUNGSCOPE_CACHE to another folder"):
        pack([tmp_path / "x.png"] * 2100, 1024, cache=tmp_path / "cache")


def test_a_disk_without_room_is_noticed_before_decoding(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"MB are needed and \d+ MB are free\)\. Make room"):
        pack([tmp_path / "x.png"] * 1000, 1 << 25, cache=tmp_path / "cache")


def test_a_disk_that_fills_up_half_way_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data", 40)
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=r"File too large\)\. Make room, or set LUNGSCOPE_CACHE"):
            pack(paths, 32, cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert packs(tmp_path / "cache") == []


def test_a_cached_pack_of_5216_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (original,) = pictures(tmp_path / "data", 1)
    paths = [original.with_name(f"{i}.png") for i in range(1, 5217)]
    for path in paths:
        os.link(original, path)
    pack(paths, 32, cache=tmp_path / "cache")

    def opened(*_: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("lungscope.data.pack.file_digests", opened)
    monkeypatch.setattr("lungscope.data.pack.decode", opened)
    assert len(pack(paths, 32, cache=tmp_path / "cache")) == 5216
