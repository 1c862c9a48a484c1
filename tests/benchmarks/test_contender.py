"""Programs take turns, each in its own process, and failures of peers are results."""

import sys

import pytest

from benchmarks.contender import Contender, alternate
from lungscope.errors import LungscopeError

PROGRAM = """
import json, sys, time
open(sys.argv[1], "a").write("start ")
print("a library says hello")
print("{}", flush=True)
for _ in sys.stdin:
    open(sys.argv[1], "a").write(sys.argv[2] + " ")
    print(json.dumps({"images": 10, "seconds": 2.0}), flush=True)
"""
BUSY = """
import json, sys, time
memory = bytearray(80_000_000)
for i in range(0, len(memory), 4096): memory[i] = 1
print("{}", flush=True)
for _ in sys.stdin:
    until = time.process_time() + 0.3
    while time.process_time() < until: pass
    print(json.dumps({"ms": [1.0, 3.0]}), flush=True)
"""


def program(code: str, *arguments: str, role: str = "peer", once: bool = False) -> Contender:
    return Contender(" ".join(arguments) or "it", role, (sys.executable, "-c", code, *arguments), once)  # type: ignore[arg-type]


def test_contenders_take_turns_one_after_the_other(tmp_path: object) -> None:
    log = f"{tmp_path}/log"
    found = alternate([program(PROGRAM, log, "a", role="ours"), program(PROGRAM, log, "b")], turns=3)
    with open(log) as file:
        assert file.read().split() == ["start", "start", *"ababab"]
    assert [(turn.images, turn.seconds) for turn in found[0].turns] == [(10, 2.0)] * 3


def test_processor_time_memory_and_load_are_noted() -> None:
    (found,) = alternate([program(BUSY)], turns=2)
    for turn in found.turns:
        assert turn.ms == (1.0, 3.0)
        assert turn.images == 2
        assert turn.cpu_s == pytest.approx(0.3, abs=0.1)
        assert 0 <= turn.busy_before <= 1
    assert 80 < found.peak_memory_mb < 300


def test_a_whole_process_can_be_a_turn() -> None:
    (found,) = alternate([program("import time; time.sleep(0.2)", once=True)], turns=2)
    assert len(found.turns) == 2
    assert all(0.2 < turn.seconds < 5 for turn in found.turns)


def test_a_peer_that_fails_is_a_result_with_its_reason() -> None:
    broken = program("raise RuntimeError('no such operation')")
    later = program("print('{}', flush=True); input(); raise RuntimeError('out of memory')")
    once = program("raise SystemExit('no library')", once=True)
    found = alternate([broken, later, once, program(BUSY)], turns=1)
    assert [one.error for one in found] == [
        "RuntimeError: no such operation", "RuntimeError: out of memory", "no library", "",
    ]  # fmt: skip
    assert [len(one.turns) for one in found] == [0, 0, 0, 1]


def test_a_failure_of_our_own_is_an_error() -> None:
    with pytest.raises(LungscopeError, match="it cannot be measured: ValueError: bad"):
        alternate([program("raise ValueError('bad')", role="ours")], turns=1)
