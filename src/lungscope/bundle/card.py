"""What a model file says of its model: classes, operating points, calibration, where it comes from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.export_record import Export
from lungscope.bundle.input_check import InputCheck
from lungscope.bundle.provenance import Statement
from lungscope.bundle.validation_summary import Validation
from lungscope.errors import BundleError, ConfigError
from lungscope.stats.candidate import CalibrationCandidate
from lungscope.stats.conformal import Conformal
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint, parse_goal
from lungscope.stats.reference_class import Float, p_abnormal, ranking_score

if TYPE_CHECKING:
    from lungscope.stats.prevalence_shift import ClassScores

FORMAT = 1


@dataclass(frozen=True)
class Calibration:
    """probabilities = softmax(scale · logits + shift)."""

    method: str = "none"
    scale: float = 1.0
    shift: tuple[float, ...] = ()
    candidates: tuple[CalibrationCandidate, ...] = ()
    """Methods that were compared by cross-validation; empty where none were."""
    reason: str = ""
    """Why this method."""


@dataclass(frozen=True)
class Parity:
    """How far an engine's probabilities were from PyTorch's when the bundle was written."""

    engine: str
    images: int
    largest_difference: float
    flips: int
    """Images on the other side of the default operating point."""


@dataclass(frozen=True)
class Card:
    """What must be known of a model to use it, and where it comes from."""

    classes: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
    size: Annotated[int, msgspec.Meta(ge=1)]
    """Side of the input in pixels."""
    operating_points: tuple[OperatingPoint, ...]
    """Empty when no class is a reference; the first is the default."""
    calibration: Calibration
    recipe: str
    """Fully resolved, TOML."""
    recipe_name: str
    versions: dict[str, str]
    data: dict[str, int | str]
    """Counts and fingerprint of the data it was trained on."""
    parity: tuple[Parity, ...] = ()
    validation: Validation | None = None
    """Missing in bundles of versions that did not keep it."""
    input_check: InputCheck | None = None
    """Missing where the recipe turned it off and in older bundles: every readable picture is assessed."""
    conformal: Conformal | None = None
    """For prediction sets; missing in older bundles."""
    export: Export | None = None
    """What an export says of itself; None in a model as it was trained."""
    statement: Statement | None = None
    """What a person says of it; None in a model that was not made to be passed on."""
    format: int = FORMAT

    @property
    def has_reference(self) -> bool:
        """Whether the first class is one that all others are told from, such as "normal".

        Of two classes it always is; of more where operating points were chosen, which needs one.
        """
        return len(self.classes) == 2 or bool(self.operating_points)

    def p_abnormal(self, probabilities: NDArray[Float]) -> NDArray[Float] | None:
        """Probability (N,) of not being of the reference class, from (N, K); None where no class is one."""
        return p_abnormal(probabilities) if self.has_reference else None

    def ranking_score(self, probabilities: NDArray[Float]) -> NDArray[Float]:
        """What images (N, K) are ranked and watched for drift by: p_abnormal, else the likeliest class' probability."""
        return ranking_score(probabilities, has_reference=self.has_reference)

    @property
    def label_pattern(self) -> str:
        """How file names told the labels it was trained on; empty when they did not."""
        import tomllib  # not on the way to a prediction

        return str(tomllib.loads(self.recipe).get("data", {}).get("label_pattern", ""))

    @property
    def prediction_sets(self) -> Conformal:
        """What prediction sets are made with; `BundleError` where the bundle has none."""
        if self.conformal is None:
            raise BundleError("The model keeps no thresholds for prediction sets. Train it again.")
        return self.conformal

    @property
    def prior(self) -> tuple[float, ...]:
        """(K,), the share of each class that the probabilities are calibrated for: that of validation.

        `BundleError` where the bundle does not keep it.
        """
        prior = self.validation.prior if self.validation else None
        if prior is None:
            raise BundleError("The model does not keep the prevalence it was calibrated for. Train it again.")
        return prior

    def validation_scores(self) -> "ClassScores | None":
        """p_abnormal in each of two classes on validation; None with more classes, or where it is not kept."""
        curve = self.validation.curve if self.validation else None
        if curve is None or len(self.classes) != 2 or not (curve.positives and curve.negatives):
            return None
        from lungscope.stats.prevalence_shift import class_scores  # not on the way to a prediction

        return class_scores(
            np.array(curve.thresholds), np.array(curve.sensitivity), np.array(curve.specificity),
            curve.positive_patients or curve.positives, curve.negative_patients or curve.negatives,
        )  # fmt: skip

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """The named operating point, the default one, or one for a goal such as "sensitivity >= 0.98" or "0.37".

        A goal is served from the validation curve that the bundle keeps.

        Raises:
            BundleError: there is none of that name, and it is no goal.
            ConfigError: a goal that validation cannot serve.
        """
        for point in self.operating_points:
            if name in (None, point.name):
                return point
        known = ", ".join(point.name for point in self.operating_points) or "none"
        if not self.operating_points:
            raise BundleError(f"The model has no operating point {name!r}: no class is a reference. Leave it out.")
        try:
            goal = parse_goal(str(name))
        except ConfigError as error:
            raise BundleError(f"The model has no operating point {name!r}. It has: {known}. {error}") from None
        curve = self.validation.curve if self.validation else None
        if curve is None and goal.kind == "fixed":
            unknown = Estimate(None, reason="the model does not keep its validation curve")
            return OperatingPoint(goal.text, goal.text, goal.value, unknown, unknown)
        if curve is None:
            raise BundleError(f"The model keeps no validation curve to serve {str(goal)!r} from. It has: {known}.")
        return curve.choose(goal)


def card_json(card: Card) -> str:
    """A card as the JSON that a bundle carries."""
    return json.dumps(asdict(card), sort_keys=True, allow_nan=False)


def parse_card(text: str | bytes, path: Path) -> Card:
    """Read a card from its JSON; `path` is that of its file, for the message.

    Raises:
        BundleError: another format, or a field that is missing, unknown or of another type.
    """
    try:
        given = msgspec.json.decode(text)
        found = msgspec.convert(given, _Format).format
        if found != FORMAT:
            raise BundleError(
                f"{path}: bundle format {found}, and this version reads {FORMAT}. Export the model again."
            )
        card = msgspec.convert(given, Card)
        # A misspelt field would otherwise be taken for one that the model lacks, such as its input check.
        if unknown := _unknown_field(given, msgspec.to_builtins(card)):
            raise msgspec.ValidationError(f"unknown field - at `{unknown}`")
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BundleError(f"{path}: the model's card cannot be read ({error}). Export the model again.") from None
    return card


def _unknown_field(given: Any, known: Any, place: str = "$") -> str:
    """Where JSON holds the first field that was not decoded; empty when all were."""
    if isinstance(given, list):
        parts = [(f"{place}[{i}]", value, known[i]) for i, value in enumerate(given)]
    elif isinstance(given, dict):
        if unknown := given.keys() - known.keys():
            return f"{place}.{min(unknown)}"
        parts = [(f"{place}.{name}", value, known[name]) for name, value in given.items()]
    else:
        return ""
    return next(filter(None, (_unknown_field(value, kept, at) for at, value, kept in parts)), "")


@dataclass(frozen=True)
class _Format:
    format: int
