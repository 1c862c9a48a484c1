"""Ratios are of turns that lie side by side, so that load on the machine cancels."""

import numpy as np
import pytest

from benchmarks.contender import Contender, Measured, Turn
from benchmarks.ratio import TARGETS, compare, cpu_ms_per_image, how_many_times, percentile, values
from benchmarks.sections import SECTIONS, Bench, build_sections


def measured(name: str, rates: list[float], role: str = "peer") -> Measured:
    turns = tuple(Turn(rate, 1.0, 0.5, 0.0) for rate in rates)
    return Measured(Contender(name, role, ()), turns)  # type: ignore[arg-type]


def timed(name: str, *turns: tuple[float, ...]) -> Measured:
    return Measured(Contender(name, "peer", ()), tuple(Turn(len(ms), 1.0, None, None, ms) for ms in turns))


def test_a_slow_hour_that_hits_both_alike_changes_no_ratio() -> None:
    ours, other = measured("ours", [300, 30, 200], "ours"), measured("other", [100, 10, 100])
    ratio = how_many_times(ours, other, "images/s")
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (3.0, 2.0, 3.0)


def test_times_are_better_when_they_are_shorter() -> None:
    ours, other = timed("ours", (5.0, 4.0, 9.0)), timed("other", (20.0, 30.0, 20.0))
    assert values(ours, "ms") == [5.0]
    assert how_many_times(ours, other, "ms").median == 4.0


def test_percentiles_are_those_of_numpy() -> None:
    times = np.random.default_rng(0).exponential(size=1001)
    for percent in (50, 99):
        wanted = np.percentile(times, percent, method="nearest")
        assert percentile(tuple(times), percent) == pytest.approx(wanted, rel=0.02)


def test_processor_time_is_per_image() -> None:
    assert cpu_ms_per_image(measured("ours", [100, 100])) == 5.0
    assert cpu_ms_per_image(timed("ours", (1.0,))) is None


def test_a_section_is_held_against_the_nearer_limit() -> None:
    contenders = [
        measured("Lungscope", [90], "ours"), measured("plain PyTorch, 160 px", [20]),
        measured("decoding alone", [400], "limit"), measured("runtime alone", [100], "limit"),
    ]  # fmt: skip
    verdicts = {verdict.target.against: verdict for verdict in compare("bulk", "images/s", contenders)}
    assert verdicts["decoding alone|runtime alone"].ratio.median == 0.9
    assert verdicts["decoding alone|runtime alone"].reached
    assert verdicts["plain PyTorch, 160 px"].ratio.median == 4.5
    assert not verdicts["plain PyTorch, 160 px"].reached
    assert not any("Keras" in against for against in verdicts)  # it was not there


def test_a_contender_without_a_turn_is_not_judged() -> None:
    contenders = [measured("Lungscope", [90], "ours"), measured("plain PyTorch, 160 px", [])]
    assert compare("bulk", "images/s", contenders) == []


def test_every_target_names_a_contender_that_there_is(tmp_path: object) -> None:
    bench = Bench(tmp_path, tmp_path, "none", tmp_path, "keras", "xrv", gpu=True)  # type: ignore[arg-type]
    names = {section.key: [one.name for one in section.contenders] for section in build_sections(bench)}
    assert set(names) == set(SECTIONS)
    for target in TARGETS:
        for against in target.against.split("|"):
            assert any(name.startswith(against) for name in names[target.section][1:]), target


def test_what_computes_in_bf16_is_judged_by_its_own_rate_and_not_against_fp32_limits() -> None:
    contenders = [
        measured("Lungscope", [100.0] * 3, "ours"),
        measured("Lungscope, OpenVINO bf16", [700.0] * 3, "ours"),
        measured("plain PyTorch, 160 px", [100.0] * 3),
        measured("decoding alone", [1000.0] * 3, "limit"),
        measured("runtime alone", [400.0] * 3, "limit"),
    ]
    found = [(each.target.against, each.ratio.median, each.reached) for each in compare("bulk", "images/s", contenders)]
    assert found == [
        ("plain PyTorch, 160 px", 1.0, False),
        ("decoding alone|runtime alone", 0.25, False),
        ("plain PyTorch, 160 px", 7.0, True),
    ]
