"""The script most people write: ImageFolder, DataLoader, fp32, a loop. Prints one figure as JSON.

It is run in a process of its own, so that import time and memory are counted as a user meets them.
"""

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

BATCH = 32


def main() -> None:
    """Measure the job named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["train", "train-head", "predict", "one"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=320)
    given = parser.parse_args()
    model = timm.create_model(given.backbone, num_classes=2)
    if given.weights:
        model.load_state_dict(load_file(given.weights), strict=False)
    jobs = {"train": train, "train-head": train, "predict": predict, "one": one}
    print(json.dumps(jobs[given.job](model, given)))


def images(folder: Path, size: int) -> ImageFolder:
    """The folder, prepared as tutorials do."""
    steps = [
        transforms.Grayscale(3),
        transforms.Resize((size, size)),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    return ImageFolder(folder, transforms.Compose(steps))


def train(model: nn.Module, given: argparse.Namespace) -> dict[str, float]:
    """Images per second of training all layers, or only the last one."""
    if given.job == "train-head":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith("classifier")
    data = images(given.folder, given.size)
    loader = DataLoader(data, BATCH, sampler=RandomSampler(data))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-4)
    model.train()
    started, seen = 0.0, -BATCH  # the first batch warms up
    for x, y in islice(loader, given.images // BATCH + 1):
        started = started or time.perf_counter()
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if seen < 0:
            started = time.perf_counter()
        seen += len(x)
    return {"images_per_s": seen / (time.perf_counter() - started), "files": len(data)}


def predict(model: nn.Module, given: argparse.Namespace) -> dict[str, float]:
    """Images per second from files to probabilities."""
    data = images(given.folder, given.size)
    loader = DataLoader(data, BATCH, sampler=RandomSampler(data, generator=torch.Generator().manual_seed(0)))
    model.eval()
    seen, started = 0, time.perf_counter()
    with torch.no_grad():
        for x, _ in islice(loader, max(1, given.images // BATCH)):
            model(x).softmax(1)
            seen += len(x)
    return {"images_per_s": seen / (time.perf_counter() - started)}


def one(model: nn.Module, given: argparse.Namespace) -> dict[str, float]:
    """Milliseconds from one file to its probability, in a warm process, without a heat map."""
    data = images(given.folder, given.size)
    transform, times = data.transform, []
    model.eval()
    with torch.no_grad():
        for path, _ in data.samples[: 5 + min(given.images, 60)]:
            started = time.perf_counter()
            model(transform(Image.open(path))[None]).softmax(1)
            times.append(1000 * (time.perf_counter() - started))
    times = sorted(times[5:])
    return {"ms": times[len(times) // 2]}


if __name__ == "__main__":
    main()
