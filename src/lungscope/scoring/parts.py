"""The folder that scores are written to: its finished parts are the only record of what was done."""

import fcntl
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lungscope.bundle.bundle import Bundle
from lungscope.errors import OutputError
from lungscope.scoring import parquet
from lungscope.scoring.listing import Shard
from lungscope.scoring.parquet import Row
from lungscope.system.files import cannot_write, claim_folder, discard, write_atomically

if TYPE_CHECKING:
    import pyarrow

PLAN = "score.json"
PARTS = "parts"
"""Holds nothing but Parquet, so that whatever reads such folders reads this one."""
PACKED = 1000
"""Rows from which they are packed as columns, which take less memory than objects."""
NUMBER = "[0-9]" * 6
"""Pattern of a part's number."""


@dataclass(frozen=True)
class Plan:
    """What a folder of scores is about; every part carries it."""

    source: str
    model_sha256: str
    classes: tuple[str, ...]
    operating_point: str
    """Empty when the model has none."""
    threshold: float | None
    format: int = parquet.FORMAT


def make_plan(source: str, bundle: Bundle, operating_point: str | None = None) -> Plan:
    """The plan for scoring `source` with a model, which must have the operating point."""
    card = bundle.card
    if not card.operating_points and operating_point is None:
        return Plan(source, bundle.sha256, card.classes, "", None)
    point = card.operating_point(operating_point)
    return Plan(source, bundle.sha256, card.classes, point.name, point.threshold)


class Parts:
    """The parts of one shard in one folder; while it is open no other process writes this shard.

    Raises:
        OutputError: from every method, where a part is damaged or of another plan, or the place cannot be written.
    """

    def __init__(self, folder: Path, plan: Plan, shard: Shard, *, engine: str, rows: int) -> None:
        """See `open_parts`."""
        self.plan, self.shard, self._place, self._rows = plan, shard, folder / PARTS, rows
        self._stem = "part" if shard.count == 1 else f"part-{shard.index:04}-of-{shard.count:04}"
        self._layout = parquet.schema(plan.classes, {**asdict(plan), "shard": str(shard), "engine": engine})
        self._waiting: list[Row] = []
        self._packed: list[pyarrow.Table] = []
        self._next = 0
        self._lock: IO[bytes] | None = None

    def all(self) -> list[Path]:
        """Every finished part in the folder, of any shard, in the order of their names."""
        return sorted(self._place.glob("part-*.parquet"))

    def own(self) -> list[Path]:
        """Finished parts of this shard."""
        return sorted(self._place.glob(f"{self._stem}-{NUMBER}.parquet"))

    def done(self) -> Iterator[str]:
        """Names of the files that have a row in any finished part."""
        for path in self.all():
            _check(path, parquet.made_by(path), self.plan)
            for columns in parquet.batches(path, ("path", "path_bytes")):
                yield from map(parquet.path_of, columns["path"], columns["path_bytes"])

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows in; whenever there are enough for a part, it is written."""
        self._waiting += rows
        while (room := self._rows - self._packed_rows) <= len(self._waiting):
            self._pack(room)
            self._write()
        if len(self._waiting) >= PACKED:
            self._pack(len(self._waiting))

    def finish(self) -> None:
        """Write the rows that are left."""
        self._pack(len(self._waiting))
        if self._packed:
            self._write()

    @property
    def _packed_rows(self) -> int:
        return sum(len(table) for table in self._packed)

    def _pack(self, n: int) -> None:
        if n:
            self._packed.append(parquet.to_table(self._waiting[:n], self._layout, len(self.plan.classes)))
            del self._waiting[:n]

    def _write(self) -> None:
        parquet.write_tables(self._packed, self._place / f"{self._stem}-{self._next:06}.parquet")
        self._next += 1
        self._packed.clear()

    def __enter__(self) -> "Parts":
        self._lock = _lock(self._place / f".{self._stem}.lock")
        for left in self._place.glob(f".{self._stem}-{NUMBER}.parquet.*part"):  # by a process that was killed
            discard(left)
        self._next = max((int(path.stem.rpartition("-")[2]) + 1 for path in self.own()), default=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # What was scored before a stop is kept, unless the disk itself is the trouble.
            if not (kind and issubclass(kind, OutputError)):
                self.finish()
        finally:
            if self._lock:
                self._lock.close()


def open_parts(folder: Path, plan: Plan, shard: Shard, *, engine: str, rows: int, resume: bool) -> Parts:
    """Make a folder ready for the rows of a shard.

    Args:
        folder: empty, or, to add a shard or with `resume`, one of the same plan.
        plan: what is scored.
        shard: the share of it that this process scores.
        engine: what computes, for the metadata.
        rows: of a part.
        resume: whether finished parts of this shard may be there.

    Raises:
        OutputError: it holds something else, or parts of this shard without `resume`, or cannot be written.
    """
    parts = Parts(folder, plan, shard, engine=engine, rows=rows)
    if (folder / PLAN).exists():
        _check(folder / PLAN, _read_plan(folder / PLAN), plan)
        if parts.own() and not resume:
            raise OutputError(
                f"{folder}: holds scores already. Pass --resume to go on with them, or choose another --out."
            )
    else:
        claim_folder(folder, marker=PLAN)
        write_atomically(folder / PLAN, json.dumps(asdict(plan), indent=2) + "\n")
    return parts


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise OutputError(f"{path}: cannot be read. Choose another --out.") from None


def _check(path: Path, found: dict[str, Any], plan: Plan) -> None:
    words = {
        "format": "another version of the format",
        "model_sha256": "another model",
        "source": "another source",
        "classes": "other classes",
        "operating_point": "another operating point",
        "threshold": "another threshold",
    }
    wanted = asdict(plan)
    for field, what in words.items():
        expected = list(wanted[field]) if field == "classes" else wanted[field]
        if found.get(field) != expected:
            raise OutputError(
                f"{path}: these scores are of {what} ({found.get(field)}). Name the same, or choose another --out."
            )


def _lock(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(exist_ok=True)
        file = open(path, "wb")  # closed with the parts
    except OSError as error:
        raise OutputError(cannot_write(path.parent, error)) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OutputError(
            f"{path.parent}: another process is writing this shard here. Wait for it, or choose another --out."
        ) from None
    except OSError:  # a file system without locks
        pass
    return file
