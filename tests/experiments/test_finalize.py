"""What is chosen on validation: the same parts for a training, an ensemble and an average of weights."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Calibration, Card, Parity
from lungscope.bundle.input_check import CHECKS
from lungscope.config.recipe import OPERATING_POINTS, load_recipe
from lungscope.data.dataset import DataSource, load_for
from lungscope.data.manifest import Manifest
from lungscope.errors import DataError
from lungscope.experiments.ensemble import build_ensemble
from lungscope.experiments.finalize import Choices, ModelOrigin, ValidationOutputs, apply, finalize
from lungscope.experiments.train_run import TrainOptions, train_run
from lungscope.experiments.weight_average import average_weights
from lungscope.inference.predictor import Predictor

SETTINGS = (
    "network.backbone=cnn-4-8", "image.size=32", "head.epochs=1", "head.augmented_views=1", "finetune.epochs=1",
    "finetune.frozen_batchnorm=true", "finetune.batch=8", "input_check.directions=4", "data.split=predefined",
)  # fmt: skip
PATIENTS = 24


@pytest.fixture(scope="module")
def members(table: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("members")
    for seed in ("0", "1"):
        recipe = load_recipe("scratch", [*SETTINGS, f"seed={seed}"])
        train_run(table, recipe, root / seed, TrainOptions("none", "cpu"))
    return [root / "0", root / "1"]


def filled(card: Card) -> dict[str, object]:
    """Which parts of a card there are, down to those of its validation summary."""
    validation = card.validation
    assert validation is not None
    parts = {each.name: bool(getattr(card, each.name)) for each in fields(card)}
    return parts | {each.name: getattr(validation, each.name) is not None for each in fields(validation)}


@pytest.mark.parametrize("build", [None, build_ensemble, average_weights], ids=["train", "logits", "weights"])
def test_every_way_gives_a_card_with_the_same_parts(
    members: list[Path], tmp_path: Path, build: Callable[[list[Path], Path], object] | None
) -> None:
    if build:
        build(members, tmp_path / "run")
    run = tmp_path / "run" if build else members[0]
    bundle = load_bundle(run)
    card, validation = bundle.card, bundle.card.validation
    assert filled(card) == filled(load_bundle(members[1]).card)
    missing = {name for name, there in filled(card).items() if not there}
    assert missing == {"export", "statement"}
    assert [point.name for point in card.operating_points] == list(OPERATING_POINTS)
    assert validation is not None
    assert card.input_check is not None
    assert card.input_check.checks == CHECKS
    assert card.input_check.images == validation.reference.n == card.data["validation"] == 20
    data = load_for(card, DataSource(run / "manifest.csv"))
    found = Predictor(bundle).predict(np.ascontiguousarray(data.pixels[data.rows("validation")]), embeddings=True)
    assert validation.reference.mean_score == pytest.approx(float(card.ranking_score(found.probabilities).mean()))
    assert found.distances is not None
    assert np.mean(found.distances <= card.input_check.limit()) == 1  # too few images to reject one at 99 %


def finalized(classes: tuple[str, ...], goals: dict[str, str], folder: Path, labels: np.ndarray | None = None) -> Card:
    """A card from drawn logits, with a graph of nothing."""
    rng, n = np.random.default_rng(0), 2 * PATIENTS
    truth = np.arange(n) % len(classes) if labels is None else labels
    logits = (rng.normal(size=(n, len(classes))) + 2 * np.eye(len(classes))[truth]).astype(np.float32)
    outputs = ValidationOutputs(logits, rng.normal(size=(n, 5)).astype(np.float32), None)
    paths, patients = tuple(Path(f"/{i}.png") for i in range(n)), tuple(f"p{i % PATIENTS}" for i in range(n))
    validation = Manifest(paths, truth, patients, ("validation",) * n, classes)
    thresholds: list[float] = []

    def build(calibration: Calibration, threshold: float) -> tuple[bytes, Parity]:
        thresholds.append(threshold)
        return b"", Parity("none", 0, 0.0, 0)

    origin = ModelOrigin(32, 'name = "x"\n', "x", {}, ("numpy",))
    (folder / "model.onnx").write_bytes(finalize(outputs, validation, Choices("temperature", goals), origin, build))
    card = load_bundle(folder).card
    assert card.validation is not None
    scores = card.ranking_score(apply(card.calibration, logits))
    assert card.validation.reference.mean_score == pytest.approx(scores.mean(), abs=1e-6)
    assert thresholds == [card.operating_points[0].threshold if card.operating_points else 0.5]
    return card


@pytest.mark.parametrize(
    ("classes", "goals", "points", "reference"),
    [
        (("NORMAL", "PNEUMONIA"), OPERATING_POINTS, 4, True),
        (("A", "B"), {"half": "0.5"}, 1, True),
        (("NORMAL", "PNEUMONIA"), {}, 0, True),  # of two classes the first always is the reference
        (("NORMAL", "B", "C"), {"youden": "youden"}, 1, True),
        (("A", "B", "C"), {"youden": "youden"}, 0, False),
    ],
)
def test_what_validation_keeps_agrees_with_whether_there_is_a_reference(
    classes: tuple[str, ...], goals: dict[str, str], points: int, reference: bool, tmp_path: Path
) -> None:
    card = finalized(classes, goals, tmp_path)
    assert card.validation is not None
    assert len(card.operating_points) == points
    assert card.has_reference is reference
    assert (card.validation.curve is not None) is reference


def test_validation_without_one_of_the_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Class 1 has no validation case"):
        finalized(("NORMAL", "PNEUMONIA"), {"youden": "youden"}, tmp_path, labels=np.zeros(2 * PATIENTS, np.int64))
