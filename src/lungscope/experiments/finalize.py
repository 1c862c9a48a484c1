"""What is chosen on validation images once weights are fixed: for a training, an ensemble and an average of weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lungscope.bundle.bundle import bundle_bytes
from lungscope.bundle.card import Calibration, Card, Parity
from lungscope.bundle.input_check import InputCheck, calibrate_input_check
from lungscope.bundle.validation_summary import Validation, summarise
from lungscope.data.manifest import Manifest
from lungscope.errors import DataError, UndefinedEstimate
from lungscope.evaluation.validation import validation_outcome
from lungscope.stats.calibrator import choose_calibrator, fit
from lungscope.stats.conformal import fit_conformal
from lungscope.stats.operating_points import OperatingPoint, choose, parse_goal
from lungscope.stats.patients import Patients
from lungscope.stats.reference_class import p_abnormal

BuildGraph = Callable[[Calibration, float], tuple[bytes, Parity]]
"""From a calibration and the default threshold to the graph, held against what it was made of."""


@dataclass(frozen=True, eq=False)
class CheckOutputs:
    """What a model's input check says of N validation images, and how it is to be calibrated."""

    distances: NDArray[np.float32]
    """(N,)."""
    checks: NDArray[np.float32]
    """(N, C)."""
    names: tuple[str, ...]
    """Of the C checks."""
    coverage: float
    """Share of images that it is to let pass."""

    def calibrate(self, patients: Patients) -> InputCheck:
        """Choose its limits; patients (N,), whose each image is."""
        return calibrate_input_check(self.distances, self.checks, self.names, patients, self.coverage)


@dataclass(frozen=True, eq=False)
class ValidationOutputs:
    """What a model says of N validation images before it is calibrated."""

    logits: NDArray[np.float32]
    """(N, K)."""
    embeddings: NDArray[np.float32]
    """(N, D)."""
    input_check: CheckOutputs | None


@dataclass(frozen=True)
class Choices:
    """How the choices on validation are to be made."""

    calibration: str
    """"none", "temperature", "platt", or "auto" for the one that cross-validation chooses."""
    operating_points: Mapping[str, str]
    """Goal by name."""


@dataclass(frozen=True)
class ModelOrigin:
    """What a card records of where its model comes from."""

    size: int
    recipe: str
    """TOML."""
    recipe_name: str
    data: dict[str, int | str]
    packages: tuple[str, ...]
    """Whose versions count."""


def finalize(
    outputs: ValidationOutputs, validation: Manifest, choices: Choices, origin: ModelOrigin, build: BuildGraph
) -> bytes:
    """Calibrate a model, choose its operating points and input check, and give the content of its bundle.

    Raises:
        DataError: validation images lack a class.
        BundleError: the graph differs from what it was made of.
    """
    calibration = calibrate(outputs.logits, validation, choices.calibration)
    probabilities = apply(calibration, outputs.logits)
    points = choose_operating_points(probabilities, validation, choices.operating_points)
    graph, parity = build(calibration, points[0].threshold if points else 0.5)
    card = Card(
        classes=validation.classes,
        size=origin.size,
        operating_points=points,
        calibration=calibration,
        recipe=origin.recipe,
        recipe_name=origin.recipe_name,
        versions={name: version(name) for name in origin.packages},
        data=origin.data,
        parity=(parity,),
        input_check=outputs.input_check.calibrate(validation.patients) if outputs.input_check else None,
        conformal=fit_conformal(validation.labels, probabilities),
    )
    return bundle_bytes(graph, replace(card, validation=_summary(card, outputs, probabilities, validation)))


def calibrate(logits: NDArray[np.float32], validation: Manifest, method: str) -> Calibration:
    """Fit what turns logits (N, K) of validation images into probabilities; for `method` see `Choices`."""
    if method == "auto":
        chosen = choose_calibrator(logits, validation.labels, validation.patients)
        return Calibration(chosen.method, chosen.scale, chosen.shift, chosen.candidates, chosen.reason)
    found = fit(method, logits, validation.labels)
    return Calibration(method, found.scale, found.shift, reason="as the recipe says")


def apply(calibration: Calibration, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities (N, K) as the graph will compute them."""
    scores = calibration.scale * logits.astype(np.float64) + np.array(calibration.shift)
    probabilities: NDArray[np.float64] = softmax(scores, axis=1)
    return probabilities


def choose_operating_points(
    probabilities: NDArray[np.float64], validation: Manifest, goals: Mapping[str, str]
) -> tuple[OperatingPoint, ...]:
    """Thresholds for each goal on the probability of not being of the reference class.

    Two classes always have operating points; more than two only when the first is a reference such as
    "normal", since otherwise no class is the one to be told from the rest.

    Raises:
        DataError: validation images lack a class, so that a goal has no threshold.
    """
    if len(validation.classes) > 2 and not validation.has_reference:
        return ()
    positive, scores, patients = validation.labels > 0, p_abnormal(probabilities), validation.patients
    try:
        return tuple(
            choose(parse_goal(goal), positive, scores, name=name, patients=patients) for name, goal in goals.items()
        )
    except UndefinedEstimate as error:
        raise DataError(f"No operating point can be chosen on validation: {error} Add validation images.") from None


def _summary(
    card: Card, outputs: ValidationOutputs, probabilities: NDArray[np.float64], validation: Manifest
) -> Validation:
    labels, patients = validation.labels, validation.patients
    return summarise(
        card.ranking_score(probabilities),
        outputs.embeddings,
        labels > 0 if card.has_reference else None,
        patients,
        validation_outcome(labels, probabilities, patients, card.classes, has_reference=card.has_reference),
    )
