"""Fixtures every suite may use."""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungscope.evaluation.cases import Cases, check_cases
from lungscope.evaluation.evaluate import Evaluation, evaluate
from lungscope.stats.operating_points import OperatingPoint, choose, parse_goal
from lungscope.system.parallel import cores


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several workers cores of its own: threads of one would wait for those of the others."""
    if workers := getattr(config.option, "numprocesses", None):  # they inherit it, before they import anything
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
        ours, count = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        number = int(worker.removeprefix("gw"))
        os.sched_setaffinity(0, ours[number::count] or [ours[number % len(ours)]])


@pytest.fixture(autouse=True)
def operators_parsed_once() -> None:
    """Every export reads the source of 500 operators anew, which takes longer than a small network."""
    if operators := sys.modules.get("torch.onnx._internal.exporter._registration"):
        registry = operators.ONNXRegistry
        if isinstance(registry.__dict__["from_torchlib"], classmethod):
            registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))
    if (tracing := sys.modules.get("torch._export.utils")) and not hasattr(
        tracing._materialize_cpp_cia_ops, "cache_info"
    ):
        tracing._materialize_cpp_cia_ops = functools.cache(tracing._materialize_cpp_cia_ops)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images are kept in a folder of the tests."""
    os.environ["LUNGSCOPE_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")


@pytest.fixture(scope="session")
def run() -> Callable[..., int]:
    """A command line; gives its exit status."""
    from lungscope.cli.app import main

    def run(*arguments: object) -> int:
        argv, sys.argv = sys.argv, ["lungscope", *map(str, arguments)]
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            sys.argv = argv
        return 0

    return run


