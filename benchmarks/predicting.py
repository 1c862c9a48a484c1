"""Our side of prediction, and the limits of the machine, in turns. Run by `lungscope bench`; needs no PyTorch.

Jobs: read (files → table), one (a file → probability, heat map), and the limits: decode (Pillow alone, on all
cores), runtime (the graph alone, on all cores), runtime-one (the graph alone, one image) and copy (the memory).
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lungscope.bundle.bundle import load_bundle
from lungscope.data.images.radiograph import find_images
from lungscope.inference.predictor import BATCH, Predictor
from lungscope.inference.result_table import write_table
from lungscope.runtime.engine import usable_cores
from lungscope.runtime.session import open_session

Work = Callable[[float], dict[str, object]]


def main() -> None:
    """Take turns at the job named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["read", "one", "decode", "runtime", "runtime-one", "copy"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--graph", type=Path, help="Run this ONNX file instead of the bundle's graph.")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--heatmaps", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    predictor = Predictor(load_bundle(given.model), runtime=given.runtime, precision=given.precision)
    work = {"read": read, "one": one, "decode": decode, "copy": copy}.get(given.job, runtime)(predictor, given)
    take_turns(work, given.seconds)


def take_turns(work: Work, seconds: float) -> None:
    """Warm up, say so, then work for `seconds` at every line read and print what was done as JSON."""
    work(min(0.5, seconds))
    print("{}", flush=True)
    for _ in sys.stdin:
        print(json.dumps(work(seconds)), flush=True)


def read(predictor: Predictor, given: argparse.Namespace) -> Work:
    """Files → readings → a table, over and over, until time is up."""
    paths = cycle(find_images(given.folder))
    table = Path(tempfile.mkdtemp(prefix="lungscope-bench-")) / "predictions.csv"

    def work(seconds: float) -> dict[str, object]:
        started, n = time.perf_counter(), 0

        def until_time_is_up() -> Iterator[Path]:
            nonlocal n
            while time.perf_counter() - started < seconds:
                for _ in range(BATCH):
                    n += 1
                    yield next(paths)

        write_table(predictor.assess_files(until_time_is_up(), heatmaps=given.heatmaps), table, predictor.card)
        spent = time.perf_counter() - started
        table.unlink()
        return {"images": n, "seconds": spent}

    return work


def one(predictor: Predictor, given: argparse.Namespace) -> Work:
    """One file after another, each waited for."""
    paths = cycle(find_images(given.folder))

    def work(seconds: float) -> dict[str, object]:
        began, times = time.perf_counter(), []
        while time.perf_counter() - began < seconds:
            started = time.perf_counter()
            list(predictor.assess_files([next(paths)], heatmaps=given.heatmaps))
            times.append(1000 * (time.perf_counter() - started))
        return {"ms": times}

    return work


def decode(predictor: Predictor, given: argparse.Namespace) -> Work:
    """Nothing but Pillow: read, decode at a reduced scale where there is one, resize; all cores."""
    files, size = find_images(given.folder), predictor.card.size
    if files[0].suffix == ".dcm":
        from pydicom import dcmread

        return _on_all_cores(lambda path: Image.fromarray(dcmread(path).pixel_array).resize((size, size)), files)

    return _on_all_cores(lambda path: bare(path, size), files)


def bare(path: Path, size: int) -> Image.Image:
    """A picture in grey, decoded at a reduced scale where its format has one."""
    with Image.open(path) as image:
        drafted = image.draft("L", (size + size // 2,) * 2)
        box = drafted[1] if drafted else None
        return image.convert("L").resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def runtime(predictor: Predictor, given: argparse.Namespace) -> Work:
    """Nothing but the graph on pixels that are in memory: a batch per core at once, or one image on all."""
    alone = given.job == "runtime-one"
    graph = given.graph.read_bytes() if given.graph else predictor.bundle.graph
    session = open_session(graph, predictor.engine, threads=usable_cores() if alone else 1)
    names = ["probabilities", *["heatmap"] * given.heatmaps]
    shape = (1 if alone else BATCH, predictor.card.size, predictor.card.size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if not alone:
        return _on_all_cores(lambda _: session.run([pixels], names), [None] * 16, images=BATCH)

    def work(seconds: float) -> dict[str, object]:
        began, times = time.perf_counter(), []
        while time.perf_counter() - began < seconds:
            started = time.perf_counter()
            session.run([pixels], names)
            times.append(1000 * (time.perf_counter() - started))
        return {"ms": times}

    return work


def copy(predictor: Predictor, given: argparse.Namespace) -> Work:
    """Nothing but moving pixels in memory, more than a cache holds."""
    source = np.zeros((2048, predictor.card.size, predictor.card.size), np.uint8)
    target = np.ones_like(source)
    return _on_all_cores(lambda part: np.copyto(target[part], source[part]), [slice(0, 1024), slice(1024, 2048)],
                         images=1024)  # fmt: skip


def _on_all_cores(do: Callable[[Any], object], items: Sequence[Any], images: int = 1) -> Work:
    """Every core takes items of its own, round and round, until time is up."""
    cores = usable_cores()

    def work(seconds: float) -> dict[str, object]:
        started = time.perf_counter()

        def core(number: int) -> int:
            done = 0
            while time.perf_counter() - started < seconds:
                do(items[(number + done * cores) % len(items)])
                done += 1
            return done

        with ThreadPoolExecutor(cores) as workers:
            done = sum(workers.map(core, range(cores)))
        return {"images": images * done, "seconds": time.perf_counter() - started}

    return work


if __name__ == "__main__":
    main()
