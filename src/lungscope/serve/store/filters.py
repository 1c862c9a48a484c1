"""Which records are asked for, and in which order: the query of a list and of an export."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Order = Literal["-p_abnormal", "p_abnormal", "-created", "created"]
Share = Annotated[float, Field(ge=0, le=1)]


class Filters(BaseModel):
    """Conditions that all must hold; None is no condition."""

    model_config = ConfigDict(frozen=True)
    status: Literal["assessed", "not_assessed"] | None = None
    finding: Annotated[str | None, Field(max_length=200)] = None
    feedback: Literal["agree", "disagree", "none"] | None = None
    patient_hash: Annotated[str | None, Field(max_length=64)] = None
    since: datetime | None = None
    """UTC where no zone is given, as `until`."""
    until: datetime | None = None
    min_p_abnormal: Share | None = None
    max_p_abnormal: Share | None = None
    order: Annotated[
        Order,
        Field(
            description="A leading minus is descending. By p_abnormal, files not assessed stand before every other; "
            "without a reference class the probability of the likeliest class counts."
        ),
    ] = "-created"


class PageQuery(Filters):
    """Filters, and which page of what passes them."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(max_length=300, description="`next` of the page before.")] = ""
