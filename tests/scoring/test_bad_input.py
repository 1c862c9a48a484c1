"""Whatever lies among the files: every good one has its scores, every bad one its reason, and the work ends."""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.scoring import engine_local as local
from lungscope.scoring.job import Settings, run_score
from lungscope.scoring.parquet import path_of, split_path


def score(source: object, model: Path, out: Path, *more: str, **how: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lungscope", "score", str(source), "-m", str(model), "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload]


def errors(rows: list[dict]) -> dict[str, str]:
    return {row["path"]: row["error"] for row in rows if row["error"]}


def test_one_per_cent_of_truncated_files(tiny, tmp_path, rows) -> None:
    rng, folder = np.random.default_rng(1), tmp_path / "images"
    folder.mkdir()
    for i in range(300):
        Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(folder / f"{i:03}.jpeg")
    bad = [folder / f"{i:03}.jpeg" for i in (7, 99, 200)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:-200])
    done = score(folder, tiny, tmp_path / "out")
    assert done.returncode == 3, done.stderr
    found = rows(tmp_path / "out")
    assert len(found) == 300
    assert set(errors(found)) == {path.name for path in bad}
    assert all(error.startswith("the JPEG is damaged") for error in errors(found).values())
    assert all((row["finding"] is None) == (row["error"] is not None) for row in found)
    assert "300 files: " in done.stdout
    assert "3 failed" in done.stdout
    assert "3 × the JPEG is damaged" in done.stdout
    assert "jpeg" not in done.stdout + done.stderr  # no file is named outside of the table


def test_links_pipes_sockets_and_folders_named_like_images(folder, tiny, tmp_path, rows) -> None:
    (folder / "up").symlink_to(folder)
    (folder / "ward0" / "twice").symlink_to(folder / "ward1")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(folder):
        listener.bind("socket.png")
    (folder / "empty.tif").touch()
    (folder / "text.bmp").write_text("Patient: somebody")
    assert score(folder, tiny, tmp_path / "out").returncode == 3
    found = rows(tmp_path / "out")
    reasons = {name: error.split(". ")[0] for name, error in errors(found).items()}
    assert reasons == {
        "self.png": "cannot be read (Too many levels of symbolic links)",
        "gone.png": "cannot be read (No such file or directory)",
        "pipe.dcm": "not a regular file",
        "socket.png": "not a regular file",
        "empty.tif": "the file is empty",
        "text.bmp": "the content is text, whatever the name says",
    }
    # ward1 is met through the link first, and each folder counts once.
    assert len(found) - len(reasons) == 60
    assert {Path(row["path"]).name for row in found if not row["error"]} == {f"{i:03}.png" for i in range(60)}


