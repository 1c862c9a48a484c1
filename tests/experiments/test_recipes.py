"""Every recipe, with its own network and protocol, from real radiographs to a report: two dozen pictures, small."""

import json
from pathlib import Path

import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.config.recipe import load_recipe, recipe_names
from lungscope.data.dataset import DataSource, load_for
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.experiments.evaluate_run import evaluate_bundle
from lungscope.experiments.train_run import TrainOptions, train_run

KINDS = "_(bacteria|virus)_"
SMALLEST = {"inception_v3": 96}
"""Sides in pixels below which a network has no feature map; the others are shown 64."""


@pytest.fixture(scope="module")
def radiographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 30 real radiographs of 30 patients in three parts: half normal, the others of both kinds."""
    train = shared / "data" / "kermany224" / "train"
    normal = sorted(train.glob("NORMAL/*"))[::90][:14]
    bacterial, viral = (sorted(train.glob(f"PNEUMONIA/*{kind}*"))[::150][:8] for kind in ("bacteria", "virus"))
    rows = ["path,label,split"]
    for pictures, label in ((normal, "NORMAL"), (bacterial, "PNEUMONIA"), (viral, "PNEUMONIA")):
        for i, path in enumerate(pictures):
            rows.append(f"{path},{label},{('train', 'train', 'validation', 'test')[i % 4]}")
    table = tmp_path_factory.mktemp("radiographs") / "radiographs.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_goes_from_real_radiographs_to_a_report(radiographs: Path, name: str, tmp_path: Path) -> None:
    own = load_recipe(name)
    side = SMALLEST.get(own.network.backbone, 64)
    settings = [f"image.size={side}", "data.split=predefined"]
    phases = [phase for phase in ("head", "finetune") if getattr(own, phase).epochs]
    settings += [f"{phase}.{setting}" for phase in phases for setting in ("epochs=1", "batch=8")]
    settings += [f"data.label_pattern={KINDS}"] if name.startswith("d-") else []
    recipe = load_recipe(name, settings)
    bundle = train_run(radiographs, recipe, tmp_path / "run", TrainOptions("none", "cpu"))
    data = load_for(bundle.card, DataSource(radiographs))
    evaluate_bundle(
        bundle, data, tmp_path / "run", EvaluationOptions(heat_checks=False)
    )  # these have tests of their own
    written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert load_bundle(tmp_path / "run").card.recipe_name == name
    assert len(written["classes"]) == (3 if name.startswith("d-") else 2)
    assert written["n"] == 7
    assert (tmp_path / "run" / "report.html").read_text().count("Research use only") >= 1
