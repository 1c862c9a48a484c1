"""What a model says of one image, for people and programs."""

import base64
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.api.images import Picture, read_image
from lungscope.api.notebook import html_table
from lungscope.bundle.card import Card
from lungscope.errors import BundleError, LungscopeError
from lungscope.inference import overlay
from lungscope.inference.result import RESEARCH_USE, ImageResult
from lungscope.inference.result_table import row

SHOWN_SIDE = 320
"""Longest side in pixels of the picture in a notebook."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a model says of one image; shows itself in a notebook, with its heat map where it has one.

    Look at `not_assessed` first: an image the input check rejects has no finding, though it has probabilities.
    """

    details: ImageResult = field(repr=False)
    """All that was computed: logits, embedding, maps of every class, distance and checks of the input check."""
    card: Card = field(repr=False)
    """Of the model."""
    source: Picture = field(repr=False)
    """The image as it was given."""

    @property
    def finding(self) -> str | None:
        """The class decided for; None for what could not be read or is not assessed."""
        return self.details.finding

    @property
    def p_abnormal(self) -> float | None:
        """Probability that the image is not of the reference class, 0..1; None where no class is one."""
        return self.details.p_abnormal

    @property
    def probabilities(self) -> dict[str, float]:
        """Calibrated probability of every class; empty for what could not be read."""
        return dict(zip(self.card.classes, self.details.probabilities, strict=False))

    @property
    def not_assessed(self) -> str:
        """Why the input check rejects the image; empty when it does not."""
        return self.details.not_assessed

    @property
    def error(self) -> str:
        """Why the image could not be read; empty when it could."""
        return self.details.error

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the image before the model saw it."""
        return self.details.notes

    @property
    def heatmap(self) -> NDArray[np.float32] | None:
        """(h, w), at least 0: evidence for any class but the reference, or for the likeliest where none is one.

        None unless asked for, and for what is not assessed.
        """
        return None if self.not_assessed else self.details.abnormality_heatmap

    def overlay(self) -> Image.Image:
        """The heat map over the radiograph, in colour and at full size.

        Raises:
            BundleError: there is no heat map.
            DataError: the file can no longer be read.
        """
        if self.heatmap is None:
            reason = self.not_assessed or self.error or "ask for it with predict(image, heatmap=True)"
            raise BundleError(f"There is no heat map: {reason}.")
        return Image.fromarray(overlay.overlay(read_image(self.source).pixels, self.heatmap))

    def as_dict(self) -> dict[str, Any]:
        """The columns of `ResultTable` and of `lungscope predict --out`."""
        return row(self.details, self.card)

    def __repr__(self) -> str:
        return f"Result({', '.join(f'{name}={value}' for name, value in self._lines())})"

    def _lines(self) -> list[tuple[str, str]]:
        if problem := self.error or self.not_assessed:
            return [("failed" if self.error else "not assessed", problem)]
        decision, lines = self.details.decision, [("finding", str(self.finding))]
        lines += [(f"p({name})", f"{p:.4f}") for name, p in self.probabilities.items()]
        if decision and decision.threshold is not None:
            lines.append(("operating point", f"{decision.operating_point} (p_abnormal ≥ {decision.threshold:.3f})"))
        if self.details.prediction_set is not None:
            lines.append(("not ruled out", ", ".join(self.details.prediction_set)))
        return [*lines, *(("note", text) for text in self.notes)]

    def _repr_html_(self) -> str:
        return f"{self._picture()}{html_table(self._lines())}<small>{RESEARCH_USE}</small>"

    def _picture(self) -> str:
        try:
            shown = self.overlay() if self.heatmap is not None else Image.fromarray(read_image(self.source).pixels)
        except LungscopeError:  # it is gone or never was readable; the rows say what is known
            return ""
        shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        file = BytesIO()
        shown.save(file, "PNG")
        return f"<img alt='radiograph' src='data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'>"
