"""What goes over the wire, with examples; the OpenAPI document is made from these."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lungscope.serve.problems import MEDIA_TYPE
from lungscope.serve.store.filters import Share
from lungscope.serve.store.records import ImageFacts, Record, Verdict, from_us

ID = "3f0c8a52b1de4c0f9a6f0d7a1c5e2b44"
EXAMPLE: dict[str, Any] = {
    "id": ID,
    "created": "2026-01-21T08:30:00.123456Z",
    "status": "assessed",
    "reason": "",
    "file": "chest1.jpeg",
    "finding": "PNEUMONIA",
    "positive": True,
    "p_abnormal": 0.9312,
    "probabilities": {"NORMAL": 0.0688, "PNEUMONIA": 0.9312},
    "operating_point": "sensitivity-95",
    "threshold": 0.42,
    "model_sha256": "0f" * 32,
    "engine": "openvino bf16",
    "image": {
        "sha256": "1e" * 32, "width": 1500, "height": 1200, "bits": 8, "format": "JPEG", "bytes": 123456,
    },
    "notes": [],
    "patient_hash": None,
    "asked_by": "local",
    "feedback": None,
    "links": {
        "self": f"/v1/predictions/{ID}",
        "image": f"/v1/predictions/{ID}/image.png",
        "heatmap": f"/v1/predictions/{ID}/heatmap.png",
        "pdf": f"/v1/predictions/{ID}/report.pdf",
    },
}  # fmt: skip


class Wire(BaseModel):
    """Frozen; nothing unknown passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FeedbackIn(Wire):
    """What a reader thinks of the finding."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"example": {"verdict": "agree"}})
    verdict: Verdict


class FeedbackOut(Wire):
    """What a reader thought, when, and who it was."""

    verdict: Verdict
    given: datetime
    given_by: str


class Links(Wire):
    """Where more is to be had; null where there is nothing."""

    self: str
    image: str | None
    heatmap: str | None
    pdf: str


class Prediction(Wire):
    """One file and what the model said of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"example": EXAMPLE})
    id: str
    created: datetime
    status: Literal["assessed", "not_assessed"]
    reason: str
    file: str | None
    finding: str | None
    positive: bool | None
    p_abnormal: Share | None
    probabilities: dict[str, float] | None
    operating_point: str | None
    threshold: float | None
    model_sha256: str
    engine: str
    image: ImageFacts
    notes: tuple[str, ...]
    patient_hash: str | None
    asked_by: str
    feedback: FeedbackOut | None
    links: Links


class Answer(Wire):
    """All files of a request, in the order sent."""

    predictions: tuple[Prediction, ...]
    assessed: int
    not_assessed: int


class Listing(Wire):
    """One page of predictions."""

    predictions: tuple[Prediction, ...]
    total: int
    next: str | None


class FieldError(Wire):
    """What is wrong with one field."""

    where: str
    message: str


class ProblemOut(BaseModel):
    """A problem (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


STATUSES = {
    400: "The body is not complete or not well formed.",
    404: "There is none.",
    408: "The upload took too long.",
    410: "Its pixels are gone.",
    413: "Beyond a limit; see `limits` of the model.",
    415: "The body is of a kind not read here.",
    422: "A parameter is wrong.",
    429: "The queue is full; come back after Retry-After.",
    503: "The store cannot be used, or the service is stopping.",
    504: "The answer took too long.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What may go wrong, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": ProblemOut.model_json_schema()}}
    return {status: {"description": STATUSES[status], "content": content} for status in statuses}


def prediction(record: Record, *, name: str | None, pixels: bool) -> Prediction:
    """A record as it is sent.

    Args:
        record: as stored.
        name: of its file, when it is only remembered.
        pixels: whether its picture can be shown.
    """
    said, here = record.feedback, f"/v1/predictions/{record.id}"
    return Prediction(
        id=record.id,
        created=from_us(record.created_us),
        status="assessed" if record.assessment else "not_assessed",
        reason=record.reason,
        file=record.file or name,
        **record.assessment_fields,
        model_sha256=record.model_sha256,
        engine=record.engine,
        image=record.image,
        notes=record.notes,
        patient_hash=record.patient_hash,
        asked_by=record.asked_by,
        feedback=said and FeedbackOut(verdict=said.verdict, given=from_us(said.given_us), given_by=said.given_by),
        links=Links(
            self=here,
            image=f"{here}/image.png" if pixels else None,
            heatmap=f"{here}/heatmap.png" if record.heatmap is not None else None,
            pdf=f"{here}/report.pdf",
        ),
    )