def give_up_root() -> None:
    """Let file permissions bind root too, from the next program on."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; another user has not got them anyway


def test_files_and_folders_without_permission(folder, tiny, tmp_path, rows) -> None:
    (folder / "ward0" / "000.png").chmod(0)
    (folder / "ward1").chmod(0)
    try:
        done = score(folder, tiny, tmp_path / "out", preexec_fn=give_up_root)
    finally:
        (folder / "ward1").chmod(0o755)
    assert done.returncode == 3, done.stderr
    found = rows(tmp_path / "out")
    assert set(errors(found)) == {"ward0/000.png", "ward1"}
    assert all(error.startswith("cannot be read (Permission denied)") for error in errors(found).values())
    assert len(found) == 20 - 1 + 20 + 2
    # Once the folder may be listed, resuming finds what is in it.
    score(folder, tiny, tmp_path / "out", "--resume")
    assert len(rows(tmp_path / "out")) == 41 + 20


NAMES = [
    "Müller.png".encode(), "Müller.png".encode("latin-1"), "胸部.png".encode("shift-jis"), b"a\\xff.png", b"a\xff.png",
    b"line\nbreak.png", b"\xed\xa0\x80.png", b" spaces .png", "😷.png".encode(),
]  # fmt: skip


def test_names_in_any_encoding_come_back_exactly(folder, tiny, tmp_path, rows) -> None:
    base = os.fsencode(folder)
    for name in NAMES:
        os.link(folder / "ward0" / "000.png", os.path.join(base, name))
    with open(os.path.join(base, b"bad\xfe.png"), "wb"):
        pass
    assert score(folder, tiny, tmp_path / "out").returncode == 3
    found = rows(tmp_path / "out")
    exact = {os.fsencode(path_of(row["path"], row["path_bytes"])) for row in found}
    assert set(NAMES) | {b"bad\xfe.png"} == {name for name in exact if b"/" not in name}
    assert len(found) == 60 + len(NAMES) + 1
    text = {row["path_bytes"]: row["path"] for row in found}
    assert text["Müller.png".encode("latin-1")] == r"M\xfcller.png"
    again = score(folder, tiny, tmp_path / "out", "--resume")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["scored_now"] == 0, again.stdout
    # The table is a list in turn.
    listed = next((tmp_path / "out" / "parts").glob("*.parquet")).rename(folder / "list.parquet")
    score(listed, tiny, tmp_path / "listed")
    assert errors(rows(tmp_path / "listed")).keys() == {r"bad\xfe.png"}


@pytest.mark.parametrize("name", NAMES)
def test_a_path_survives_as_text_and_bytes(name: bytes) -> None:
    text, exact = split_path(os.fsdecode(name))
    assert text.encode()
    assert os.fsencode(path_of(text, exact)) == name


def test_files_and_folders_that_vanish_meanwhile(folder, tiny, tmp_path, rows, monkeypatch) -> None:
    score = local.LocalEngine.score

    def vanishing(engine, items):
        yield from score(engine, (vanish(item) for item in items))

    def vanish(item):
        if item.name in ("ward0/003.png", "ward1/004.png"):
            Path(item.place).unlink()
        if item.name == "ward1/001.png":
            shutil.rmtree(folder / "ward2")
        return item

    monkeypatch.setattr(local.LocalEngine, "score", vanishing)
    summary = run_score(str(folder), tiny, tmp_path / "out", Settings())
    reason = "cannot be read (No such file or directory)"
    assert set(errors(rows(tmp_path / "out"))) == {"ward0/003.png", "ward1/004.png", "ward2"}
    assert summary.errors == {reason: 3}
    assert summary.images == 41


def test_a_decoder_that_fails_as_nobody_foresaw_costs_one_row(folder, tiny, tmp_path, rows, monkeypatch) -> None:
    read = local.read_radiograph

    def failing(source, size):
        if str(source).endswith("007.png"):
            raise ZeroDivisionError
        return read(source, size=size)

    monkeypatch.setattr(local, "read_radiograph", failing)
    assert run_score(str(folder), tiny, tmp_path / "out", Settings()).failed == 1
    (error,) = errors(rows(tmp_path / "out")).values()
    assert error.startswith("the decoder failed (ZeroDivisionError)")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 kB; mounting one needs the right to."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_keeps_the_parts_and_resumes(folder, tiny, small_disk, rows) -> None:
    out = small_disk / "out"
    done = score(folder, tiny, out, "--part-rows", "8")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "cannot be written (No space left on device). Choose a place with room and the right to write."
    )
    before = rows(out)
    assert 8 <= len(before) < 60
    assert len(before) % 8 == 0
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert score(folder, tiny, out, "--part-rows", "8", "--resume").returncode == 0
    after = rows(out)
    assert len({row["path"] for row in after}) == len(after) == 60
    assert after[: len(before)] == before


def test_a_part_that_may_not_be_so_large_is_told(folder, tiny, tmp_path) -> None:
    limit = 4096

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = score(folder, tiny, tmp_path / "out", preexec_fn=limited)
    assert done.returncode == 2
    assert "part-000000.parquet: cannot be written (File too large)" in done.stderr
    assert not list((tmp_path / "out" / "parts").glob("*.part*et"))
    assert not list((tmp_path / "out" / "parts").glob(".*.part"))
