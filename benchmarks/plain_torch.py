"""The script most people write: ImageFolder, DataLoader, fp32, a loop. Run by `lungscope bench`.

Jobs: train (all layers), train-head, predict, one. Prints a line when ready, then does one turn of the job
for every line it reads and prints what it did as JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import DatasetFolder

BATCH = 32


def main() -> None:
    """Take turns at the job named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["train", "train-head", "predict", "one"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    model = timm.create_model(given.backbone, num_classes=2)
    if given.weights:
        model.load_state_dict(load_file(given.weights), strict=False)
    jobs = {"train": train, "train-head": train, "predict": predict, "one": one}
    turns = jobs[given.job](model, given)
    next(turns)  # warm
    print("{}", flush=True)
    for _ in sys.stdin:
        print(json.dumps(next(turns)), flush=True)


def open_image(path: str) -> Image.Image:
    """A picture or a DICOM object."""
    if path.endswith(".dcm"):
        from pydicom import dcmread

        return Image.fromarray(dcmread(path).pixel_array)
    return Image.open(path)


def images(folder: Path, size: int) -> DatasetFolder:
    """The folder, prepared as tutorials do."""
    steps = [
        transforms.Grayscale(3),
        transforms.Resize((size, size)),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    return DatasetFolder(folder, open_image, ("jpeg", "jpg", "png", "dcm"), transforms.Compose(steps))


def batches(given: argparse.Namespace) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches without end."""
    data = images(given.folder, given.size)
    loader = DataLoader(data, min(BATCH, len(data)), shuffle=True, drop_last=True)
    while True:
        yield from loader


class Clock:
    """Times turns; the first, to get warm, is a single batch, and the first batch of every other is not counted.

    While others have their turn the machine takes back memory, which that batch fetches.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.warm = seconds, False
        self.start()

    def start(self) -> None:
        """Begin a turn."""
        self.started, self.seen, self.waiting = time.perf_counter(), 0, self.warm

    def after(self, images: int) -> dict[str, float] | None:
        """Count a batch; the turn, when it is over."""
        if self.waiting:
            self.started, self.waiting = time.perf_counter(), False
            return None
        self.seen += images
        spent = time.perf_counter() - self.started
        if self.warm and spent < self.seconds:
            return None
        self.warm = True
        return {"images": self.seen, "seconds": spent}


def train(model: nn.Module, given: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train all layers, or only the last one."""
    if given.job == "train-head":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith(("classifier", "fc"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-4)
    model.train()
    clock = Clock(given.seconds)
    for x, y in batches(given):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        if turn := clock.after(len(x)):
            yield turn
            clock.start()


def predict(model: nn.Module, given: argparse.Namespace) -> Iterator[dict[str, float]]:
    """From files to probabilities."""
    model.eval()
    clock = Clock(given.seconds)
    for x, _ in batches(given):
        with torch.no_grad():
            model(x).softmax(1).numpy()
        if turn := clock.after(len(x)):
            yield turn
            clock.start()


def one(model: nn.Module, given: argparse.Namespace) -> Iterator[dict[str, list[float]]]:
    """From one file to its probability, one after another, without a heat map."""
    data = images(given.folder, given.size)
    transform = transforms.Compose([data.transform])
    model.eval()
    times: list[float] = []
    began, seconds = time.perf_counter(), 0.5
    while True:
        for path, _ in data.samples:
            started = time.perf_counter()
            with torch.no_grad():
                model(transform(open_image(path))[None]).softmax(1).numpy()
            times.append(1000 * (time.perf_counter() - started))
            if time.perf_counter() - began >= seconds:
                yield {"ms": times}
                times, began, seconds = [], time.perf_counter(), given.seconds


if __name__ == "__main__":
    main()
