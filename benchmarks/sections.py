"""What is measured: sections, each a list of contenders that take turns at the same work."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.contender import Contender
from lungscope.runtime.engine import has_bf16

Unit = Literal["images/s", "ms", "s"]
HERE = Path(__file__).parent
SIZE, TUTORIAL_SIZE = 160, 224
"""Side of the images of the default recipe, and of the scripts that people write."""
MOBILENET = "mobilenetv2_100"
BF16 = "Lungscope, OpenVINO bf16"
EPOCHS = 10
"""Of the frozen training."""


@dataclass(frozen=True)
class Section:
    """One kind of work."""

    key: str
    title: str
    unit: Unit
    contenders: tuple[Contender, ...]


@dataclass(frozen=True)
class Bench:
    """What there is to measure with."""

    data: Path
    """Class folders of small pictures."""
    work: Path
    """Folder for models and copies."""
    weights: str
    full_size: Path | None = None
    keras_python: str = ""
    """An interpreter that has TensorFlow; "" without one."""
    xrv_python: str = ""
    """An interpreter that has TorchXRayVision; "" without one."""
    seconds: float = 3.0
    """Length of a turn."""
    gpu: bool = False

    def model(self, backbone: str, size: int) -> Path:
        """Folder of an untrained model to predict with."""
        return self.work / f"{backbone}-{size}"


def build_sections(bench: Bench, only: Iterable[str] = ()) -> list[Section]:
    """The sections asked for, or all that this machine and these data allow."""
    wanted = set(only)
    return [
        section
        for key, build in SECTIONS.items()
        if (not wanted or key in wanted)
        if (section := build(bench)).contenders
    ]


def models_of(sections: Iterable[Section]) -> set[tuple[str, int]]:
    """(backbone, size) of the models that sections predict with."""
    keys = {section.key for section in sections}
    small = {(MOBILENET, SIZE)} if keys & {"cold", "latency", "bulk", "full-size", "dicom", "heatmap"} else set()
    return small | ({("resnet50", TUTORIAL_SIZE)} if "resnet50" in keys else set())


def _cold(bench: Bench) -> Section:
    first = next(bench.data.rglob("*.jp*g"), bench.data)
    predict = (sys.executable, "-m", "lungscope", "predict", str(first), "--model", str(bench.model(MOBILENET, SIZE)))
    contenders = [
        Contender("Lungscope, one file to its printed prediction", "ours", predict, once=True),
        Contender("import torch, timm", "peer", (sys.executable, "-c", "import torch, timm"), once=True),
    ]
    if bench.keras_python:
        command = (bench.keras_python, "-c", "import tensorflow")
        contenders.append(Contender("import tensorflow", "peer", command, once=True))
    return Section("cold", "Cold start", "s", tuple(contenders))


def _latency(bench: Bench) -> Section:
    return Section("latency", "One image, warm: file to probability", "ms", (
        _ours(bench, "one", "Lungscope with heat map", "--heatmaps"),
        _ours(bench, "one", "Lungscope"),
        *_plain(bench, "one", bench.data),
        *_keras(bench, "one", bench.data, sizes=(TUTORIAL_SIZE,)),
        *_xrv(bench, "one"),
        _limit(bench, "runtime-one", "runtime alone"),
    ))  # fmt: skip


def _bulk(bench: Bench) -> Section:
    return Section("bulk", "Many small files: files to table", "images/s", (
        _ours(bench, "read", "Lungscope"),
        *_bf16(bench, bench.data),
        *_plain(bench, "predict", bench.data),
        *_keras(bench, "predict", bench.data),
        *_xrv(bench, "predict"),
        _limit(bench, "decode", "decoding alone"),
        _limit(bench, "runtime", "runtime alone"),
        _limit(bench, "copy", "copying pixels in memory"),
    ))  # fmt: skip


def _full_size(bench: Bench) -> Section:
    folder = bench.full_size
    return Section("full-size", "Full-size files: files to table", "images/s", () if folder is None else (
        _ours(bench, "read", "Lungscope", folder=folder),
        *_bf16(bench, folder),
        *_plain(bench, "predict", folder),
        *_keras(bench, "predict", folder, sizes=(TUTORIAL_SIZE,)),
        _limit(bench, "decode", "decoding alone", folder=folder),
        _limit(bench, "runtime", "runtime alone"),
    ))  # fmt: skip


def _dicom(bench: Bench) -> Section:
    folder = bench.work / "dicom"
    return Section("dicom", "DICOM objects of full size: files to table", "images/s", (
        _ours(bench, "read", "Lungscope", folder=folder),
        *_plain(bench, "predict", folder),
        _limit(bench, "decode", "decoding alone", folder=folder),
        _limit(bench, "runtime", "runtime alone"),
    ))  # fmt: skip


def _heatmap(bench: Bench) -> Section:
    bare = ("--graph", str(bench.model(MOBILENET, SIZE) / "without_heatmap.onnx"))
    return Section("heatmap", "The heat map's extra cost: the graph alone", "images/s", (
        _ours(bench, "runtime", "with heat map", "--heatmaps"),
        _limit(bench, "runtime", "exported without it", *bare),
    ))  # fmt: skip


def _resnet50(bench: Bench) -> Section:
    network = ("resnet50", TUTORIAL_SIZE)
    return Section("resnet50", "ResNet50 at 224 px, small files: files to table", "images/s", (
        _ours(bench, "read", "Lungscope", network=network),
        _ours(bench, "read", "Lungscope, OpenVINO", "--runtime", "openvino", network=network, role="peer"),
        *_bf16(bench, bench.data, network),
        *_plain(bench, "predict", bench.data, "--backbone", "resnet50", sizes=(TUTORIAL_SIZE,)),
        *_keras(bench, "predict", bench.data, "--backbone", "resnet50", sizes=(TUTORIAL_SIZE,)),
        _limit(bench, "runtime", "runtime alone", network=network),
    ))  # fmt: skip


def _frozen(bench: Bench) -> Section:
    title = f"Training of the head, {EPOCHS} epochs: images shown per second"
    return Section("frozen", title, "images/s", (
        _training(bench, "frozen", "Lungscope, 160 px", "--epochs", EPOCHS),
        *_plain(bench, "train-head", bench.data),
        *_keras(bench, "train-head", bench.data, sizes=(TUTORIAL_SIZE,)),
    ))  # fmt: skip


def _finetune(bench: Bench) -> Section:
    kept, large = ("--frozen-batchnorm",), ("--size", TUTORIAL_SIZE)
    return Section("finetune", "Training of all layers, batch 32", "images/s", (
        _training(bench, "finetune", "Lungscope, 224 px", *large, *kept),
        _training(bench, "finetune", "Lungscope, 160 px", *kept, role="peer"),
        _training(bench, "finetune", "Lungscope, 224 px, statistics of each batch", *large, role="peer"),
        *_plain(bench, "train", bench.data),
        *_keras(bench, "train", bench.data, sizes=(TUTORIAL_SIZE,)),
    ))  # fmt: skip


def _gpu(bench: Bench) -> Section:
    resnet = ("--backbone", "resnet50", "--size", TUTORIAL_SIZE, "--batch", 256, "--device", "cuda")
    jobs = (
        ("finetune", "training", "ours"), ("synthetic", "training on synthetic tensors", "limit"),
        ("features", "scoring", "peer"), ("forward", "scoring of synthetic tensors", "limit"),
        ("matmul", "all arithmetic of the device, forward", "limit"),
    )  # fmt: skip
    contenders = tuple(_training(bench, job, name, *resnet, role=role) for job, name, role in jobs)  # type: ignore[arg-type]
    return Section("gpu", "GPU, ResNet50 at 224 px", "images/s", contenders if bench.gpu else ())


Role = Literal["ours", "peer", "limit"]


def _ours(
    bench: Bench, job: str, name: str, *options: object, folder: Path | None = None,
    network: tuple[str, int] = (MOBILENET, SIZE), role: Role = "ours",
) -> Contender:  # fmt: skip
    command = (
        sys.executable, "-m", "benchmarks.predicting", job, folder or bench.data,
        "--model", bench.model(*network), "--seconds", bench.seconds, *options,
    )  # fmt: skip
    return Contender(name, role, _texts(command))


def _bf16(bench: Bench, folder: Path, network: tuple[str, int] = (MOBILENET, SIZE)) -> list[Contender]:
    """The same work in bfloat16, where the processor computes in it."""
    options = ("--runtime", "openvino", "--precision", "bf16")
    return [_ours(bench, "read", BF16, *options, folder=folder, network=network)] if has_bf16() else []


def _limit(
    bench: Bench, job: str, name: str, *options: object, folder: Path | None = None,
    network: tuple[str, int] = (MOBILENET, SIZE),
) -> Contender:  # fmt: skip
    return _ours(bench, job, name, *options, folder=folder, network=network, role="limit")


def _training(bench: Bench, job: str, name: str, *options: object, role: Role = "ours") -> Contender:
    command = (
        sys.executable, "-m", "benchmarks.training", job, bench.data,
        "--seconds", bench.seconds, *_weights(bench, options), *options,
    )  # fmt: skip
    return Contender(name, role, _texts(command))


def _plain(
    bench: Bench, job: str, folder: Path, *options: object, sizes: tuple[int, ...] = (SIZE, TUTORIAL_SIZE)
) -> list[Contender]:
    script = (sys.executable, HERE / "plain_torch.py", job, folder, "--seconds", bench.seconds)
    return [
        Contender(
            f"plain PyTorch, {size} px", "peer",
            _texts((*script, "--size", size, *_weights(bench, options), *options)),
        )
        for size in sizes
    ]  # fmt: skip


def _keras(
    bench: Bench, job: str, folder: Path, *options: object, sizes: tuple[int, ...] = (SIZE, TUTORIAL_SIZE)
) -> list[Contender]:
    script = (bench.keras_python, HERE / "plain_keras.py", job, folder, "--seconds", bench.seconds)
    return [
        Contender(f"Keras, {size} px", "peer", _texts((*script, "--size", size, *options)))
        for size in sizes
        if bench.keras_python
    ]


def _xrv(bench: Bench, job: str) -> list[Contender]:
    command = (bench.xrv_python, HERE / "plain_xrv.py", job, bench.data, "--seconds", bench.seconds)
    name = "TorchXRayVision DenseNet121, 224 px"
    return [Contender(name, "peer", _texts(command))] if bench.xrv_python else []


def _weights(bench: Bench, options: tuple[object, ...]) -> tuple[object, ...]:
    """The file of weights is one of MobileNetV2."""
    fits = Path(bench.weights).is_file() and "resnet50" not in options
    return ("--weights", bench.weights) if fits else ()


def _texts(parts: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(part) for part in parts)


SECTIONS: dict[str, Callable[[Bench], Section]] = {
    "cold": _cold,
    "latency": _latency,
    "bulk": _bulk,
    "full-size": _full_size,
    "dicom": _dicom,
    "heatmap": _heatmap,
    "resnet50": _resnet50,
    "frozen": _frozen,
    "finetune": _finetune,
    "gpu": _gpu,
}
