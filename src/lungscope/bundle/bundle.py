"""A bundle: one ONNX file that carries its own card and a seal over every byte.

The card is read without ONNX or any runtime: at its top level a protobuf message is a sequence of
(tag, length, bytes), and the card and the seal are appended as entries of `metadata_props`. Nothing is
ever unpickled.
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lungscope.bundle.export_record import Export, parse_export
from lungscope.bundle.folder import has_checksums, read_folder
from lungscope.bundle.input_check import InputCheck, Level
from lungscope.bundle.protobuf import bytes_field, message_fields
from lungscope.bundle.provenance import Statement, parse_statement
from lungscope.bundle.validation_summary import Curve, Outcome, Reference, Validation
from lungscope.errors import BundleError, ConfigError
from lungscope.stats.candidate import CalibrationCandidate
from lungscope.stats.conformal import Conformal
from lungscope.stats.metrics import Estimate
from lungscope.stats.operating_points import OperatingPoint, parse_goal
from lungscope.stats.reference_class import Float, p_abnormal

FORMAT = 1
_CARD, _SEAL = "lungscope.card", "lungscope.sha256"
_METADATA_FIELD = 14  # ModelProto.metadata_props in onnx.proto


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
    """What a entry point must know of a model, and where the model comes from."""

    classes: tuple[str, ...]
    size: int
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
        abnormal = self.p_abnormal(probabilities)
        likeliest: NDArray[Float] = probabilities.max(axis=1)
        return likeliest if abnormal is None else abnormal

    @property
    def label_pattern(self) -> str:
        """How file names told the labels it was trained on; empty when they did not."""
        return str(tomllib.loads(self.recipe).get("data", {}).get("label_pattern", ""))

    @property
    def prediction_sets(self) -> Conformal:
        """What prediction sets are made with.

        Raises:
            BundleError: the bundle has none.
        """
        if self.conformal is None:
            raise BundleError("The model keeps no thresholds for prediction sets. Train it again.")
        return self.conformal

    @property
    def prior(self) -> tuple[float, ...]:
        """(K,), the share of each class that the probabilities are calibrated for: that of validation.

        Raises:
            BundleError: the bundle does not keep it.
        """
        prior = self.validation.prior if self.validation else None
        if prior is None:
            raise BundleError("The model does not keep the prevalence it was calibrated for. Train it again.")
        return prior

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
            raise BundleError(
                f"The model has no operating point {name!r}: no class is a reference. Leave it out."
            )
        try:
            goal = parse_goal(str(name))
        except ConfigError as error:
            raise BundleError(
                f"The model has no operating point {name!r}. It has: {known}. {error}"
            ) from None
        curve = self.validation.curve if self.validation else None
        if curve is None and goal.kind == "fixed":
            unknown = Estimate(None, reason="the model does not keep its validation curve")
            return OperatingPoint(goal.text, goal.text, goal.value, unknown, unknown)
        if curve is None:
            raise BundleError(
                f"The model keeps no validation curve to serve {str(goal)!r} from. It has: {known}."
            )
        return curve.choose(goal)


@dataclass(frozen=True)
class Bundle:
    """A model file, checked."""

    path: Path
    sha256: str
    card: Card
    graph: bytes = field(repr=False)
    """ONNX; of an export what its runtime reads."""
    weights: bytes = field(default=b"", repr=False)
    """Of an OpenVINO export; empty where the graph holds them."""


def load_bundle(source: Path) -> Bundle:
    """Read and check a model: a run folder, an exported folder or a bare `model.onnx`.

    Raises:
        BundleError: no such file, not a Lungscope model, another version, truncated or changed.
    """
    if has_checksums(source):
        found = read_folder(source)
        return Bundle(
            found.path, found.sha256, _read_card(found.card, found.path), found.graph, found.weights
        )
    path = source / "model.onnx" if source.is_dir() else source
    content, entries = _read(path)
    seal = _entry(_SEAL, entries[_SEAL])
    if not content.endswith(seal) or entries[_SEAL] != hashlib.sha256(content[: -len(seal)]).hexdigest():
        raise BundleError(
            f"{path}: the file was changed or damaged after it was written. Copy or train it again."
        )
    return Bundle(path, hashlib.sha256(content).hexdigest(), _read_card(entries[_CARD], path), content)


def read_card(path: Path) -> Card:
    """The card of a model file whose seal is not checked: for a word about it before it is loaded.

    Raises:
        BundleError: as `load_bundle` does, but not for a changed file.
    """
    return _read_card(_read(path)[1][_CARD], path)


def bundle_bytes(graph: bytes, card: Card) -> bytes:
    """Append a card and a seal to an ONNX model."""
    body = graph + _entry(_CARD, card_json(card))
    return body + _entry(_SEAL, hashlib.sha256(body).hexdigest())


def replace_card(bundle: Bundle, card: Card) -> bytes:
    """The same graph, byte for byte, with another card and a new seal; for one file, not for an exported folder."""
    graph, entries = bundle.graph, _entries(bundle.graph, bundle.path)
    for key in (_SEAL, _CARD):
        graph = graph.removesuffix(_entry(key, entries[key]))
    return bundle_bytes(graph, card)


def card_json(card: Card) -> str:
    """A card as the JSON that a bundle carries."""
    return json.dumps(asdict(card), sort_keys=True, allow_nan=False)


def _read(path: Path) -> tuple[bytes, dict[str, str]]:
    """A model file and what was appended to its graph."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: no model can be read there ({error.strerror}). Name a run folder or a model.onnx."
        ) from None
    entries = _entries(content, path)
    if _CARD not in entries or _SEAL not in entries:
        raise BundleError(
            f"{path}: an ONNX file, but not one that Lungscope wrote. Train one: lungscope train DATA."
        )
    return content, entries


