"""What `tune` searches: a small, documented space over a recipe's settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from lungscope.config.recipe import Recipe
from lungscope.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """A setting searched between two values; evenly on a logarithmic scale where `log`."""

    name: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """A setting searched among values, written as in TOML."""

    name: str
    values: tuple[str, ...]


Space = tuple[Range | Choice, ...]


def search_space(recipe: Recipe, overrides: Sequence[str] = ()) -> Space:
    """What is searched: the settings of the phases the recipe has, but none that is given.

    - learning rates from a tenth to ten times the recipe's, and weight decay, both on a logarithmic scale;
    - for the frozen phase the number of views, and one hidden layer or none;
    - dropout, and the strength of augmentation: rotation, zoom, brightness, contrast. Flips are not
      searched, since they move the heart to the other side.

    Raises:
        ConfigError: nothing is left.
    """
    head, network = recipe.head, recipe.network
    space: list[Range | Choice] = [
        Range("network.pooled_dropout", 0.0, 0.6),
        Range("augment.rotation_deg", 1.0, 15.0),
        Range("augment.zoom", 0.01, 0.2),
        Range("augment.brightness", 0.01, 0.3),
        Range("augment.contrast", 0.01, 0.3),
    ]
    for name in ("head", "finetune"):
        phase = getattr(recipe, name)
        if phase.epochs:
            rate = phase.learning_rate
            space += [
                Range(f"{name}.learning_rate", rate / 10, rate * 10, log=True),
                Range(f"{name}.weight_decay", 1e-5, 0.3, log=True),
            ]
    if head.epochs and head.augmented_views:
        space.append(Choice("head.augmented_views", ("1", "2", "4", "8")))
    if head.epochs:
        # Dropout after hidden layers needs one.
        none = () if network.hidden_dropout else ("[]",)
        space.append(Choice("network.hidden", (*none, "[128]", "[256]", "[512]")))
    given = {each.partition("=")[0].strip() for each in overrides}
    if not recipe.finetune.epochs and head.augmented_views == 1 and "head.augmented_views" in given:
        space = [each for each in space if not each.name.startswith("augment.")]  # no image is augmented
    left = tuple(each for each in space if each.name not in given)
    if not left:
        raise ConfigError("Every setting that is searched is given by --set. Leave one of them out.")
    return left
