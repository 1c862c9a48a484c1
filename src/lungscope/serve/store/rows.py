"""Records to rows of the store and back."""

import dataclasses
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Row

from lungscope.serve.store.records import PLAIN_FIELDS, Assessment, Feedback, ImageFacts, Record

T = TypeVar("T", Assessment, Feedback, ImageFacts)


def to_row(record: Record) -> dict[str, Any]:
    """The columns of `predictions` for a record."""
    heatmap, sketch = record.heatmap, record.sketch
    return {
        **{name: getattr(record, name) for name in PLAIN_FIELDS},
        **{f"image_{name}": value for name, value in vars(record.image).items()},
        **record.assessment_fields,
        "urgency": record.urgency,
        "notes": list(record.notes),
        "heatmap": None if heatmap is None else heatmap.tobytes(),
        "heatmap_height": None if heatmap is None else heatmap.shape[0],
        "sketch": None if sketch is None else sketch.tobytes(),
    }


def to_record(row: Row[Any]) -> Record:
    """A record from a row of `predictions` joined with `feedback`."""
    columns = row._asdict()
    heatmap, sketch = columns["heatmap"], columns["sketch"]
    return Record(
        **{name: columns[name] for name in PLAIN_FIELDS},
        image=_part(ImageFacts, columns, "image_"),
        assessment=None if columns["finding"] is None else _part(Assessment, columns),
        notes=tuple(columns["notes"]),
        heatmap=None if heatmap is None else np.frombuffer(heatmap, np.float16).reshape(columns["heatmap_height"], -1),
        sketch=None if sketch is None else np.frombuffer(sketch, np.float32),
        feedback=None if columns["verdict"] is None else _part(Feedback, columns),
    )


def _part(kind: type[T], columns: dict[str, Any], prefix: str = "") -> T:
    return kind(**{field.name: columns[prefix + field.name] for field in dataclasses.fields(kind)})
