"""Load on the service from a second process, beside what its model does alone in the same run.

Needs wrk. Starts a service of its own on a free port, with an empty store.

Examples:
    python benchmarks/serve_load.py --model runs/first --images chest_xray/test
    python benchmarks/serve_load.py --model runs/first --images chest_xray/test --overload 600
"""

import argparse
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungscope.bundle.bundle import load_bundle
from lungscope.data.decode import decode
from lungscope.data.images.radiograph import find_images
from lungscope.inference.predictor import Predictor

LUA = Path(__file__).with_suffix(".lua")
QUEUE = 256


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    process: int
    store: Path

    def memory_mb(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.process}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stored(self) -> int:
        """Predictions in the store."""
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as store:
            return store.execute("SELECT count(*) FROM predictions").fetchone()[0]


@contextmanager
def running_service(model: Path) -> Iterator[Service]:
    """A service of `model` with an empty store, stopped at the end; its log is verified."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lungscope", "serve", "--model", model, "--data", folder]
        server = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
        url = next(match.group() for line in server.stderr if (match := re.search(r"http://[\d.:]+", line)))
        yield Service(url, server.pid, Path(folder) / "lungscope.db")
        server.terminate()
        print(f"graceful shutdown: exit {server.wait()}")
        subprocess.run([*command, "--verify-log"], check=True)


def wrk(service: Service, listing: Path, connections: int, seconds: float) -> dict:
    """What wrk found with so many connections at once."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "120s", "-s", LUA, service.url]
    done = subprocess.run([*command, "--", listing], capture_output=True, text=True, check=True)
    return json.loads(next(line[5:] for line in done.stdout.splitlines() if line.startswith("JSON ")))


def rate(work: Callable[[], int], seconds: float) -> float:
    """Images per second of `work`, which returns how many it did."""
    work()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        done += work()
    return done / (time.perf_counter() - started)


def measure(service: Service, model: Path, images: list[Path], listing: Path, seconds: float) -> None:
    """One round: the model alone, then the service at 1, 8 and 64 clients."""
    predictor = Predictor(load_bundle(model))
    size = predictor.bundle.card.size
    pixels = np.concatenate([block for block, _ in decode(images, size, 2)])
    bare = rate(lambda: len(predictor.predict(pixels, heatmaps=True).probabilities), seconds)
    files = rate(lambda: sum(1 for _ in predictor.assess_files(images, heatmaps=True)), seconds)
    print(f"model alone: {bare:.0f} images/s from memory, {files:.0f} from files")
    for clients in (1, 8, 64):
        before = service.cpu_s()
        found = wrk(service, listing, clients, seconds)
        answers = found["statuses"].get("201", 0)
        each = answers / found["seconds"]
        print(
            f"{clients:4} clients: {each:6.0f} answers/s  {each / bare:4.0%} of memory  {each / files:4.0%} of files  "
            f"p50 {found['p50_ms']:6.1f} ms  p99 {found['p99_ms']:6.1f} ms  "
            f"{1000 * (service.cpu_s() - before) / max(answers, 1):.1f} ms of CPU each  {found['statuses']}",
            flush=True,
        )


def overload(service: Service, listing: Path, seconds: float) -> None:
    """More connections than twice the queue, for a while; memory is read as it goes."""
    before = service.stored()
    command = ["wrk", "-t1", f"-c{2 * QUEUE + 64}", f"-d{seconds:.0f}s", "--timeout", "120s", "-s", LUA, service.url]
    load = subprocess.Popen([*command, "--", listing], stdout=subprocess.PIPE, text=True)
    memory = []
    while load.poll() is None:
        time.sleep(min(5, seconds / 10))
        memory.append(service.memory_mb())
    found = json.loads(next(line[5:] for line in load.stdout if line.startswith("JSON ")))
    answered, asked = found["statuses"].get("201", 0), sum(found["statuses"].values())
    time.sleep(3)  # what was accepted when wrk stopped is finished and stored too
    stored = service.stored() - before
    print(
        f"overload for {found['seconds']:.0f} s: {found['statuses']}, {found['socket_errors']} socket errors, "
        f"{found['timeouts']} time-outs\n"
        f"answered {answered / found['seconds']:.0f} of {asked / found['seconds']:.0f} requests/s\n"
        f"answered {answered}, stored {stored} (the {stored - answered} more were on their way when wrk stopped)\n"
        f"memory in MB, tenth by tenth: {' '.join(f'{np.mean(part):.0f}' for part in np.array_split(memory, 10))}",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--images", type=Path, required=True)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--overload", type=float, default=0, help="seconds at more than twice the capacity")
    chosen = arguments.parse_args()
    images = find_images(chosen.images)[:512]
    with running_service(chosen.model) as service, tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("\n".join(str(image.resolve()) for image in images) + "\n")
        listing.flush()
        if chosen.overload:
            overload(service, Path(listing.name), chosen.overload)
            return
        for _ in range(chosen.rounds):
            measure(service, chosen.model, images, Path(listing.name), chosen.seconds)


if __name__ == "__main__":
    main()