@pytest.fixture
def refused(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A command line that a user must correct; gives the one line that says so."""

    def refused(*arguments: object) -> str:
        capsys.readouterr()
        assert run(*arguments) == 2
        *before, line = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("lungscope: ")
        assert "Traceback" not in "".join(before)
        return line

    return refused


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and weights beside the repository."""
    folder = Path(os.environ.get("LUNGSCOPE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no real radiographs here; LUNGSCOPE_SHARED names their folder")
    return folder


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 60 noisy pictures, a little brighter in the second class; 15 patients, a third of them in each split."""
    import numpy as np
    from PIL import Image

    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    lines = ["path,label,patient,split"]
    for i in range(60):
        pixels = rng.normal(90, 30, (36, 36)) + 15 * (i % 2)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / f"{i}.png")
        lines.append(f"{i}.png,{('NORMAL', 'PNEUMONIA')[i % 2]},p{i // 4},{('train', 'validation', 'test')[i // 20]}")
    (root / "table.csv").write_text("\n".join(lines))
    return root / "table.csv"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small untrained network: NORMAL and PNEUMONIA, 64 px, two operating points."""
    import torch

    from lungscope.bundle.bundle import bundle_bytes
    from lungscope.bundle.card import Calibration, Card
    from lungscope.bundle.validation_summary import SKETCH, Curve, Reference, Validation
    from lungscope.config.settings import ImageSettings, NetworkSettings
    from lungscope.networks.network import build_network
    from lungscope.networks.onnx_graph import build_graph, export_backbone
    from lungscope.stats.estimate import Estimate
    from lungscope.stats.operating_points import OperatingPoint

    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone="mobilenetv2_050"), ImageSettings(size=64), 2).eval()
    with torch.no_grad():
        network.head.output.weight.mul_(40)  # spreads the probabilities of noise images
    calibration = Calibration("temperature", 0.8, (0.0, 0.0))
    estimate = Estimate(0.9, 0.8, 0.95)
    card = Card(
        classes=("NORMAL", "PNEUMONIA"),
        size=64,
        operating_points=tuple(
            OperatingPoint(name, str(threshold), threshold, estimate, estimate)
            for name, threshold in (("half", 0.5), ("strict", 0.999))
        ),
        calibration=calibration,
        recipe='name = "test"\n',
        recipe_name="test",
        versions={},
        data={},
        validation=Validation(
            Curve((0.0, 0.25, 0.5, 0.75, 1.01), (1.0, 0.95, 0.9, 0.6, 0.0), (0.0, 0.5, 0.8, 0.9, 1.0), 60, 140),
            Reference(200, 0.4, (0.1,) * 10, (0.0,) * SKETCH, (1.0,) * SKETCH),
        ),
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(bundle_bytes(build_graph(network, export_backbone(network, 64), calibration), card))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty-one small JPEG pictures of noise over a gradient, each another one."""
    import numpy as np
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [folder / f"picture{i:02}.jpeg" for i in range(41)]
    for path in paths:
        slope = np.linspace(0, rng.integers(50, 200), 90)[None, :]
        pixels = rng.normal(60, 25, (70, 90)) + slope
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


@pytest.fixture(scope="session")
def checked_model(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """A bundle of a small network, 64 px, with an input check and prediction sets fitted on `pictures`."""
    import numpy as np
    import torch

    from lungscope.bundle.bundle import bundle_bytes
    from lungscope.bundle.card import Calibration, Card
    from lungscope.bundle.input_check import CHECKS, calibrate_input_check
    from lungscope.config.settings import ImageSettings, InputCheckSettings, NetworkSettings
    from lungscope.data.images.radiograph import read_radiograph
    from lungscope.networks.network import build_network
    from lungscope.networks.onnx_graph import build_graph, export_backbone
    from lungscope.runtime.engine import choose_engine
    from lungscope.runtime.session import open_session
    from lungscope.stats.conformal import fit_conformal
    from lungscope.stats.estimate import Estimate
    from lungscope.stats.operating_points import OperatingPoint
    from lungscope.training.features import embedder
    from lungscope.training.input_check import fit_input_check
    from lungscope.training.labelled_images import LabelledImages

    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone="cnn-8-16-32"), ImageSettings(size=64), 2).eval()
    backbone = export_backbone(network, 64)
    pixels = np.stack([read_radiograph(path, size=64).pixels for path in pictures])
    images = LabelledImages(pixels, np.arange(41) % 2, np.arange(41))
    input_check = fit_input_check(
        images, embedder(network, backbone, torch.device("cpu")), InputCheckSettings(directions=8), 0
    )
    graph = build_graph(network, backbone, Calibration(), input_check)
    session = open_session(graph, choose_engine("onnxruntime", "fp32"), threads=1)
    probabilities, distances, checks = session.run([pixels], ["probabilities", "distance", "checks"])
    card = Card(
        classes=("NORMAL", "PNEUMONIA"),
        size=64,
        operating_points=(OperatingPoint("half", "0.5", 0.5, Estimate(0.9), Estimate(0.9)),),
        calibration=Calibration(),
        recipe='name = "test"\n',
        recipe_name="test",
        versions={},
        data={},
        input_check=calibrate_input_check(distances, checks, CHECKS, [""] * 41, 0.95),
        conformal=fit_conformal(images.labels, probabilities),
    )
    path = tmp_path_factory.mktemp("checked") / "model.onnx"
    path.write_bytes(bundle_bytes(graph, card))
    return path


GOALS = {"sensitivity-95": "sensitivity >= 0.95", "specificity-90": "specificity >= 0.90", "half": "0.5"}


@dataclass(frozen=True)
class Sample:
    """Labels and predictions of N images."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    patients: tuple[str, ...]
    classes: tuple[str, ...]

    def points(self) -> list[OperatingPoint]:
        p_abnormal = 1 - self.probabilities[:, 0].astype(np.float64)
        return [choose(parse_goal(goal), self.labels > 0, p_abnormal, name=name) for name, goal in GOALS.items()]

    def cases(self) -> Cases:
        return check_cases(self.labels, self.probabilities, self.patients, self.classes)

    def without_reference(self) -> Cases:
        """The same cases of classes of which none is the reference."""
        names = tuple("ABC"[: len(self.classes)])
        return check_cases(self.labels, self.probabilities, self.patients, names, has_reference=False)

    def evaluation(self, prevalence: float | None = None) -> Evaluation:
        return evaluate(self.cases(), self.points(), prevalence=prevalence, resamples=200)


def draw(classes: tuple[str, ...], n: int, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), n)
    logits = rng.normal(size=(n, len(classes)))
    logits[np.arange(n), labels] += 1.8
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    patients = tuple(f"person{i}" for i in rng.integers(0, n * 2 // 3, n))
    return Sample(labels, probabilities.astype(np.float32), patients, classes)


@pytest.fixture(scope="session")
def two() -> Sample:
    return draw(("NORMAL", "PNEUMONIA"), 300, seed=1)


@pytest.fixture(scope="session")
def three() -> Sample:
    return draw(("NORMAL", "BACTERIAL", "VIRAL"), 300, seed=2)
