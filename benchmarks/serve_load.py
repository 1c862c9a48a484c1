"""Load on a running service, beside the bare rate of its model: requests/s, p50 and p99 by number of clients.

Example: python benchmarks/serve_load.py --model runs/first --images chest_xray/test --url http://127.0.0.1:8000
"""

import argparse
import asyncio
import itertools
import random
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from lungscope.data.image import find_images
from lungscope.inference.bundle import load_bundle
from lungscope.inference.predictor import Predictor


async def client(host: str, port: int, requests: "itertools.cycle[bytes]", until: float, found: list) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        status = int(head[9:12])
        found.append((status, time.perf_counter() - started))
        if status == 429:
            wait = next(int(line[12:]) for line in lines if line.startswith(b"retry-after:"))
            await asyncio.sleep(wait * random.uniform(0.1, 1))
    writer.close()


async def load(host: str, port: int, requests: list[bytes], clients: int, seconds: float) -> None:
    found: list[tuple[int, float]] = []
    cycle = itertools.cycle(requests)
    started = time.perf_counter()
    await asyncio.gather(*[client(host, port, cycle, started + seconds, found) for _ in range(clients)])
    elapsed = time.perf_counter() - started
    times = sorted(taken for status, taken in found if status == 201)
    statuses = dict(Counter(status for status, _ in found))
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(
        f"{clients:4} clients: {len(times) / elapsed:6.0f} answers/s  p50 {1000 * p50:6.1f} ms  "
        f"p99 {1000 * p99:6.1f} ms  {statuses}",
        flush=True,
    )


def bare_rate(model: Path, images: list[Path], seconds: float) -> float:
    predictor = Predictor(load_bundle(model))
    list(predictor.read(images[:64], heatmaps=True))
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        done += sum(1 for _ in predictor.read(images, heatmaps=True))
    return done / (time.perf_counter() - started)


def as_request(image: Path, host: str) -> bytes:
    content = image.read_bytes()
    head = f"POST /v1/predictions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--images", type=Path, required=True)
    arguments.add_argument("--url", default="http://127.0.0.1:8000")
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    arguments.add_argument("--seconds", type=float, default=10)
    chosen = arguments.parse_args()
    images = find_images(chosen.images)[:512]
    print(f"Predictor alone: {bare_rate(chosen.model, images, chosen.seconds):.0f} images/s", flush=True)
    url = urlsplit(chosen.url)
    requests = [as_request(image, url.netloc) for image in images]
    for clients in chosen.clients:
        asyncio.run(load(url.hostname or "", url.port or 80, requests, clients, chosen.seconds))


if __name__ == "__main__":
    main()
