import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.config.recipe import load_recipe
from lungscope.data.dataset import DataSource
from lungscope.data.manifest import read_manifest, write_csv
from lungscope.errors import ConfigError, ManifestError
from lungscope.experiments.robustness import measure_robustness

SMALL = ("network.backbone=cnn-4", "image.size=64", "head.epochs=2", "head.augmented_views=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory, model: Path) -> Path:
    """A run folder whose data have two series of normals and one of pneumonia, a third of each held out."""
    folder, rng = tmp_path_factory.mktemp("robustness"), np.random.default_rng(0)
    for label, series, n in (("NORMAL", "IM", 66), ("NORMAL", "NORMAL2-IM", 66), ("PNEUMONIA", "person", 90)):
        (folder / "data" / label).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            name = f"person{i}_virus_{i}.png" if series == "person" else f"{series}-{i:04}-0001.png"
            pixels = rng.integers(0, 120 if label == "NORMAL" else 250, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "data" / label / name)
    from dataclasses import replace

    manifest = read_manifest(folder / "data")
    splits = tuple(("test", "validation", "train")[i % 3] for i in range(len(manifest)))
    run = folder / "run"
    run.mkdir()
    shutil.copy(model, run / "model.onnx")
    write_csv(replace(manifest, splits=splits), run / "manifest.csv")
    return run


def write_recipe(run: Path, *overrides: str) -> None:
    from lungscope.config.recipe import dump_recipe

    (run / "recipe.toml").write_text(dump_recipe(load_recipe("default", overrides)))


def test_strata_and_corruptions_are_measured_and_written(run) -> None:
    found = measure_robustness(run, external=DataSource(run.parent / "data"))
    names = [stratum.name for stratum in found.held_out.strata]
    assert names[:4] == ["all held-out images", "IM", "NORMAL2-IM", "person-virus"]
    assert len(found.corrupted.strata) == 13
    assert found.left_out is None
    document = json.loads((run / "robustness.json").read_text())
    assert document["held_out"]["worst"]["auroc"] in names
    assert document["external"]["strata"][0]["n"] == 222
    assert document["split"] == "test"


def test_strata_left_out_are_never_seen(run, monkeypatch) -> None:
    from lungscope.training import leave_out as leaveout

    write_recipe(run, *SMALL)
    seen = []
    real = leaveout.train_without

    def spy(features, training, validation):
        seen.append((set(training.tolist()), set(validation.tolist())))
        return real(features, training, validation)

    monkeypatch.setattr(leaveout, "train_without", spy)
    found = measure_robustness(run, leave_out=True, weights="none")
    assert found.left_out is not None
    strata = {stratum.name for stratum in found.left_out.strata}
    assert {"IM", "NORMAL2-IM"} <= strata
    # Without person-virus there is no pneumonia to learn from, so that stratum is not measured.
    assert "person-virus" not in strata
    manifest = read_manifest(run / "manifest.csv")
    held = {i for i, split in enumerate(manifest.splits) if split == "test"}
    first = {i for i, path in enumerate(manifest.paths) if path.name.startswith("IM-")}
    assert not seen[0][0] & (first | held)
    assert not seen[0][1] & (first | held)


def test_a_recipe_that_trains_the_backbone_is_refused(run) -> None:
    write_recipe(run, *SMALL, "finetune.epochs=3")
    with pytest.raises(ConfigError, match=r"finetune.epochs = 3.*leave --leave-out away"):
        measure_robustness(run, leave_out=True, weights="none")


def test_a_split_that_is_not_there_is_named(run) -> None:
    with pytest.raises(ManifestError, match="--split 'tets' is unknown"):
        measure_robustness(run, split="tets")
