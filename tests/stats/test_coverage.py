"""95 % intervals hold the truth 95 times in 100, and 10,000 predictions are measured in seconds."""

import importlib.util
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.evaluate import evaluate
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
SIMULATIONS = 150


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_simulation", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_intervals_cover_the_truth(simulation) -> None:
    settings = [simulation.Setting(100, 0.9, 0.5), simulation.Setting(250, 0.97, 0.3)]
    found = [simulation.coverage(each, SIMULATIONS, 300) for each in settings]
    mean = {name: np.mean([each[name] for each in found]) for name in found[0]}
    # 93 to 97 %, and 2.4 standard errors of 300 simulations.
    off = {name: share for name, share in mean.items() if not 0.895 <= share < 1}
    assert off == {}


def test_the_simulation_knows_the_truth(simulation) -> None:
    setting = simulation.Setting(4000, 0.85, 0.4)
    sample = simulation.draw(setting, np.random.default_rng(0))
    wanted = simulation.truth(setting)
    for name, estimate in simulation.measure(sample, 50, 0).items():
        assert estimate.value == pytest.approx(wanted[name], abs=0.09), name


@pytest.mark.slow
def test_ten_thousand_predictions_with_two_thousand_draws_need_little_memory() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(10_000) < 0.6).astype(int)
    p_abnormal = 1 / (1 + np.exp(-rng.normal(2.5 * labels - 1.2, 1.2)))
    patients = [f"p{i}" for i in rng.integers(0, 6000, 10_000)]
    points = [OperatingPoint(str(t), str(t), t, Estimate(0.9), Estimate(0.9)) for t in (0.2, 0.5, 0.7, 0.9)]
    columns = np.column_stack([1 - p_abnormal, p_abnormal])
    tracemalloc.start()
    evaluate(check_cases(labels, columns, patients, ("NORMAL", "PNEUMONIA")), points, resamples=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20  # the draws alone, held as indices, would be 160 MB
