"""Work on all cores comes back in order, in bounded memory, and stops when nobody asks for more."""

import threading
import time
from collections.abc import Iterator

import pytest

from lungscope.system.parallel import in_order


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 * (i == 0))
        return 10 * i

    assert list(in_order(slow_first, range(20), 4)) == [10 * i for i in range(20)]


def test_items_are_taken_only_as_they_are_needed() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    found = in_order(lambda i: i, endless(), 2)
    assert [next(found) for _ in range(3)] == [1, 2, 3]
    assert taken <= 3 + 2 * 2 + 1
    found.close()  # type: ignore[attr-defined]


def test_what_was_not_begun_is_not_done_after_a_failure() -> None:
    done, gate = [], threading.Event()

    def work(i: int) -> int:
        if i == 0:
            gate.wait(5)
            raise ValueError("the first")
        done.append(i)
        return i

    found = in_order(work, range(100), 1)
    threading.Timer(0.05, gate.set).start()
    with pytest.raises(ValueError, match="the first"):
        next(found)
    assert len(done) <= 2
