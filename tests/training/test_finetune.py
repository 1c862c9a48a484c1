import numpy as np
import pytest
import torch

from lungscope.config.recipe import Recipe
from lungscope.config.settings import FinetuneSettings, ImageSettings, MixSettings, NetworkSettings
from lungscope.errors import OutputError, TrainingDiverged
from lungscope.networks.backbones import last_layers
from lungscope.networks.network import build_network
from lungscope.training.finetune import FinetunePhase, Task, finetune
from lungscope.training.imbalance import plan
from lungscope.training.labelled_images import LabelledImages

RECIPE = Recipe(
    imbalance="none",
    network=NetworkSettings(backbone="cnn-4-8"),
    image=ImageSettings(size=32),
    finetune=FinetuneSettings(epochs=3, learning_rate=1e-2, batch=8),
)


@pytest.fixture(scope="module")
def images() -> tuple[LabelledImages, LabelledImages]:
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 2
    pixels = rng.integers(0, 120, (60, 32, 32), dtype=np.uint8)
    pixels[classes == 1, 8:20, 8:20] += 110
    every = np.arange(60)
    return LabelledImages(pixels, classes, every[:40]), LabelledImages(pixels, classes, every[40:])


def run(images, checkpoint=None, recipe: Recipe = RECIPE):
    torch.manual_seed(0)
    network = build_network(recipe.network, recipe.image, 2)
    balance = plan(images[0].labels, 2, recipe)
    rows = finetune(network, Task(*images, recipe, balance), checkpoint=checkpoint)
    return rows, network.state_dict()


def run_killed(images, checkpoint, recipe: Recipe, epoch: int):
    """As `run`, once killed in an epoch and started again."""
    fit_epoch = FinetunePhase.fit_epoch

    def killed(phase: FinetunePhase, now: int) -> tuple[float, float]:
        if now == epoch:
            raise KeyboardInterrupt
        return fit_epoch(phase, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinetunePhase, "fit_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            run(images, checkpoint, recipe)
    return run(images, checkpoint, recipe)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_all_layers_learn(images) -> None:
    torch.manual_seed(0)
    before = build_network(RECIPE.network, RECIPE.image, 2).state_dict()
    rows, after = run(images)
    assert [row.phase for row in rows] == ["finetune"] * len(rows)
    assert rows[-1].train_loss < rows[0].train_loss
    assert not torch.equal(before["backbone.blocks.0.weight"], after["backbone.blocks.0.weight"])


def test_the_same_seed_gives_the_same_weights(images) -> None:
    assert same(run(images)[1], run(images)[1])


@pytest.mark.parametrize("killed_in", [1, 2, 3])
def test_a_killed_run_continues_to_the_same_weights(images, tmp_path, killed_in: int) -> None:
    rows, wanted = run(images)
    continued, weights = run_killed(images, tmp_path / "state.pt", RECIPE, killed_in)
    assert same(weights, wanted)
    assert [row.train_loss for row in continued] == [row.train_loss for row in rows]


def test_it_stops_when_nothing_improves(images) -> None:
    settings = {"epochs": 12, "patience": 2, "frozen_batchnorm": True}
    assert len(run(images, recipe=changed(**settings, learning_rate=1e-30))[0]) == 1 + 2  # no weight changes
    assert len(run(images, recipe=changed(**settings))[0]) > 1 + 2


def test_a_damaged_checkpoint_names_the_remedy(images, tmp_path) -> None:
    (tmp_path / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(OutputError, match="checkpoint is damaged. Start again with --force"):
        run(images, tmp_path / "state.pt")


def test_a_checkpoint_that_cannot_be_written_keeps_the_former_one(images, tmp_path, monkeypatch) -> None:
    run(images, tmp_path / "state.pt", RECIPE.model_copy(update={"finetune": FinetuneSettings(epochs=1, batch=8)}))
    kept = (tmp_path / "state.pt").read_bytes()

    def full(state: object, path: object) -> None:
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="Make room; --resume goes on"):
        run(images, tmp_path / "state.pt")
    assert (tmp_path / "state.pt").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def changed(**settings: object) -> Recipe:
    return RECIPE.model_copy(update={"finetune": RECIPE.finetune.model_copy(update=settings)})


def test_a_loss_that_is_no_number_stops_with_a_remedy_and_keeps_the_checkpoint(images, tmp_path) -> None:
    with pytest.raises(TrainingDiverged, match=r"epoch \d of phase 'finetune'.*finetune\.learning_rate=1e\+18"):
        run(images, tmp_path / "state.pt", changed(learning_rate=1e19, optimizer="adam"))


@pytest.mark.parametrize("layers", [1, 2])
def test_only_the_last_layers_learn(images, layers: int) -> None:
    torch.manual_seed(0)
    before = build_network(RECIPE.network, RECIPE.image, 2)
    _, after = run(images, recipe=changed(layers=layers))
    learning = {id(parameter) for layer in last_layers(before.backbone, layers) for parameter in layer.parameters()}
    for name, parameter in before.named_parameters():
        free = name.startswith("head.") or id(parameter) in learning
        assert torch.equal(parameter, after[name]) != free, name
    still = "backbone.blocks.1.running_mean"
    assert torch.equal(before.state_dict()[still], after[still])


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "adam"}, {"schedule": "none"}, {"schedule": "plateau", "patience": 4}, {"monitor": "both"}],
)
def test_every_way_to_train_continues_to_the_same_weights(images, tmp_path, settings) -> None:
    recipe = changed(**settings)
    _, wanted = run(images, recipe=recipe)
    assert same(run_killed(images, tmp_path / "state.pt", recipe, 3)[1], wanted)


