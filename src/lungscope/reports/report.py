"""What a report shows, before it is made into a page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungscope.data.audit.checks import AuditReport
from lungscope.evaluation.evaluate import Evaluation, ModelReference
from lungscope.reports.history import TrainingEpoch
from lungscope.reports.section import Section, SectionKey

Relation = Literal["test", "validation", "trained on", "other"]
"""What evaluated images were to the model: kept from it, used to choose, used to train, or not of its run."""


@dataclass(frozen=True)
class GalleryCase:
    """One image on which the model errs."""

    name: str = field(repr=False)
    """Of the file. Never shown: it may carry a patient identifier; the page numbers the cases."""
    label: str
    predicted: str
    probability: float
    """Of the class predicted."""
    image: NDArray[np.uint8] = field(repr=False)
    """(H, W)."""
    heatmap: NDArray[np.floating] = field(repr=False)
    """(h, w), at least 0: what speaks for disease."""


@dataclass(frozen=True)
class Origin:
    """Where the evaluated model and images come from."""

    model: ModelReference
    data_fingerprint: str
    split: str
    images: Relation
    recipe: str
    """Fully resolved, TOML."""
    versions: Mapping[str, str]
    """Of the libraries involved, by name."""


@dataclass(frozen=True)
class Report:
    """Everything a report shows."""

    evaluation: Evaluation
    origin: Origin | None = None
    """None for scores without a model."""
    sections: tuple[Section, ...] = ()
    """Further topics, after what every report has."""
    audit: AuditReport | None = None
    history: tuple[TrainingEpoch, ...] = ()
    gallery: tuple[GalleryCase, ...] = ()
    """The worst errors first."""
    notes: tuple[str, ...] = ()
    """What was decided about the data, in plain words."""

    def section(self, key: SectionKey) -> Section | None:
        """One of the further sections, if the report has it."""
        return next((each for each in self.sections if each.key == key), None)