def _read_card(text: str, path: Path) -> Card:
    try:
        fields = json.loads(text)
        if fields["format"] != FORMAT:
            raise BundleError(
                f"{path}: bundle format {fields['format']}, and this version reads {FORMAT}. Export the model again."
            )
        fields["operating_points"] = tuple(_point(point) for point in fields["operating_points"])
        fields["calibration"] = _calibration(fields["calibration"])
        fields["parity"] = tuple(Parity(**record) for record in fields["parity"])
        fields["validation"] = _validation(fields.get("validation"))
        fields["export"] = parse_export(fields.get("export"))
        fields["statement"] = parse_statement(fields.get("statement"))
        fields["input_check"] = _input_check(fields.get("input_check"))
        fields["conformal"] = _conformal(fields.get("conformal"))
        return Card(**_tuples(fields))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path}: the model's card cannot be read ({error}). Export the model again."
        ) from None


def _point(fields: dict[str, Any]) -> OperatingPoint:
    estimates = {name: Estimate(**fields[name]) for name in ("sensitivity", "specificity")}
    return OperatingPoint(**{**fields, **estimates})


def _calibration(fields: dict[str, Any]) -> Calibration:
    candidates = tuple(CalibrationCandidate(**each) for each in fields.get("candidates", ()))
    return Calibration(**{**_tuples(fields), "candidates": candidates})


def _validation(fields: dict[str, Any] | None) -> Validation | None:
    if fields is None:
        return None
    curve = Curve(**_tuples(fields["curve"])) if fields["curve"] else None
    return Validation(curve, Reference(**_tuples(fields["reference"])), _outcome(fields.get("outcome")))


def _outcome(fields: dict[str, Any] | None) -> Outcome | None:
    if fields is None:
        return None
    estimates = {name: Estimate(**fields[name]) for name in ("auroc", "slope", "in_the_large")}
    return Outcome(**{**_tuples(fields), **estimates})


def _input_check(fields: dict[str, Any] | None) -> InputCheck | None:
    if fields is None:
        return None
    levels = tuple(Level(**level) for level in fields["levels"])
    return InputCheck(**{**_tuples(fields), "levels": levels})


def _conformal(fields: dict[str, Any] | None) -> Conformal | None:
    if fields is None:
        return None
    return Conformal(**{**_tuples(fields), "thresholds": tuple(map(tuple, fields["thresholds"]))})


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _entries(content: bytes, path: Path) -> dict[str, str]:
    try:
        properties = [value for number, value in message_fields(content) if number == _METADATA_FIELD]
        pairs = [dict(message_fields(value)) for value in properties]
        return {str(pair[1], "utf-8"): str(pair.get(2, b""), "utf-8") for pair in pairs}
    except (IndexError, KeyError, ValueError):
        raise BundleError(f"{path}: not an ONNX file, or cut short. Copy or train it again.") from None


def _entry(key: str, value: str) -> bytes:
    """One `metadata_props` entry in protobuf's encoding."""
    return bytes_field(_METADATA_FIELD, bytes_field(1, key.encode()) + bytes_field(2, value.encode()))
