"""Records to rows of the store and back."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import Row

from lungscope.serve.store.records import Assessment, Feedback, ImageFacts, Record


def to_row(record: Record) -> dict[str, Any]:
    """The columns of `predictions` for a record."""
    found, heatmap = record.assessment, record.heatmap
    return {
        "id": record.id,
        "created_us": record.created_us,
        "asked_by": record.asked_by,
        "model_sha256": record.model_sha256,
        "engine": record.engine,
        "file": record.file,
        "reason": record.reason,
        "urgency": record.urgency,
        "finding": found.finding if found else None,
        "positive": found.positive if found else None,
        "p_abnormal": found.p_abnormal if found else None,
        "probabilities": json.dumps(found.probabilities) if found else None,
        "operating_point": found.operating_point if found else None,
        "threshold": found.threshold if found else None,
        "image_sha256": record.image.sha256,
        "file_bytes": record.image.file_bytes,
        "width": record.image.width,
        "height": record.image.height,
        "bits": record.image.bits,
        "format": record.image.format,
        "notes": json.dumps(record.notes),
        "patient_hash": record.patient_hash,
        "heatmap": None if heatmap is None else heatmap.tobytes(),
        "heatmap_height": None if heatmap is None else heatmap.shape[0],
        "sketch": None if record.sketch is None else record.sketch.tobytes(),
    }


def to_record(row: Row[Any]) -> Record:
    """A record from a row of `predictions` joined with `feedback`."""
    fields = row._mapping
    image = ImageFacts(
        fields["image_sha256"],
        fields["file_bytes"],
        fields["width"],
        fields["height"],
        fields["bits"],
        fields["format"],
    )
    heatmap, sketch = fields["heatmap"], fields["sketch"]
    return Record(
        id=fields["id"],
        created_us=fields["created_us"],
        asked_by=fields["asked_by"],
        model_sha256=fields["model_sha256"],
        engine=fields["engine"],
        image=image,
        file=fields["file"],
        reason=fields["reason"],
        assessment=_assessment(fields) if fields["finding"] is not None else None,
        notes=tuple(json.loads(fields["notes"])),
        patient_hash=fields["patient_hash"],
        heatmap=None if heatmap is None else np.frombuffer(heatmap, np.float16).reshape(fields["heatmap_height"], -1),
        sketch=None if sketch is None else np.frombuffer(sketch, np.float32),
        feedback=Feedback(fields["verdict"], fields["given_us"], fields["given_by"]) if fields["verdict"] else None,
    )


def _assessment(fields: Mapping[Any, Any]) -> Assessment:
    return Assessment(
        fields["finding"],
        fields["positive"],
        fields["p_abnormal"],
        json.loads(fields["probabilities"]),
        fields["operating_point"],
        fields["threshold"],
    )
