"""One run that measures this machine: Lungscope beside plain scripts of the same work, and the limits.

Absolute figures drift from machine to machine and from hour to hour; the ratios of one run are what counts.
"""

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contender import Measured, alternate
from benchmarks.sections import SECTIONS, Bench, Section, build_sections, models_of
from lungscope.data.images.radiograph import find_images, read_radiograph
from lungscope.errors import ConfigError, LungscopeError, RuntimeUnavailable
from lungscope.runtime.engine import usable_cores
from lungscope.system.progress import note

TURNS = 3
SECONDS, QUICK_SECONDS = 3.0, 1.0
DICOM_FILES = 48
VERSIONED = ("lungscope", "torch", "timm", "onnxruntime", "openvino", "pillow", "numpy")


@dataclass(frozen=True)
class Found:
    """A section and what its contenders did."""

    section: Section
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Benchmark:
    """All that one run found."""

    machine: str
    cores: int
    versions: dict[str, str]
    seconds: float
    """How long the whole run took."""
    found: tuple[Found, ...]
    missing: tuple[str, ...]
    """What could not be measured here, and why."""


def run_benchmark(
    data: Path,
    weights: str,
    full_size: Path | None = None,
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    keras_python: str = "",
    xrv_python: str = "",
) -> Benchmark:
    """Measure prediction, training and their limits on a folder of class folders.

    Args:
        data: class folders.
        weights: a safetensors file of MobileNetV2; random weights without one, which are as fast.
        full_size: class folders of radiographs at their original size.
        only: keys of the sections to measure; all without any.
        quick: short turns; the ratios are less certain.
        keras_python: an interpreter that has TensorFlow; by default this one, if it has.
        xrv_python: an interpreter that has TorchXRayVision; by default this one, if it has.

    Raises:
        ConfigError: a section is unknown, or an interpreter lacks its library.
        RuntimeUnavailable: PyTorch is not installed here.
        LungscopeError: one of our own programs failed.
    """
    check_sections(only)
    if not _has(sys.executable, "torch, timm, onnx"):
        raise RuntimeUnavailable("bench trains and compares: run pip install 'lungscope[train]'.")
    started = time.perf_counter()
    keras, xrv = (_peer(keras_python, "tensorflow"), _peer(xrv_python, "torchxrayvision"))
    with tempfile.TemporaryDirectory(prefix="lungscope-bench-") as folder:
        bench = Bench(
            data, Path(folder), weights, full_size, keras, xrv, QUICK_SECONDS if quick else SECONDS, _has_gpu()
        )
        sections = build_sections(bench, only)
        _prepare(bench, sections)
        found = tuple(_measure(section) for section in sections)
    return Benchmark(_processor(), usable_cores(), _versions(), time.perf_counter() - started, found, _missing(bench))


def check_sections(names: Iterable[str]) -> None:
    """Refuse names of sections that there are not.

    Raises:
        ConfigError: one is unknown.
    """
    for name in names:
        if name not in SECTIONS:
            raise ConfigError(f"--only {name}: there is no such section. Choose from {', '.join(SECTIONS)}.")


def _measure(section: Section) -> Found:
    note(section.title)
    return Found(section, alternate(section.contenders, TURNS))


def _prepare(bench: Bench, sections: Sequence[Section]) -> None:
    """Write the models and the DICOM copies that sections ask for."""
    for backbone, size in sorted(models_of(sections)):
        note(f"Writing an untrained {backbone} at {size} px")
        fits = backbone == "mobilenetv2_100" and Path(bench.weights).is_file()
        command = [
            sys.executable, "-m", "benchmarks.training", "bundle", bench.data, "--backbone", backbone,
            "--size", size, "--out", bench.model(backbone, size), *(["--weights", bench.weights] * fits),
        ]  # fmt: skip
        ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if ended.returncode:
            lines = ended.stderr.strip().splitlines() or ["no message"]
            raise LungscopeError(f"No {backbone} to measure with could be written: {lines[-1]}")
    if any(section.key == "dicom" for section in sections):
        write_dicom(find_images(bench.full_size or bench.data)[:DICOM_FILES], bench.work / "dicom")


def write_dicom(pictures: Sequence[Path], folder: Path) -> None:
    """Copy pictures to uncompressed 8-bit DICOM objects (Digital X-Ray) below `folder`, in two class folders."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    for number, picture in enumerate(pictures):
        pixels = read_radiograph(picture).pixels
        header = Dataset()
        header.SOPClassUID, header.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
        header.Modality, header.PresentationIntentType = "DX", "FOR PRESENTATION"
        header.Rows, header.Columns = pixels.shape
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
        header.WindowCenter, header.WindowWidth = 128, 256
        header.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / "AB"[number % 2] / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)


def _peer(python: str, library: str) -> str:
    """The interpreter that has the library; "" where none does."""
    if python and not _has(python, library):
        raise ConfigError(
            f"{python}: this interpreter cannot import {library}. Install it there: pip install {library}."
        )
    return python or (sys.executable if _has(sys.executable, library) else "")


def _has(python: str, modules: str) -> bool:
    found = "; ".join(f"assert find_spec({name.strip()!r})" for name in modules.split(","))
    code = f"from importlib.util import find_spec; {found}"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _has_gpu() -> bool:
    code = "import torch; assert torch.cuda.is_available()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def _missing(bench: Bench) -> tuple[str, ...]:
    reasons = {
        "Keras: no TensorFlow here; name an interpreter that has it with --keras-python.": bench.keras_python,
        "TorchXRayVision: not installed; name an interpreter that has it with --xrv-python.": bench.xrv_python,
        "Full-size files: name their folder with --full-size.": bench.full_size,
        "GPU: none is at hand.": bench.gpu,
    }
    return tuple(reason for reason, there in reasons.items() if not there)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    flags = [flag for flag in known if f" {flag} " in f"{text} "]
    return f"{names[0] if names else platform.machine()} ({', '.join(flags)})"
