"""TorchXRayVision's DenseNet121 as its README uses it. Run by `lungscope bench` where the library is.

Jobs: predict, one. The same turns as `plain_torch.py`. Weights are random, which does not change the speed.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import skimage.io
import torch
import torchvision
import torchxrayvision as xrv
from torch import Tensor, nn

BATCH = 32


def main() -> None:
    """Take turns at the job named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["predict", "one"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    model = xrv.models.DenseNet(weights=None).eval()
    turns = work(model, given, 1 if given.job == "one" else BATCH)
    next(turns)  # warm
    print("{}", flush=True)
    for _ in sys.stdin:
        print(json.dumps(next(turns)), flush=True)


def work(model: nn.Module, given: argparse.Namespace, batch: int) -> Iterator[dict[str, object]]:
    """From files to outputs, `batch` at a time."""
    paths = cycle(sorted(given.folder.rglob("*.jp*g")))
    prepare = torchvision.transforms.Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(given.size)])
    began, times, seconds = time.perf_counter(), list[float](), 0.0
    while True:
        started = time.perf_counter()
        with torch.no_grad():
            torch.sigmoid(model(torch.stack([image(next(paths), prepare) for _ in range(batch)]))).numpy()
        times.append(1000 * (time.perf_counter() - started))
        spent = time.perf_counter() - began
        if spent >= seconds:
            yield {"images": batch * len(times), "seconds": spent, **({"ms": times} if batch == 1 else {})}
            began, times, seconds = time.perf_counter(), [], given.seconds


def image(path: Path, prepare: torchvision.transforms.Compose) -> Tensor:
    """One picture as the library's README prepares it."""
    pixels = xrv.datasets.normalize(skimage.io.imread(path), 255)
    grey = pixels.mean(2) if pixels.ndim == 3 else pixels
    return torch.from_numpy(prepare(grey[None]))


if __name__ == "__main__":
    main()
