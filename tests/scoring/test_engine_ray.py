"""A Ray cluster gives the rows that this machine gives, also when one of its workers dies."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

from lungscope.errors import RuntimeUnavailable  # noqa: E402
from lungscope.scoring import engine_ray as cluster  # noqa: E402
from lungscope.scoring.job import Settings, run_score  # noqa: E402

SMALL = Settings(rows_per_part=16)
ON_RAY = replace(SMALL, engine="ray", workers=2)
TIMES = ("fetch_ms", "decode_ms", "infer_ms")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster that runs already."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    context = ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture
def mixed(folder: Path, monkeypatch) -> Path:
    """Sixty good files and four bad ones, in blocks of four."""
    for name in (b"empty.png", b"caf\xe9.png", b"ward0/x.png", b"ward2/zz.png"):
        with open(os.path.join(os.fsencode(folder), name), "wb"):
            pass
    monkeypatch.setattr(cluster, "BLOCK", 4)
    return folder


def untimed(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def test_the_rows_are_those_of_this_machine(address, mixed, tiny, tmp_path, rows) -> None:
    here = run_score(str(mixed), tiny, tmp_path / "here", SMALL)
    there = run_score(str(mixed), tiny, tmp_path / "there", ON_RAY)
    assert untimed(rows(tmp_path / "there")) == untimed(rows(tmp_path / "here"))
    same = {"seconds": 0.0, "images_per_second": 0.0}
    assert replace(there, **same) == replace(here, **same)
    assert (there.images, there.failed) == (64, 4)
    assert ray.is_initialized()  # a cluster that was there stays


def test_a_worker_that_is_killed_costs_no_row(address, mixed, tiny, tmp_path, rows, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "BLOCK", 32)
    for i in range(3000):  # enough to be stopped half-way
        os.link(mixed / "ward1" / "001.png", mixed / "ward1" / f"copy{i:04}.png")
    run_score(str(mixed), tiny, tmp_path / "here", SMALL)
    attack = Attack(tmp_path / "there" / "parts")
    attack.start()
    run_score(str(mixed), tiny, tmp_path / "there", ON_RAY)
    attack.join()
    assert attack.killed
    assert attack.parts_then < len(list((tmp_path / "there" / "parts").glob("*.parquet"))) / 2
    assert untimed(rows(tmp_path / "there")) == untimed(rows(tmp_path / "here"))


class Attack(threading.Thread):
    """Kills one actor's process once some parts are written."""

    def __init__(self, parts: Path) -> None:
        super().__init__(daemon=True)
        self._parts, self.killed, self.parts_then = parts, 0, 0

    def run(self) -> None:
        deadline = time.monotonic() + 120
        while not self.killed and time.monotonic() < deadline:
            time.sleep(0.01)
            self.parts_then = len(list(self._parts.glob("*.parquet")))
            if self.parts_then >= 8 and (workers := actors()):
                self.killed = workers[0]
                os.kill(self.killed, signal.SIGKILL)


def actors() -> list[int]:
    """Processes below this one that hold an actor of the pool."""
    parents, found = {}, []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if (place / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(place.name))
        except OSError:
            continue
    return [pid for pid in found if os.getpid() in ancestors(pid, parents)]


def ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid := parents.get(pid, 0):
        yield pid


def test_a_cluster_that_is_not_there_is_told(mixed, tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", unreachable)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(RuntimeUnavailable, match="Ray failed .*pass --resume"):
        run_score(str(mixed), tiny, tmp_path / "out", replace(ON_RAY, address="127.0.0.1:1"))


def unreachable(**_: object) -> None:
    raise ConnectionError("no answer")
