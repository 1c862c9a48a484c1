"""Runs of low values: planted ones are found, chance is not."""

import numpy as np
import pytest
from scipy.stats import kstest

from lungscope.stats import scan
from lungscope.stats.scan import low_runs


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def test_a_planted_run_is_found_where_it_is() -> None:
    values = noise(300)
    values[100:125] -= 3
    (run,) = low_runs(values)
    assert abs(run.cases[0] - 100) <= 2
    assert abs(run.cases[-1] - 124) <= 2
    assert len(run.cases) == run.cases[-1] - run.cases[0] + 1
    assert run.p == 0.001  # the lowest that 999 permutations can show
    assert run.depth > 1


def test_the_deeper_of_two_runs_comes_first() -> None:
    values = noise(400)
    values[50:70] -= 2
    values[300:330] -= 3
    first, second = low_runs(values)
    assert abs(first.cases[0] - 300) <= 2
    assert abs(second.cases[0] - 50) <= 2


def test_a_run_around_another_does_not_hold_its_cases() -> None:
    values = noise(400)
    values[80:140] -= 2.5
    values[100:115] -= 4
    found = low_runs(values)
    cases = np.concatenate([run.cases for run in found])
    assert len(cases) == len(set(cases)) >= 55
    assert set(range(102, 113)) <= set(cases)


def test_a_run_of_little_depth_is_passed_over_and_what_follows_is_not() -> None:
    values = noise(800)
    values[:190] -= 0.8
    values[600:612] -= 2.6
    assert {run.depth > 1 for run in low_runs(values)} == {True, False}
    (deep,) = low_runs(values, depth=1.0)
    assert abs(deep.cases[0] - 600) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_no_run(seed) -> None:
    assert low_runs(noise(200, seed), level=0.001) == ()


def test_the_p_value_is_even_where_there_is_nothing(monkeypatch) -> None:
    monkeypatch.setattr(scan, "PERMUTATIONS", 99)
    found = [low_runs(noise(60, seed), level=1.0)[0].p for seed in range(200)]
    # Half a step is added, for the p-value takes a hundred values only.
    assert kstest(np.array(found) - 0.005, "uniform").pvalue > 0.01


def test_one_extreme_value_makes_no_run() -> None:
    values = noise(200, 3)
    values[100] = -1e9
    assert low_runs(values, level=0.001) == ()


@pytest.mark.parametrize("n", [0, 1, 39])
def test_too_few_cases_have_no_runs(n) -> None:
    assert low_runs(noise(n)) == ()


def test_equal_values_have_no_runs() -> None:
    assert low_runs(np.ones(100)) == ()
