"""Several processes of `torchrun` against one."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from lungscope.data.phantoms.phantom import write_phantoms
from lungscope.errors import ConfigError
from lungscope.runtime.engine import processor_has_bf16
from lungscope.training.distributed import choose_device, gather, is_first, n_workers, open_fabric, share, total

SETTINGS = [
    "--recipe", "scratch", "--weights", "none", "--device", "cpu", "--set", "image.size=32",
    "--set", "finetune.epochs=3", "--set", "finetune.batch=16", "--set", "network.pooled_dropout=0.0",
    "--set", "head.epochs=0", "--set", "imbalance=class-weights",
]  # fmt: skip


def train(data: Path, out: Path, backbone: str, processes: int) -> str:
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *several, "-m", "lungscope", "train", data, "--out", out, *SETTINGS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LUNGSCOPE_CACHE": str(out.parent / "cache")}
    done = subprocess.run(
        [*map(str, command), "--set", f"network.backbone={backbone}"],
        capture_output=True, text=True, env=environment, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as file:
        return [
            {name: float(cell) for name, cell in row.items() if name not in ("phase", "seconds")}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("distributed") / "phantoms"
    write_phantoms(folder, patients=40, seed=1, size=64)
    return folder


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(data: Path, tmp_path: Path) -> None:
    """Without batch normalisation, whose statistics are per process, only the order of sums differs.

    In bf16 that order shows in the third digit, and two of the few held-out images can change places.
    """
    close, places = (5e-3, 0.1) if processor_has_bf16() else (1e-3, 1e-3)
    train(data, tmp_path / "one", "cnn-nobn-8-16", 1)
    printed = train(data, tmp_path / "two", "cnn-nobn-8-16", 2)
    assert printed.count("Research use only") == 1  # the second process is silent
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    assert len(one) == len(two) == 3
    for row, other in zip(one, two, strict=True):
        for name, value in row.items():
            ranks = name.endswith(("auroc", "accuracy"))
            assert other[name] == pytest.approx(value, rel=close, abs=places if ranks else close), name
    figures = [json.loads((tmp_path / run / "evaluation.json").read_text()) for run in ("one", "two")]
    for name in ("auroc", "accuracy", "brier"):
        assert figures[0][name]["value"] == pytest.approx(figures[1][name]["value"], abs=places)


def test_one_process_is_the_first_and_keeps_everything() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    rows = torch.arange(5)
    assert (n_workers(), is_first()) == (1, True)
    assert torch.equal(share(rows, fabric), rows)
    assert torch.equal(gather(rows, 5, fabric), rows)
    assert torch.equal(total(rows, fabric), rows)
    assert open_fabric("cpu").world_size == 1


def test_an_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Choose auto, cpu or cuda"):
        choose_device("tpu")
