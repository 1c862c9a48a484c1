"""Scoring on a Ray cluster: the same rows in the same order, from a pool of actors that may die and come back."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from lungscope.bundle.bundle import Bundle
from lungscope.errors import RuntimeUnavailable
from lungscope.inference.predictor import Predictor
from lungscope.runtime.engine import Engine, usable_cores
from lungscope.scoring.engine_local import LocalEngine
from lungscope.scoring.listing import Item
from lungscope.scoring.parquet import WORDS, Row, arrow

if TYPE_CHECKING:
    import pyarrow

BLOCK = 128
"""Files that an actor takes at a time; what it had of them when it died is scored again by another."""
ROUND = 1_000_000
"""Names that wait in the cluster's memory at most."""
RETRIES = 3
"""Actors that one block may bring down before the run ends: a file may do this to every one."""


class Actor:
    """One processor of the cluster with the model loaded."""

    def __init__(self, bundle: Any, engine: Engine, operating_point: str | None) -> None:
        """`bundle` is a reference into the cluster's memory."""
        import ray

        held: Bundle = ray.get(bundle)
        # Named in full, so that no machine of the cluster computes otherwise than the others.
        predictor = Predictor(held, runtime=engine.runtime, precision=engine.precision, threads=1)
        self._engine = LocalEngine(predictor, operating_point)

    def __call__(self, names: "pyarrow.Table") -> "pyarrow.Table":
        """Names and places → rows."""
        items = [
            Item(os.fsdecode(name), os.fsdecode(place), n_bytes, error)
            for name, place, n_bytes, error in zip(*names.to_pydict().values(), strict=True)
        ]
        return _to_table([row for rows in self._engine.score(items) for row in rows])


class RayEngine:
    """Scores files that every machine of a cluster can read at the same place."""

    def __init__(
        self,
        predictor: Predictor,
        operating_point: str | None = None,
        *,
        workers: int | None = None,
        address: str | None = None,
    ) -> None:
        """Choose the cluster, which is connected to when there is something to score.

        Args:
            predictor: the model and the engine that every actor uses.
            operating_point: see `Predictor.assess`.
            workers: actors; by default one for each of the cluster's processors.
            address: of a running cluster; else the one that RAY_ADDRESS names, or a new one on this machine.
        """
        self._predictor, self._point = predictor, operating_point
        self._workers, self._address = workers, address

    def score(self, items: Iterable[Item]) -> Iterator[list[Row]]:
        """Rows in the order of `items`, a block at a time, in bounded memory.

        Raises:
            RuntimeUnavailable: Ray is not installed, the cluster is not there, or its actors fail.
        """
        with _connected(self._address):
            import ray

            bundle = ray.put(self._predictor.bundle)
            count = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            source = iter(items)
            while first := next(source, None):
                blocks = [ray.put(_names(block)) for block in _blocks(chain([first], islice(source, ROUND - 1)))]
                arguments = (bundle, self._predictor.engine, self._point)
                for table in _stream(blocks, arguments, min(count, len(blocks))):
                    yield _to_rows(table)


def _stream(blocks: list[Any], arguments: tuple[Any, ...], actors: int) -> Iterator["pyarrow.Table"]:
    import ray.data

    scored = ray.data.from_arrow_refs(blocks).map_batches(
        Actor,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=actors),
        fn_constructor_args=arguments,
        num_cpus=1,
        udf_modifying_row_count=False,
        ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": RETRIES},
    )
    yield from scored.iter_batches(batch_size=None, batch_format="pyarrow")


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_BACKEND_LOG_LEVEL", "fatal")):
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise RuntimeUnavailable("Ray is not installed. Run: pip install 'lungscope[ray]'.") from None
    ours = not ray.is_initialized()
    try:
        if ours:
            _start(address)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        line = " ".join(str(error).split())[-200:]
        raise RuntimeUnavailable(
            f"Ray failed ({type(error).__name__}: {line}). Finished parts are kept: pass --resume."
        ) from None
    finally:
        if ours:
            ray.shutdown()


def _start(address: str | None) -> None:
    import ray

    where = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {} if where else {"num_cpus": usable_cores(), "include_dashboard": False}
    ray.init(address=where or "local", logging_level=logging.ERROR, log_to_driver=False, **own)


def _blocks(items: Iterator[Item]) -> Iterator[list[Item]]:
    return iter(lambda: list(islice(items, BLOCK)), [])


def _names(items: list[Item]) -> "pyarrow.Table":
    columns = zip(*((os.fsencode(x.name), os.fsencode(x.place), x.n_bytes, x.error) for x in items), strict=True)
    return arrow().table(dict(zip(("name", "place", "n_bytes", "error"), map(list, columns), strict=True)))


def _to_table(rows: list[Row]) -> "pyarrow.Table":
    pa = arrow()
    kinds = {"path": pa.binary(), "probabilities": pa.list_(pa.float64()), **dict.fromkeys(WORDS, pa.string())}
    layout = pa.schema([(field.name, kinds.get(field.name, pa.float64())) for field in fields(Row)])
    # Names of files may hold bytes that are no text.
    return pa.Table.from_pylist([{**asdict(row), "path": os.fsencode(row.path)} for row in rows], schema=layout)


def _to_rows(table: "pyarrow.Table") -> list[Row]:
    return [
        Row(**{**row, "path": os.fsdecode(row["path"]), "probabilities": tuple(row["probabilities"])})
        for row in table.to_pylist()
    ]