def test_a_layer_of_a_published_network_is_one_of_its_blocks() -> None:
    network = build_network(NetworkSettings(backbone="mobilenetv2_050"), RECIPE.image, 2)
    layers = list(last_layers(network.backbone, None))
    assert [type(layer).__name__ for layer in layers[-3:]] == ["InvertedResidual", "Conv2d", "BatchNormAct2d"]
    held = sum(p.numel() for layer in layers for p in layer.parameters())
    assert held == sum(p.numel() for p in network.backbone.parameters())


def test_oversampling_shows_every_class_as_often(images) -> None:
    training = LabelledImages(images[0].pixels, images[0].classes, images[0].rows[:30])
    few = LabelledImages(
        training.pixels, training.classes, training.rows[(training.labels == 0) | (training.rows < 10)]
    )
    rows, _ = run((few, images[1]), recipe=RECIPE.model_copy(update={"imbalance": "oversample"}))
    assert all(np.isfinite(row.train_loss) for row in rows)


VARIANTS = [
    RECIPE.model_copy(update={"mix": MixSettings(mixup=0.4, cutmix=1.0)}),
    changed(average="ema", ema_decay=0.9),
    changed(average="swa", epochs=4),
]


@pytest.mark.parametrize("recipe", VARIANTS, ids=["mix", "ema", "swa"])
def test_mixup_and_averages_survive_a_kill(images, tmp_path, recipe: Recipe) -> None:
    _, wanted = run(images, recipe=recipe)
    _, weights = run_killed(images, tmp_path / "state.pt", recipe, 3)
    assert same(weights, wanted)
    assert not same(run(images)[1], wanted)


def test_a_checkpoint_without_the_average_is_refused(images, tmp_path) -> None:
    run(images, tmp_path / "state.pt", changed(epochs=1))
    with pytest.raises(OutputError, match="Start again with --force"):
        run(images, tmp_path / "state.pt", changed(average="ema"))


def test_frozen_statistics_stay_while_the_layers_learn(images) -> None:
    settings = RECIPE.finetune.model_copy(update={"frozen_batchnorm": True, "average": "ema"})
    recipe = RECIPE.model_copy(update={"finetune": settings})
    torch.manual_seed(0)
    before = build_network(recipe.network, recipe.image, 2).state_dict()
    rows, after = run(images, recipe=recipe)
    assert rows[-1].train_loss < rows[0].train_loss
    for name in before:
        assert torch.equal(before[name], after[name]) == ("running" in name or "tracked" in name), name
