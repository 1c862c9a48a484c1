"""Our side of training, in turns. Run by `lungscope bench`.

Jobs: bundle (writes an untrained model to predict with), frozen (files → trained head), finetune (all layers), and
for a GPU: synthetic (the training step alone, on pixels that lie on the device), features (a pack → features),
forward (the network alone) and matmul (the arithmetic this device reaches at most).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from benchmarks.predicting import Work, take_turns
from lungscope.bundle.bundle import bundle_bytes
from lungscope.bundle.card import Calibration, Card
from lungscope.config.recipe import Recipe, load_recipe
from lungscope.data.manifest import read_manifest
from lungscope.data.pack import pack
from lungscope.data.split import assign_splits
from lungscope.networks.network import Network, build_network
from lungscope.networks.onnx_graph import build_graph, export_backbone
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint
from lungscope.training.distributed import choose_device, open_fabric
from lungscope.training.features import embedder, view_features
from lungscope.training.finetune import Task, finetune
from lungscope.training.imbalance import plan
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.train import train

CLASSES = ("NORMAL", "PNEUMONIA")
STEPS = 12
"""Batches of one turn of fine-tuning on a processor; a GPU takes `GPU_STEPS`."""
GPU_STEPS = 40


def main() -> None:
    """Do the job named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["bundle", *JOBS])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--frozen-batchnorm", action="store_true", help="Keep the statistics of batch normalisation.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path, help="Folder for the model, of the job bundle.")
    given = parser.parse_args()
    given.device = choose_device(given.device)
    if given.job == "bundle":
        write_bundle(given)
        return
    take_turns(JOBS[given.job](given), given.seconds)


def recipe_of(given: argparse.Namespace) -> Recipe:
    """The default recipe with what is measured here; like the plain scripts it changes no image."""
    still = ("rotation_deg", "zoom", "shift", "flip", "brightness", "contrast", "gamma")
    return load_recipe(
        "default",
        [
            f"network.backbone={given.backbone}", f"image.size={given.size}", "head.augmented_views=1",
            f"head.epochs={given.epochs}", f"head.patience={given.epochs}",
            f"finetune.batch={given.batch}", f"finetune.frozen_batchnorm={str(given.frozen_batchnorm).lower()}",
            *(f"augment.{name}=0.0" for name in still),
        ],
    )  # fmt: skip


def write_bundle(given: argparse.Namespace) -> None:
    """Write a model with an untrained head, and its graph without a heat map beside it."""
    recipe = recipe_of(given)
    torch.manual_seed(0)
    network = build_network(recipe.network, recipe.image, len(CLASSES), given.weights).eval()
    calibration = Calibration(shift=(0.0, 0.0))
    graph = build_graph(network, export_backbone(network, given.size), calibration)
    unknown = Estimate(None, reason="not measured")
    card = Card(
        classes=CLASSES,
        size=given.size,
        operating_points=(OperatingPoint("half", "0.5", 0.5, unknown, unknown),),
        calibration=calibration,
        recipe="",
        recipe_name="bench",
        versions={},
        data={},
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "model.onnx").write_bytes(bundle_bytes(graph, card))
    bare = onnx.utils.Extractor(onnx.load_from_string(graph)).extract_model(["image"], ["probabilities"])
    onnx.save(bare, given.out / "without_heatmap.onnx")


def frozen(given: argparse.Namespace) -> Work:
    """From files to a trained head: decoding, exporting, features, epochs; nothing is kept between turns."""
    recipe = recipe_of(given)
    manifest, _ = assign_splits(read_manifest(given.folder), recipe.data, recipe.seed)
    splits = np.array(manifest.splits)

    def work(seconds: float) -> dict[str, object]:
        if seconds < given.seconds:
            return {}  # a turn is long enough to need no warm-up
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="lungscope-bench-") as cache:
            pixels = pack(manifest.paths, given.size, cache=Path(cache)).pixels
            training, validation = (
                LabelledImages(pixels, manifest.labels, np.flatnonzero(splits == name))
                for name in ("train", "validation")
            )
            train(training, validation, len(manifest.classes), recipe, weights=given.weights, device=given.device)
        return {"images": given.epochs * len(training), "seconds": time.perf_counter() - started}

    return work


