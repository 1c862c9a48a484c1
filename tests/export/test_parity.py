from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Card
from lungscope.bundle.export_record import Agreement, Flips, OutputDifference
from lungscope.errors import BundleError, ManifestError
from lungscope.export.parity import TOLERANCES, Reference, collect, compare, failures, flips_accepted
from lungscope.runtime.engine import Engine
from lungscope.runtime.session import open_session

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1] * 20)


def said(p_abnormal, heat=None) -> Reference:
    probabilities = np.stack([1 - p_abnormal, p_abnormal], 1).astype(np.float32)
    heat = np.ones((len(p_abnormal), 2, 3, 3), np.float32) if heat is None else heat
    return Reference(("probabilities", "heatmap"), (probabilities, heat))


@pytest.fixture(scope="module")
def card(model) -> Card:
    return load_bundle(model).card


@pytest.fixture(scope="module")
def p_abnormal() -> np.ndarray:
    return np.clip(RNG.normal(0.35 + 0.3 * LABELS, 0.2), 0.01, 0.99)


def test_the_same_outputs_agree(card: Card, p_abnormal) -> None:
    found = compare(said(p_abnormal), said(p_abnormal), LABELS, card)
    assert (found.largest_difference, found.auroc_difference, found.of("heatmap")) == (0, 0, 0)
    assert [each.images for each in found.flips] == [0, 0]
    assert failures(found, "fp32") == ()


def test_differences_are_those_of_independent_libraries(card: Card, p_abnormal) -> None:
    other = np.clip(p_abnormal + RNG.normal(0, 0.2, len(p_abnormal)), 0, 1)
    found = compare(said(p_abnormal), said(other), LABELS, card)
    assert found.auroc == pytest.approx(roc_auc_score(LABELS, other.astype(np.float32)))
    before = roc_auc_score(LABELS, p_abnormal.astype(np.float32))
    assert found.auroc_difference == pytest.approx(found.auroc - before)
    assert found.largest_difference == pytest.approx(np.abs(other - p_abnormal).max(), abs=1e-6)
    assert found.flips[0] == Flips(
        "half", int(sum((a >= 0.5) != (b >= 0.5) for a, b in zip(p_abnormal, other, strict=True)))
    )


def test_a_heat_map_a_tenth_too_hot_is_a_tenth_off(card: Card, p_abnormal) -> None:
    heat = RNG.random((40, 2, 3, 3), np.float32)
    found = compare(said(p_abnormal, heat), said(p_abnormal, 1.1 * heat), LABELS, card)
    assert found.of("heatmap") == pytest.approx(0.1, rel=1e-5)


def test_of_several_classes_the_auroc_that_differs_most_counts(card: Card) -> None:
    labels = np.repeat([0, 1, 2], 20)
    before = RNG.dirichlet([1, 1, 1], 60).astype(np.float32)
    after = before.copy()
    after[:, 2] = 1 - after[:, 2]
    three = replace(card, classes=("A", "B", "C"), operating_points=())
    found = compare(Reference(("probabilities",), (before,)), Reference(("probabilities",), (after,)), labels, three)
    assert found.auroc == pytest.approx(roc_auc_score(labels == 2, after[:, 2]))
    assert [each.decision for each in found.flips] == ["likeliest class"]


def test_images_of_one_class_are_refused(card: Card, p_abnormal) -> None:
    with pytest.raises(ManifestError, match="of one class, so no AUROC can be compared. Name --data"):
        compare(said(p_abnormal), said(p_abnormal), np.ones(40, int), card)


def test_a_lost_output_or_no_number_is_refused(card: Card, p_abnormal) -> None:
    whole = said(p_abnormal)
    with pytest.raises(BundleError, match="lost the outputs heatmap"):
        compare(whole, Reference(("probabilities",), whole.outputs[:1]), LABELS, card)
    with pytest.raises(BundleError, match="heatmap is not a number"):
        compare(whole, said(p_abnormal, np.full((40, 2, 3, 3), np.nan, np.float32)), LABELS, card)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"largest_difference": 0.3}, "largest |Δp| 0.3 (accepted: 0.25)"),
        ({"largest_difference": float("nan")}, "largest |Δp| nan"),
        ({"flips": (Flips("half", 9),)}, "9 of 400 decisions flipped at half (accepted: 8)"),
        ({"auroc_difference": -0.0021}, "AUROC differs by -0.0021 (accepted: 0.002)"),
        ({"outputs": (OutputDifference("heatmap", 0.4),)}, "heat maps differ by 0.4 of their size (accepted: 0.2)"),
    ],
)
def test_each_limit_of_int8_is_told(changed, words: str) -> None:
    fine = Agreement(400, 0.1, (Flips("half", 8),), 0.99, -0.0019, (OutputDifference("heatmap", 0.1),))
    assert failures(fine, "int8") == ()
    (line,) = failures(replace(fine, **changed), "int8")
    assert words in line


def test_int8_may_lose_no_more_auroc_than_promised() -> None:
    assert TOLERANCES["int8"].auroc == 0.002
    assert flips_accepted("fp32", 10) == 1


def test_what_the_input_check_rejects_is_a_decision_too(checked_model, pictures) -> None:
    from lungscope.data.images.radiograph import read_radiograph

    bundle = load_bundle(checked_model)
    pixels = np.stack([read_radiograph(path, size=64).pixels for path in pictures])
    session = open_session(bundle.graph, Engine("onnxruntime", "fp32"), threads=1)
    whole = collect(session, pixels)
    far = Reference(
        whole.names, tuple(x * 50 if n == "distance" else x for n, x in zip(whole.names, whole.outputs, strict=True))
    )
    labels = np.arange(len(pixels)) % 2
    found = compare(whole, far, labels, bundle.card)
    assert set(whole.names) == {each.output for each in found.outputs} >= {"distance", "checks", "embedding"}
    flips = {each.decision: each.images for each in found.flips}
    assert flips["assessed"] > 30
    assert flips["half"] == 0
