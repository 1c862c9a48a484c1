import numpy as np
import pytest
import torch

from lungscope.config import FinetuneSettings, ImageSettings, NetworkSettings, Recipe
from lungscope.errors import OutputError
from lungscope.model import finetune as module
from lungscope.model.finetune import finetune
from lungscope.model.labelled import LabelledImages
from lungscope.model.zoo import build_network

RECIPE = Recipe(
    network=NetworkSettings(backbone="mobilenetv2_050"),
    image=ImageSettings(size=32),
    finetune=FinetuneSettings(epochs=3, learning_rate=3e-3, batch=8),
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
    rows = finetune(network, *images, recipe=recipe, class_weights=torch.ones(2), checkpoint=checkpoint)
    return rows, network.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_all_layers_learn(images) -> None:
    torch.manual_seed(0)
    before = build_network(RECIPE.network, RECIPE.image, 2).state_dict()
    rows, after = run(images)
    assert [row.phase for row in rows] == ["finetune"] * len(rows)
    assert rows[-1].train_loss < rows[0].train_loss
    assert not torch.equal(
        before["backbone.model.conv_stem.weight"], after["backbone.model.conv_stem.weight"]
    )


def test_the_same_seed_gives_the_same_weights(images) -> None:
    assert same(run(images)[1], run(images)[1])


@pytest.mark.parametrize("killed_in", [1, 2, 3])
def test_a_killed_run_continues_to_the_same_weights(images, tmp_path, monkeypatch, killed_in: int) -> None:
    rows, wanted = run(images)
    one_epoch = module._one_epoch

    def killed(*args: object) -> float:
        if args[-1] == killed_in:
            raise KeyboardInterrupt
        return one_epoch(*args)

    monkeypatch.setattr(module, "_one_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        run(images, tmp_path / "state.pt")
    monkeypatch.undo()
    continued, weights = run(images, tmp_path / "state.pt")
    assert same(weights, wanted)
    assert [row.train_loss for row in continued] == [row.train_loss for row in rows]


def test_a_damaged_checkpoint_names_the_remedy(images, tmp_path) -> None:
    (tmp_path / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(OutputError, match="checkpoint is damaged. Start again without --resume"):
        run(images, tmp_path / "state.pt")


def test_a_checkpoint_that_cannot_be_written_keeps_the_former_one(images, tmp_path, monkeypatch) -> None:
    run(
        images,
        tmp_path / "state.pt",
        RECIPE.model_copy(update={"finetune": FinetuneSettings(epochs=1, batch=8)}),
    )
    kept = (tmp_path / "state.pt").read_bytes()

    def full(state: object, path: object) -> None:
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="Make room; --resume goes on"):
        run(images, tmp_path / "state.pt")
    assert (tmp_path / "state.pt").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
