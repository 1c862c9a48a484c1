import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lungscope.config.recipe import Recipe, load_recipe, recipe_names
from lungscope.errors import ConfigError, RuntimeUnavailable
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.train import train

SMALL = ["network.backbone=cnn-4-8", "image.size=32", "head.epochs=3", "head.augmented_views=2", "head.patience=3"]


@pytest.fixture(scope="module")
def images() -> tuple[LabelledImages, LabelledImages]:
    rng = np.random.default_rng(0)
    classes = (np.arange(90) % 3 > 0).astype(np.int64)
    pixels = rng.integers(0, 120, (90, 32, 32), dtype=np.uint8)
    pixels[classes == 1, 8:20, 8:20] += 110
    every = np.arange(90)
    places = np.array(["alder", "birch", "birch"] * 30, dtype=object)[::-1]
    return tuple(LabelledImages(pixels, classes, rows, places=places) for rows in (every[:60], every[60:]))


def small(*overrides: str) -> Recipe:
    return load_recipe("default", [*SMALL, *overrides])


@pytest.mark.parametrize(
    "imbalance", ["none", "class-weights", "oversample", "oversample-sites", "balanced-batches", "focal", "smote"]
)
def test_every_way_with_imbalance_trains(images, imbalance: str) -> None:
    trained = train(*images, 2, small(f"imbalance={imbalance}"), device="cpu")
    assert [row.phase for row in trained.history] == ["head"] * 3
    assert all(torch.isfinite(weight).all() for weight in trained.network.state_dict().values())


def test_a_head_may_see_other_views_in_every_epoch(images) -> None:
    cached, fresh = (train(*images, 2, small(f"head.augmented_views={views}"), device="cpu") for views in (1, 0))
    assert len(fresh.history) == len(cached.history) == 3
    assert fresh.history[0].train_loss != cached.history[0].train_loss
    again = train(*images, 2, small("head.augmented_views=0"), device="cpu")
    assert [row.train_loss for row in again.history] == [row.train_loss for row in fresh.history]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["head.batch=500"], r"head\.batch = 500 is larger than .* 60 training images and head\.augmented_views = 2"),
        (["finetune.epochs=1", "finetune.batch=64"], r"finetune\.batch = 64 is larger than the data: 60"),
        (["finetune.epochs=1", "finetune.batch=1"], r"finetune\.batch = 1 is too small"),
    ],
)  # fmt: skip
def test_a_batch_that_does_not_fit_the_data_is_refused(images, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        train(*images, 2, small(*overrides), device="cpu")
    assert "--set" in str(error.value)


def test_the_curves_are_there_for_tensorboard(images, tmp_path) -> None:
    recipe = small("finetune.epochs=2")
    train(*images, 2, recipe, device="cpu", folder=tmp_path)
    trained = train(*images, 2, recipe, device="cpu", folder=tmp_path)  # the second run replaces the curves
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert {"head/train_loss", "head/validation_accuracy", "finetune/validation_auroc"} <= set(curves.Tags()["scalars"])
    found = [(event.step, event.value) for event in curves.Scalars("finetune/train_loss")]
    wanted = [(row.epoch, row.train_loss) for row in trained.history if row.phase == "finetune"]
    assert found == [(step, pytest.approx(value)) for step, value in wanted]


def test_mlflow_without_its_server_names_the_remedy(images, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://here")
    with pytest.raises(RuntimeUnavailable, match="MLFLOW_TRACKING_URI cannot be used.*unset the variable"):
        train(*images, 2, small(), device="cpu", folder=tmp_path)


@pytest.mark.parametrize("name", recipe_names())
def test_the_protocol_of_every_recipe_runs(images, name: str) -> None:
    """Every recipe on small pictures with a small network, two epochs a phase: its settings fit together."""
    phases = load_recipe(name)
    overrides = ["network.backbone=cnn-4-8", "image.size=32"]
    for section, phase in (("head", phases.head), ("finetune", phases.finetune)):
        overrides += [f"{section}.epochs={min(phase.epochs, 2)}"]
    trained = train(*images, 2, load_recipe(name, overrides), device="cpu")
    done = {row.phase for row in trained.history}
    assert done == {
        section for section in ("head", "finetune") if getattr(phases, section).epochs
    }  # both where the protocol has two phases
