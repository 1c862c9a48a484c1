"""`lungscope score` as a user meets it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (80, 90), dtype=np.uint8)).save(tmp_path / "images" / f"{i:02}.png")
    return tmp_path / "images"


def test_it_tells_counts_rate_and_place(run, folder, model, tmp_path, capsys) -> None:
    assert run("score", folder, "-m", model, "--out", tmp_path / "out") == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("20 files: ")
    assert "images/s" in second
    assert last == f"1 part → {tmp_path / 'out'}. Research use only. Not a medical device."


def test_a_bad_file_is_told_by_its_kind_and_exit_3(run, folder, model, tmp_path, capsys) -> None:
    (folder / "Doe^John.png").touch()
    assert run("score", folder, "-m", model, "--out", tmp_path / "out") == 3
    told = capsys.readouterr()
    assert "  1 × the file is empty" in told.out
    assert "Doe" not in told.out + told.err


def test_shards_and_resume(run, folder, model, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run("score", folder, "-m", model, "--out", out, "--shard", "1/2") == 0
    assert run("score", folder, "-m", model, "--out", out, "--shard", "2/2") == 0
    assert run("score", folder, "-m", model, "--out", out) == 0  # the whole finds its shards done
    assert "20 files, 20 of them before: " in capsys.readouterr().out
    assert run("score", folder, "-m", model, "--out", out) == 0
    assert run("score", folder, "-m", model, "--out", out, "--shard", "1/2") == 2
    assert "Pass --resume to go on with them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--shard", "3/2"), "numbered 1/2 to 2/2"),
        (("--operating-point", "none"), "It has: half, strict"),
        (("--runtime", "abacus"), "Choose auto"),
    ],
)
def test_an_argument_that_cannot_be_is_one_line(run, folder, model, tmp_path, capsys, arguments, remedy) -> None:
    assert run("score", folder, "-m", model, "--out", tmp_path / "out", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert remedy in line
    assert not (tmp_path / "out").exists()
