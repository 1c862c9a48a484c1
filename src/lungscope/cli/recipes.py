"""`lungscope recipes`."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.padding import Padding

from lungscope.cli.tables import stdout

if TYPE_CHECKING:
    from lungscope.config.recipe import Recipe


def recipes() -> None:
    """List the recipes with network and protocol, and every setting of the default one.

    Example: lungscope recipes
    """
    from lungscope.config.recipe import dump_recipe, load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        stdout.print(name, style="bold", end="")
        stdout.print(f"  {recipe.network.backbone}, {recipe.image.size} px{_parameters(recipe)}")
        for line in (protocol(recipe), f"{recipe.description} {recipe.source}."):
            stdout.print(Padding(line, (0, 0, 0, 4)), soft_wrap=False)
    stdout.print("\nSettings of the default recipe; change them with --set section.key=value:\n")
    stdout.print(dump_recipe(load_recipe()), soft_wrap=False)


def protocol(recipe: "Recipe") -> str:
    """The split, the phases and what is done about imbalance, in a few words."""
    data, parts = recipe.data, []
    train = 1 - data.validation - data.test
    dealt = "" if data.split == "predefined" else f" {train:.0%} / {data.validation:.0%} / {data.test:.0%}"
    parts.append(f"split {data.split}{dealt}")
    tuned = "all layers" if recipe.finetune.layers == "all" else f"last {recipe.finetune.layers} layers"
    for label, phase in (("head", recipe.head), (tuned, recipe.finetune)):
        if phase.epochs:
            parts.append(f"{label} {phase.epochs} epochs, {phase.optimizer} {phase.learning_rate:g}")
    parts.append(f"imbalance: {recipe.imbalance}")
    return "; ".join(parts)


def _parameters(recipe: "Recipe") -> str:
    """The true number, for two classes, beside the one its source states; empty without PyTorch."""
    if find_spec("torch") is None or find_spec("timm") is None:
        return ""
    from lungscope.networks.network import count_parameters

    claim = f" (claimed: {recipe.claimed_parameters:,})" if recipe.claimed_parameters else ""
    return f", {count_parameters(recipe.network, recipe.image):,}{claim} parameters"
