"""What is kept of a prediction."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["agree", "disagree"]
NOT_ASSESSED_URGENCY = 2.0
"""Stands before every p_abnormal, so that a picture nobody assessed is never the last of a worklist."""
PLAIN_FIELDS = ("id", "created_us", "asked_by", "model_sha256", "engine", "file", "reason", "patient_hash")
"""Of a record; the store has a column for each."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Feedback:
    """What a reader thinks of a finding."""

    verdict: Verdict
    given_us: int
    given_by: str


@dataclass(frozen=True)
class ImageFacts:
    """What is known about an uploaded file; only hash and length when it could not be read."""

    sha256: str
    bytes: int
    width: int | None = None
    height: int | None = None
    bits: int | None = None
    format: str | None = None


@dataclass(frozen=True)
class Assessment:
    """What the model said, as it was decided then."""

    finding: str
    positive: bool | None
    """None when no class of the model is a reference."""
    p_abnormal: float | None
    """None when no class of the model is a reference."""
    probabilities: dict[str, float]
    operating_point: str | None
    threshold: float | None

    @property
    def ranking_score(self) -> float:
        """p_abnormal, else the likeliest class' probability, as `Card.ranking_score` has it."""
        return max(self.probabilities.values()) if self.p_abnormal is None else self.p_abnormal


@dataclass(frozen=True, eq=False)
class Record:
    """One uploaded file and its answer. Times are microseconds since 1970, UTC."""

    id: str
    created_us: int
    asked_by: str
    model_sha256: str
    engine: str
    image: ImageFacts
    file: str | None = field(default=None, repr=False)
    reason: str = ""
    """Why the image was not assessed."""
    assessment: Assessment | None = None
    notes: tuple[str, ...] = ()
    patient_hash: str | None = None
    heatmap: NDArray[np.float16] | None = field(default=None, repr=False)
    """(h, w), at least 0."""
    sketch: NDArray[np.float32] | None = field(default=None, repr=False)
    """(SKETCH,), of the embedding."""
    feedback: Feedback | None = None

    @property
    def readable(self) -> bool:
        """Whether the file held a picture, assessed or not."""
        return self.image.width is not None

    @property
    def assessment_fields(self) -> dict[str, Any]:
        """Fields of the assessment by name; all None for what was not assessed."""
        return {one.name: getattr(self.assessment, one.name, None) for one in fields(Assessment)}

    @property
    def urgency(self) -> float:
        """By which a worklist is sorted."""
        return self.assessment.ranking_score if self.assessment else NOT_ASSESSED_URGENCY

    def digest(self) -> str:
        """SHA-256 over all that never changes, so that the audit log can vouch for it."""
        content = {
            **{name: getattr(self, name) for name in PLAIN_FIELDS},
            "image": asdict(self.image),
            "assessment": self.assessment_fields,
            "notes": list(self.notes),
            "heatmap": _hexadecimal(self.heatmap),
            "sketch": _hexadecimal(self.sketch),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Page:
    """Some records, how many there are in all, and where the next page begins."""

    records: tuple[Record, ...]
    total: int
    next: str | None


def to_us(time: datetime) -> int:
    """Microseconds since 1970; a time without a zone is taken as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """The time, UTC."""
    return _EPOCH + timedelta(microseconds=us)


def _hexadecimal(values: NDArray[np.float16] | NDArray[np.float32] | None) -> str | None:
    return None if values is None else f"{values.shape} {values.tobytes().hex()}"
