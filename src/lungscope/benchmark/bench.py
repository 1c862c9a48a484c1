"""One run that measures this machine: Lungscope beside a plain PyTorch script of the same work, and the limits.

Absolute figures drift from machine to machine and from hour to hour; the ratios of one run are what counts.
Each job runs in a process of its own, as a user would start it.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lungscope.config import load_recipe
from lungscope.console import stderr
from lungscope.data.image import find_images, read_radiograph
from lungscope.errors import LungscopeError
from lungscope.inference.bundle import load_bundle
from lungscope.inference.predictor import Predictor
from lungscope.inference.runtime import usable_cores

EPOCHS = 5
"""Fine-tuning that the frozen default recipe is held against."""
TUTORIAL_SIZE = 224
"""Side of the images in the scripts that people write."""


@dataclass(frozen=True)
class Line:
    """One measured figure beside a peer's or a limit's."""

    job: str
    unit: str
    ours: float
    peer: float | None = None
    """The plain script at our input size: the same work."""
    tutorial: float | None = None
    """The plain script at 224 px, as tutorials have it."""
    limit: float | None = None
    """What this machine could reach at most."""
    note: str = ""


@dataclass(frozen=True)
class Benchmark:
    """All lines and the machine they were measured on."""

    machine: str
    cores: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    seconds: float
    peak_memory_gb: float
    output: str


def run_benchmark(data: Path, weights: str, full_size: Path | None, *, quick: bool = False) -> Benchmark:
    """Measure training, prediction and their limits on a folder of class folders.

    Args:
        data: class folders.
        weights: as for `lungscope train`; the plain script needs a file.
        full_size: a folder of radiographs at their original size.
        quick: fewer images, and no second training run.
    """
    images = 96 if quick else 320
    with tempfile.TemporaryDirectory(prefix="lungscope-bench-") as folder:
        run = Path(folder) / "run"
        lines = list(_training(data, weights, run, images, quick=quick))
        lines += _prediction(data, weights, run, images, "predict, all files")
        if full_size is not None:
            lines += _prediction(full_size, weights, run, images, "predict, full-size files")
        lines += _single(data, weights, run)
    return Benchmark(_processor(), usable_cores(), tuple(lines))


def _training(data: Path, weights: str, run: Path, images: int, *, quick: bool) -> list[Line]:
    size = load_recipe().image.size
    # A cache of its own, so that decoding is part of the figure.
    ours = _lungscope("train", data, "--weights", weights, "--out", run, cache=run.parent / "cache")
    plain, tutorial = (_plain("train", data, weights, s, images) for s in (size, TUTORIAL_SIZE))
    per_run = EPOCHS * 0.7 * plain["files"]  # the training part of the default split
    lines = [
        Line(
            f"default recipe, files to report (plain: {EPOCHS} epochs of all layers, from its rate)",
            "s", ours.seconds, per_run / plain["images_per_s"], per_run / tutorial["images_per_s"],
        ),
        Line("default recipe, peak memory", "GB", ours.peak_memory_gb),
    ]  # fmt: skip
    if not quick:
        again = run.with_name("again")
        _lungscope("train", data, "--weights", weights, "--out", again, cache=run.parent / "cache")
        same = (run / "evaluation.json").read_bytes() == (again / "evaluation.json").read_bytes()
        lines.append(Line("same seed twice, identical evaluation.json", "1 = yes", float(same)))
    return lines


def _prediction(data: Path, weights: str, run: Path, images: int, job: str) -> list[Line]:
    paths = find_images(data)
    out = run.parent / "predictions.csv"
    ours = _lungscope("predict", data, "--model", run, "--out", out)
    predictor = Predictor(load_bundle(run))
    size, limit = predictor.card.size, _limit(predictor, paths)
    plain, tutorial = (
        _plain("predict", data, weights, s, images)["images_per_s"] for s in (size, TUTORIAL_SIZE)
    )
    started = time.perf_counter()
    sum(1 for _ in predictor.read(paths))
    warm = len(paths) / (time.perf_counter() - started)
    return [
        Line(
            f"{job} ({len(paths)}), whole process",
            "images/s",
            len(paths) / ours.seconds,
            plain,
            tutorial,
            limit,
        ),
        Line(f"{job} ({len(paths)}), warm process", "images/s", warm, plain, tutorial, limit),
    ]


def _single(data: Path, weights: str, run: Path) -> list[Line]:
    paths = find_images(data)[:105]
    cold = statistics.median(_lungscope("predict", paths[0], "--model", run).seconds for _ in range(5))
    predictor, times = Predictor(load_bundle(run)), []
    for path in paths:
        started = time.perf_counter()
        list(predictor.read([path], heatmaps=True))
        times.append(1000 * (time.perf_counter() - started))
    warm = sorted(times[5:])
    size = predictor.card.size
    plain, tutorial = (_plain("one", data, weights, s, 60)["ms"] for s in (size, TUTORIAL_SIZE))
    imports = _process([sys.executable, "-c", "import torch, timm"]).seconds
    note = "plain: without a heat map"
    return [
        Line("one image, cold process (plain: importing torch and timm alone)", "s", cold, imports),
        Line(
            "one image, warm, with heat map, median", "ms", warm[len(warm) // 2], plain, tutorial, note=note
        ),
        Line("one image, warm, with heat map, 99th percentile", "ms", warm[int(0.99 * len(warm))], note=note),
    ]


def _limit(predictor: Predictor, paths: Sequence[Path]) -> float:
    """Images/s if every core did nothing but decode and run the graph: 1 / (1/decode + 1/run)."""
    sample = paths[:: max(1, len(paths) // 400)]
    size = predictor.card.size
    with ThreadPoolExecutor(usable_cores()) as workers:
        list(workers.map(lambda path: read_radiograph(path, size=size), sample[:32]))
        started = time.perf_counter()
        decoded = list(workers.map(lambda path: read_radiograph(path, size=size).pixels, sample))
        decode_s = (time.perf_counter() - started) / len(sample)
    pixels = np.stack(decoded)
    predictor.predict(pixels[:32], heatmaps=False)
    started = time.perf_counter()
    predictor.predict(pixels, heatmaps=False)
    run_s = (time.perf_counter() - started) / len(pixels)
    return 1 / (decode_s + run_s)


def _lungscope(*arguments: object, cache: Path | None = None) -> Finished:
    environment = {**os.environ, **({"LUNGSCOPE_CACHE": str(cache)} if cache else {})}
    return _process([sys.executable, "-m", "lungscope", *map(str, arguments)], environment)


def _plain(job: str, data: Path, weights: str, size: int, images: int) -> dict[str, float]:
    script = Path(__file__).with_name("plain_torch.py")
    given = ["--weights", weights] if Path(weights).is_file() else []
    command = [sys.executable, script, job, data, "--size", size, "--images", images, *given]
    figures: dict[str, float] = json.loads(_process([str(part) for part in command]).output.splitlines()[-1])
    return figures


def _process(command: list[str], environment: dict[str, str] | None = None) -> Finished:
    stderr.print(f"[dim]{' '.join(command[1:])}[/dim]", highlight=False, soft_wrap=True)
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        errors.seek(0)
        if os.waitstatus_to_exitcode(status) not in (0, 3):
            lines = errors.read().strip().splitlines()
            raise LungscopeError(f"A benchmark job failed: {lines[-1] if lines else 'no message'}")
        return Finished(seconds, usage.ru_maxrss / 1e6, output.read())


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in f"{text} "]
    return f"{names[0] if names else platform.machine()} ({', '.join(flags)})"


def benchmark_json(benchmark: Benchmark) -> str:
    """The figures as JSON."""
    return json.dumps(asdict(benchmark), indent=2)
