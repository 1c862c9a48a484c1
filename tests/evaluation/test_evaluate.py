"""Evaluations: figures against scikit-learn, what is undefined, and the stable format of evaluation.json."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from lungscope.errors import ConfigError, DataError
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.evaluate import Evaluation, ModelReference, evaluate
from lungscope.evaluation.measurements import Measurements
from lungscope.reports.evaluation_json import evaluation_json
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

MODEL = ModelReference("ab" * 32, "default", "onnxruntime", "fp32")
HALF = OperatingPoint("half", "0.5", 0.5, Estimate(0.9), Estimate(0.8))
CLASSES = ("NORMAL", "PNEUMONIA")
FIGURES = ("auroc", "average_precision", "accuracy", "balanced_accuracy", "brier", "ece", "p_abnormal_auroc")


def patients(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


def columns(p_abnormal: Any) -> np.ndarray:
    return np.column_stack([1 - np.asarray(p_abnormal), p_abnormal])


def test_figures_of_two_classes_are_scikit_learns(two) -> None:
    found, score, decided = two.evaluation(), two.probabilities[:, 1], two.probabilities.argmax(1)
    assert found.auroc.value == pytest.approx(reference.roc_auc_score(two.labels, score))
    assert found.p_abnormal_auroc == found.auroc
    assert found.average_precision.value == pytest.approx(reference.average_precision_score(two.labels, score))
    assert found.accuracy.value == pytest.approx(reference.accuracy_score(two.labels, decided))
    assert found.balanced_accuracy.value == pytest.approx(reference.balanced_accuracy_score(two.labels, decided))
    assert found.brier.value == pytest.approx(reference.brier_score_loss(two.labels, score.astype(float)), abs=1e-6)
    assert found.prevalence.value == two.labels.mean()
    assert found.confusion.tolist() == reference.confusion_matrix(two.labels, decided).tolist()


def test_figures_of_three_classes_are_scikit_learns(three) -> None:
    found, decided = three.evaluation(), three.probabilities.argmax(1)
    shares = three.probabilities.astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    assert found.auroc.value == pytest.approx(
        reference.roc_auc_score(three.labels, shares, multi_class="ovr"), abs=1e-6
    )
    assert found.p_abnormal_auroc.value == pytest.approx(
        reference.roc_auc_score(three.labels > 0, -shares[:, 0]), abs=1e-6
    )
    assert found.balanced_accuracy.value == pytest.approx(reference.balanced_accuracy_score(three.labels, decided))
    assert found.confusion.tolist() == reference.confusion_matrix(three.labels, decided).tolist()
    precision, recall, f1, support = reference.precision_recall_fscore_support(three.labels, decided)
    assert [each.precision.value for each in found.per_class] == pytest.approx(precision)
    assert [each.recall.value for each in found.per_class] == pytest.approx(recall)
    assert [each.f1.value for each in found.per_class] == pytest.approx(f1)
    assert [each.support for each in found.per_class] == support.tolist()
    areas = [reference.roc_auc_score(three.labels == k, shares[:, k]) for k in range(3)]
    assert [each.auroc.value for each in found.per_class] == pytest.approx(areas, abs=1e-6)


def test_an_operating_point_calls_what_reaches_its_threshold(two) -> None:
    for each in two.evaluation().operating_points:
        called = two.probabilities[:, 1] >= np.float32(each.point.threshold)
        assert each.estimates.sensitivity.value == pytest.approx(reference.recall_score(two.labels, called))
        assert each.estimates.specificity.value == pytest.approx(
            reference.recall_score(two.labels, called, pos_label=0)
        )
        assert each.estimates.ppv.value == pytest.approx(reference.precision_score(two.labels, called))
        assert each.estimates.f1.value == pytest.approx(reference.f1_score(two.labels, called))
        assert each.confusion.tolist() == reference.confusion_matrix(two.labels, called).tolist()


def test_with_three_classes_a_flagged_case_gets_its_likeliest_disease(three) -> None:
    for each in three.evaluation().operating_points:
        p_abnormal = 1 - three.probabilities[:, 0].astype(np.float64)
        likeliest = np.where(three.probabilities[:, 1] >= three.probabilities[:, 2], 1, 2)
        finding = np.where(p_abnormal >= each.point.threshold, likeliest, 0)
        assert each.confusion.tolist() == reference.confusion_matrix(three.labels, finding).tolist()


def test_predictive_values_at_an_entered_prevalence_follow_bayes(two) -> None:
    (point, *_) = two.evaluation(prevalence=0.02).operating_points
    sensitivity, specificity = point.estimates.sensitivity.value, point.estimates.specificity.value
    ppv = sensitivity * 0.02 / (sensitivity * 0.02 + (1 - specificity) * 0.98)
    npv = specificity * 0.98 / (specificity * 0.98 + (1 - sensitivity) * 0.02)
    assert point.ppv_expected.value == pytest.approx(ppv)
    assert point.npv_expected.value == pytest.approx(npv)
    assert point.ppv_expected.low < ppv < point.ppv_expected.high
    assert two.evaluation().operating_points[0].ppv_expected is None


def test_every_interval_holds_its_value(two) -> None:
    found = two.evaluation()
    for name in FIGURES:
        estimate = getattr(found, name)
        assert estimate.low <= estimate.value <= estimate.high, name


def test_intervals_widen_when_every_patient_has_four_images() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.integers(0, 2, 60), 4)
    score = np.repeat(rng.normal(size=60), 4) + labels
    share = columns(1 / (1 + np.exp(-score)))
    alone = evaluate(check_cases(labels, share, patients(240), CLASSES), [], resamples=300)
    grouped = evaluate(check_cases(labels, share, np.repeat(patients(60), 4), CLASSES), [], resamples=300)
    for name in ("auroc", "accuracy"):
        one, four = getattr(alone, name), getattr(grouped, name)
        assert four.high - four.low > 1.4 * (one.high - one.low)
    assert (alone.patients, grouped.patients) == (240, 60)


def test_one_class_only_leaves_figures_undefined_with_a_reason() -> None:
    found = evaluate(
        check_cases(np.zeros(40, int), columns(np.linspace(0.1, 0.9, 40)), patients(40), CLASSES),
        [HALF],
        prevalence=0.1,
    )
    for estimate in (found.auroc, found.average_precision, found.balanced_accuracy):
        assert (estimate.value, estimate.low, estimate.reason) == (None, None, "no case is PNEUMONIA")
    assert found.recalibration.slope.value is None
    assert found.curves.roc is None
    (point,) = found.operating_points
    assert (point.estimates.sensitivity.value, point.estimates.sensitivity.reason) == (None, "no positive case")
    assert point.estimates.specificity.value is not None
    assert (point.ppv_expected.value, point.ppv_expected.reason) == (None, "no case is other than NORMAL")


def test_constant_scores_rank_nothing_and_are_not_called_chance() -> None:
    found = evaluate(
        check_cases(np.arange(40) % 2, columns(np.full(40, 0.7)), patients(40), CLASSES), [HALF], prevalence=0.1
    )
    for estimate in (found.auroc, found.average_precision, found.p_abnormal_auroc):
        assert (estimate.value, estimate.reason) == (None, "every case has the same score")
    (point,) = found.operating_points
    assert (point.estimates.npv.value, point.estimates.npv.reason) == (None, "no case was called negative")
    assert (point.npv_expected.value, point.npv_expected.reason) == (None, "no case was called negative")
    assert found.curves.reason == "every case has the same score"


def test_five_patients_give_values_but_no_bootstrap_interval() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    found = evaluate(check_cases(labels, columns([0.2, 0.7, 0.6, 0.9, 0.4]), patients(5), CLASSES), [HALF])
    assert found.auroc.value == pytest.approx(reference.roc_auc_score(labels, [0.2, 0.7, 0.6, 0.9, 0.4]))
    assert (found.auroc.low, found.auroc.reason) == (None, "no interval: fewer than 10 patients")
    assert found.curves.band is None
    document = evaluation_json(Measurements(found), MODEL, "f")
    assert document["auroc"]["ci95"] is None
    assert document["auroc"]["reason"]


def test_a_class_without_cases_makes_the_mean_undefined_and_names_itself(three) -> None:
    chosen = three.labels != 2
    names = [name for name, kept in zip(three.patients, chosen, strict=True) if kept]
    found = evaluate(check_cases(three.labels[chosen], three.probabilities[chosen], names, three.classes), [HALF])
    assert (found.auroc.value, found.auroc.reason) == (None, "no case is VIRAL")
    assert (found.balanced_accuracy.value, found.balanced_accuracy.reason) == (None, "no case is VIRAL")
    assert found.p_abnormal_auroc.value is not None
    assert found.per_class[1].auroc.value is not None


def test_without_a_reference_class_there_is_no_p_abnormal(three) -> None:
    found = evaluate(
        check_cases(
            three.labels, three.probabilities, three.patients, ("BACTERIAL", "FUNGAL", "VIRAL"), has_reference=False
        ),
        [],
    )
    for estimate in (found.prevalence, found.p_abnormal_auroc, found.recalibration.slope):
        assert (estimate.value, estimate.reason) == (None, "no class is the reference")
    assert found.curves is None
    assert found.auroc.value is not None


def document(found: Evaluation) -> dict[str, Any]:
    return evaluation_json(Measurements(found), MODEL, "f" * 64)


def test_the_format_of_the_json_is_stable(two) -> None:
    content = document(two.evaluation(prevalence=0.1))
    assert list(content) == [
        "version", "n", "classes", "support", "prevalence", "auroc", "average_precision", "p_abnormal_auroc",
        "accuracy", "balanced_accuracy", "brier", "ece", "calibration_slope", "calibration_intercept",
        "calibration_in_the_large", "operating_points", "expected_prevalence", "confusion_matrix", "per_class", "model",
        "data", "input_check", "prediction_sets",
    ]  # fmt: skip
    assert content["model"] == {"sha256": "ab" * 32, "recipe": "default", "runtime": "onnxruntime", "precision": "fp32"}
    assert content["data"] == {"fingerprint": "f" * 64, "patients": len(set(two.patients))}
    assert (content["n"], content["classes"]) == (300, ["NORMAL", "PNEUMONIA"])
    assert list(content["operating_points"]) == ["sensitivity-95", "specificity-90", "half"]
    assert list(content["operating_points"]["half"]) == [
        "threshold", "goal", "note", "sensitivity", "specificity", "ppv", "npv", "f1", "accuracy",
        "balanced_accuracy", "ppv_expected", "npv_expected", "counts", "confusion_matrix", "when_chosen",
    ]  # fmt: skip
    assert sum(content["operating_points"]["half"]["counts"].values()) == 300
    assert list(content["per_class"]["NORMAL"]) == ["support", "auroc", "precision", "recall", "f1"]
    assert sum(map(sum, content["confusion_matrix"])) == 300


def test_every_figure_in_the_json_is_a_value_with_two_ends(two) -> None:
    content = document(two.evaluation())
    for name in (*FIGURES, "prevalence", "calibration_slope"):
        low, high = content[name]["ci95"]
        assert low <= content[name]["value"] <= high
    assert "ppv_expected" not in content["operating_points"]["half"]


def test_the_json_is_the_same_every_time_and_rounded(two) -> None:
    texts = {json.dumps(document(two.evaluation(prevalence=0.1)), allow_nan=False) for _ in range(2)}
    assert len(texts) == 1
    value = document(two.evaluation())["auroc"]["value"]
    assert value == round(value, 6)


def test_the_json_of_undefined_figures_has_null_and_a_reason() -> None:
    found = evaluate(check_cases([0, 0], columns([0.5, 0.5]), ["a", "b"], CLASSES), [HALF], prevalence=0.5)
    content = json.loads(json.dumps(document(found), allow_nan=False))
    assert content["auroc"] == {"value": None, "ci95": None, "reason": "no case is PNEUMONIA"}


def test_no_patient_is_named_in_the_json_or_in_any_representation(two) -> None:
    found = two.evaluation()
    assert "person" not in json.dumps(document(found)) + repr(found)


@pytest.mark.parametrize(
    ("labels", "probabilities", "remedy"),
    [
        ([], np.zeros((0, 2)), "Name a split"),
        ([0, 1], columns([0.1, np.nan]), "Leave that case out"),
        ([0, 1], np.full((2, 3), 1 / 3), "Pass a column per class"),
        ([0, 1], [0.2, 0.3], "Pass a column per class"),
        ([0, 2], columns([0.1, 0.2]), "Check the order of the classes"),
        ([0, 1], [[3.0, -2.0], [0.5, 0.5]], "not logits"),
    ],
)
def test_columns_that_do_not_fit_are_refused_with_a_remedy(labels: Any, probabilities: Any, remedy: str) -> None:
    with pytest.raises(DataError, match=remedy):
        evaluate(check_cases(labels, probabilities, patients(len(labels)), CLASSES), [HALF])


def test_patients_of_other_rows_are_refused() -> None:
    with pytest.raises(DataError, match="same rows"):
        evaluate(check_cases([0, 1], columns([0.1, 0.2]), patients(3), CLASSES), [HALF])


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 10.0, -0.1])
def test_a_prevalence_that_is_no_share_is_refused(two, prevalence: float) -> None:
    with pytest.raises(ConfigError, match="fraction such as 0.1"):
        evaluate(two.cases(), [], prevalence=prevalence)