def fine(given: argparse.Namespace) -> Work:
    """Whole epochs of all layers over packed images, as `lungscope train` runs them."""
    recipe = recipe_of(given)
    settings = recipe.finetune.model_copy(update={"epochs": 1})
    recipe = recipe.model_copy(update={"finetune": settings})
    torch.manual_seed(0)
    network = build_network(recipe.network, recipe.image, len(CLASSES), given.weights)
    fabric = open_fabric(given.device)
    pixels = _pixels(given)

    def work(seconds: float) -> dict[str, object]:
        if seconds >= given.seconds:
            epoch(1)  # not counted: memory that was taken back while others had their turn
        return epoch(1 if seconds < given.seconds else _steps(given))

    def epoch(steps: int) -> dict[str, object]:
        rows = np.arange(steps * given.batch) % len(pixels)
        labels = np.arange(len(pixels)) % 2
        training = LabelledImages(pixels, labels, rows)
        validation = LabelledImages(pixels, labels, np.arange(2))
        balance = plan(training.labels, 2, recipe)
        started = time.perf_counter()
        finetune(network, Task(training, validation, recipe, balance), fabric=fabric)
        return {"images": len(rows), "seconds": time.perf_counter() - started}

    return work


def synthetic(given: argparse.Namespace) -> Work:
    """The same training step on one batch that lies on the device: what remains without a loader."""
    network, images = _on_device(given)
    fabric = open_fabric(given.device)
    model, optimizer = fabric.setup(network.train(), torch.optim.AdamW(network.parameters(), 1e-4))
    labels = torch.arange(given.batch, device=images.device) % 2

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(images).float(), labels)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()

    return _timed(step, given, given.batch)


def features(given: argparse.Namespace) -> Work:
    """A pack of pixels → features, as the frozen phase and scoring on a GPU compute them."""
    network, _ = _on_device(given)
    pixels, recipe = _pixels(given), recipe_of(given)
    graph = b"" if given.device == "cuda" else export_backbone(network.eval(), given.size)
    embed = embedder(network.eval(), graph, torch.device(given.device))

    def work(seconds: float) -> dict[str, object]:
        rows = np.arange(_steps(given) * given.batch) % len(pixels)
        images = LabelledImages(pixels, np.zeros(len(pixels), np.int64), rows)
        started = time.perf_counter()
        view_features(images, embed, 1, recipe.augment, 0)
        return {"images": len(rows), "seconds": time.perf_counter() - started}

    return work


def forward(given: argparse.Namespace) -> Work:
    """The network alone on pixels that lie on the device."""
    network, images = _on_device(given)
    network.eval()

    @torch.inference_mode()
    def step() -> None:
        network.features(images)

    return _timed(step, given, given.batch)


def matmul(given: argparse.Namespace) -> Work:
    """The product of two large matrices, as images/s: by how many operations an image needs forward."""
    from torch.utils.flop_counter import FlopCounterMode

    network, images = _on_device(given)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval().features(images[:2])
    n, fast = (8192, torch.bfloat16) if images.is_cuda else (1024, torch.float32)
    a = torch.ones(n, n, device=images.device, dtype=fast)
    return _timed(lambda: a @ a, given, 2 * n**3 / (counter.get_total_flops() / 2))


def _pixels(given: argparse.Namespace) -> NDArray[np.uint8]:
    manifest = read_manifest(given.folder)
    wanted = min(len(manifest.paths), _steps(given) * given.batch)
    with tempfile.TemporaryDirectory(prefix="lungscope-bench-") as cache:
        return np.array(pack(manifest.paths[:wanted], given.size, cache=Path(cache)).pixels)


def _steps(given: argparse.Namespace) -> int:
    return GPU_STEPS if given.device == "cuda" else STEPS


def _on_device(given: argparse.Namespace) -> tuple[Network, torch.Tensor]:
    recipe = recipe_of(given)
    network = build_network(recipe.network, recipe.image, len(CLASSES), given.weights)
    network.to(torch.device(given.device)).to(memory_format=torch.channels_last)
    return network, torch.zeros(given.batch, given.size, given.size, dtype=torch.uint8, device=given.device)


def _timed(step: Callable[[], object], given: argparse.Namespace, images: float) -> Work:
    def settle() -> None:
        if given.device == "cuda":
            torch.cuda.synchronize()

    def work(seconds: float) -> dict[str, object]:
        step()
        settle()
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            step()
            settle()
            done += 1
        return {"images": images * done, "seconds": time.perf_counter() - started}

    return work


JOBS = {
    "frozen": frozen,
    "finetune": fine,
    "synthetic": synthetic,
    "features": features,
    "forward": forward,
    "matmul": matmul,
}

if __name__ == "__main__":
    main()
