"""Several trainings of one network as one network, whose weights are the mean of theirs (Wortsman et al. 2022)."""

from collections.abc import Sequence
from pathlib import Path

from lungscope.bundle.bundle import load_bundle
from lungscope.config.recipe import Recipe, differences, dump_recipe, load_recipe
from lungscope.data.manifest import write_csv
from lungscope.errors import ConfigError
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.experiments.ensemble import common_data
from lungscope.experiments.evaluate_run import Evaluated, evaluate_bundle
from lungscope.experiments.train_run import write_bundle
from lungscope.networks.network import build_network
from lungscope.networks.onnx_graph import export_backbone
from lungscope.system.files import claim_folder, write_atomically
from lungscope.training.train import Trained
from lungscope.training.weight_averaging import mean_weights


def average_weights(runs: Sequence[Path], out: Path, *, force: bool = False) -> Evaluated:
    """Average the weights of trainings that differ in their seed, calibrate the result, and evaluate it.

    The result is as large and as fast as one member, and a run folder like any other. It needs networks
    that began at the same weights and kept their batch statistics, else their mean means nothing.

    Args:
        runs: run folders, of the same recipe, data and split.
        out: the run folder to fill.
        force: replace a former run in `out`.

    Raises:
        ConfigError: fewer than two members, or they do not fit together.
        BundleError: the weights of a member cannot be read.
    """
    bundles = [load_bundle(run) for run in runs]
    data = common_data(runs, bundles)
    recipe = common_recipe(runs, [load_recipe(run / "recipe.toml") for run in runs])
    network = build_network(recipe.network, recipe.image, len(data.manifest.classes)).eval()
    network.load_state_dict(mean_weights([run / "weights.safetensors" for run in runs]))
    claim_folder(out, force=force)
    write_atomically(out / "recipe.toml", dump_recipe(recipe))
    write_csv(data.manifest, out / "manifest.csv")
    trained = Trained(network, export_backbone(network, recipe.image.size), ())
    bundle = write_bundle(out, trained, data, recipe)
    return evaluate_bundle(bundle, data, out, EvaluationOptions(data.manifest.held_out))


def common_recipe(runs: Sequence[Path], recipes: Sequence[Recipe]) -> Recipe:
    """The recipe of the first run, where the others differ from it in nothing but the seed.

    Raises:
        ConfigError: they differ in more, or their weights have no meaningful mean.
    """
    first = recipes[0]
    for run, recipe in zip(runs, recipes, strict=True):
        for name, (ours, theirs) in differences(first, recipe).items():
            if name != "seed":
                raise ConfigError(
                    f"{runs[0]} and {run} differ in {name} ({ours!r} and {theirs!r}), so their weights have no "
                    "meaningful mean. Average their logits instead: lungscope ensemble --average logits."
                )
    if first.finetune.epochs and not first.finetune.frozen_batchnorm:
        raise ConfigError(
            f"{runs[0]} was trained with finetune.frozen_batchnorm = false: the batch statistics of an "
            "average of weights are not the average of statistics. Train with --set finetune.frozen_batchnorm=true, or "
            "average logits: lungscope ensemble --average logits."
        )
    return first.model_copy(update={"description": f"Mean of the weights of {len(runs)} trainings."})
