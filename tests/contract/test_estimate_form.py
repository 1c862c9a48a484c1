"""Every JSON file has one form of an estimate, and evaluation.json is as its published schema says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from lungscope.api.evaluation import evaluate as evaluate_scores
from lungscope.bundle.bundle import bundle_bytes, load_bundle
from lungscope.bundle.card import Calibration, Card
from lungscope.bundle.validation_summary import SKETCH, Curve, Reference, Validation
from lungscope.config.settings import ImageSettings, NetworkSettings
from lungscope.data.audit.inspection import inspect
from lungscope.data.dataset import DataSource, load
from lungscope.data.strata import Stratum
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.evaluation.strata import HeldOut, by_stratum
from lungscope.experiments.evaluate_run import evaluate_bundle
from lungscope.experiments.robustness import RobustnessReport, robustness_document
from lungscope.networks.network import build_network
from lungscope.networks.onnx_graph import build_graph, export_backbone
from lungscope.reports.audit_json import inspection_json
from lungscope.reports.evaluation_json import evaluation_json
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "evaluation.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
KINDS = {
    "two classes": ("NORMAL", "PNEUMONIA"),
    "three classes": ("NORMAL", "BACTERIAL", "VIRAL"),
    "no reference class": ("BACTERIAL", "FUNGAL", "VIRAL"),
}


def untrained(folder: Path, classes: tuple[str, ...]) -> Path:
    network = build_network(NetworkSettings(backbone="cnn-8-16-32"), ImageSettings(size=64), len(classes)).eval()
    referenced, estimate = classes[0] == "NORMAL", Estimate(0.9, 0.8, 0.95)
    calibration = Calibration("temperature", 0.8, (0.0,) * len(classes))
    curve = Curve((0.0, 0.5, 1.01), (1.0, 0.9, 0.0), (0.0, 0.8, 1.0), 60, 140)
    reference = Reference(200, 0.4, (0.1,) * 10, (0.0,) * SKETCH, (1.0,) * SKETCH)
    card = Card(
        classes=classes,
        size=64,
        operating_points=(OperatingPoint("half", "0.5", 0.5, estimate, estimate),) if referenced else (),
        calibration=calibration,
        recipe='name = "test"\n',
        recipe_name="test",
        versions={},
        data={},
        validation=Validation(curve if referenced else None, reference),
    )
    path = folder / "model.onnx"
    path.write_bytes(bundle_bytes(build_graph(network, export_backbone(network, 64), calibration), card))
    return path


def images(folder: Path, pictures: list[Path], classes: tuple[str, ...]) -> Path:
    """A table with a column for subgroups whose values also are strata."""
    lines = ["path,label,patient,hospital"]
    lines += [f"{path},{classes[i % len(classes)]},p{i},{'AB'[i // 21]}" for i, path in enumerate(pictures)]
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=KINDS)
def written(request: pytest.FixtureRequest, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real evaluation.json."""
    folder, classes = tmp_path_factory.mktemp("evaluated"), KINDS[request.param]
    bundle = load_bundle(untrained(folder, classes))
    data = load(DataSource(images(folder, pictures, classes), classes=classes), 64)
    evaluate_bundle(bundle, data, folder / "out", EvaluationOptions("all", prevalence=0.1))
    return json.loads((folder / "out" / "evaluation.json").read_text(encoding="utf-8"))


def estimates(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict):
        if {"value", "ci95", "low", "high"} & found.keys() and "predicted" not in found and "risks" not in found:
            yield found
        for each in found.values():
            yield from estimates(each)
    elif isinstance(found, list):
        for each in found:
            yield from estimates(each)


def assert_one_form(found: Any) -> None:
    seen = list(estimates(found))
    assert seen
    for each in seen:
        assert each.keys() in ({"value", "ci95"}, {"value", "ci95", "reason"})
        assert each.get("reason") != ""
        if each["value"] is None or each["ci95"] is None:
            assert each["reason"]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_evaluation_json_is_as_its_schema_says(written: Any) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(written)] == []
    assert_one_form(written)
    referenced = "NORMAL" in written["classes"]
    assert {"shift", "calibration", "subgroups", "heatmaps"} <= written.keys()
    assert ("decision_curve" in written, "strata" in written) == (referenced, referenced)


def test_a_former_form_of_an_estimate_is_refused(written: Any) -> None:
    former = {"value": 0.9, "low": 0.8, "high": 1.0}
    assert not VALIDATOR.is_valid(written | {"auroc": former})
    assert not VALIDATOR.is_valid(written | {"auroc": {"value": None, "ci95": None}})
    assert not VALIDATOR.is_valid({key: each for key, each in written.items() if key != "version"})


def test_scores_without_a_model_have_the_same_schema() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    found = evaluate_scores(labels, rng.random(60), columns={"sex": ["F", "M"] * 30})
    document = json.loads(json.dumps(evaluation_json(found.measurements, None, ""), allow_nan=False))
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert (document["model"], document["data"]["fingerprint"]) == (None, None)


def test_the_audit_has_the_one_form(pictures: list[Path], tmp_path: Path) -> None:
    found = inspect(DataSource(images(tmp_path, pictures, ("NORMAL", "PNEUMONIA"))))
    assert_one_form(json.loads(json.dumps(inspection_json(found), allow_nan=False)))


def test_robustness_has_the_one_form() -> None:
    rng = np.random.default_rng(0)
    cases = HeldOut(np.arange(60) % 2 > 0, rng.random(60), tuple(map(str, range(60))), 0.5)
    found = by_stratum(cases, (Stratum("A", "hospital", np.arange(0, 60, 2)),))
    report = RobustnessReport(found, found, found.strata[1], None, "test")
    assert_one_form(json.loads(json.dumps(robustness_document(report), allow_nan=False)))
