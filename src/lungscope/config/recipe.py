"""Recipes: everything a training run depends on, as frozen, strictly checked settings; TOML in, TOML out."""

import difflib
import json
import os
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from lungscope.config.settings import (
    AugmentSettings,
    CalibrationSettings,
    Count,
    DataSettings,
    FinetuneSettings,
    HeadSettings,
    ImageSettings,
    InputCheckSettings,
    LossSettings,
    MixSettings,
    NetworkSettings,
    NotNegative,
    Settings,
)
from lungscope.errors import ConfigError

OPERATING_POINTS = {
    "sensitivity-95": "sensitivity >= 0.95",
    "specificity-90": "specificity >= 0.90",
    "youden": "youden",
    "half": "0.5",
}


class Recipe(Settings):
    """Everything a run depends on besides the images, the seed's machine and the installed versions."""

    name: str = "default"
    description: str = "Frozen ImageNet MobileNetV2, features of several views, a regularised head."
    seed: Count = 0
    source: str = ""
    """Where the protocol was published."""
    claimed_parameters: Count = 0
    """Size of the network as its source states it; 0 when it does not."""
    imbalance: Literal[
        "none", "class-weights", "oversample", "oversample-sites", "balanced-batches", "focal", "smote"
    ] = "class-weights"
    """What is done about classes of unequal size; see `training/imbalance.py`."""
    hard_examples: NotNegative = 0.0
    """Copies to add of an image that a simple head gets wrong for sure when it has not seen its patient, fewer
    in proportion; see `training/hard_examples.py`."""
    loss: LossSettings = LossSettings()
    data: DataSettings = DataSettings()
    image: ImageSettings = ImageSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    mix: MixSettings = MixSettings()
    head: HeadSettings = HeadSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    input_check: InputCheckSettings = InputCheckSettings()
    operating_points: dict[str, str] = Field(default_factory=lambda: dict(OPERATING_POINTS))
    """Name → goal, fitted on validation. The first one is used where none is named."""

    @model_validator(mode="after")
    def _settings_agree(self) -> "Recipe":
        head, finetune = self.head, self.finetune
        if not head.epochs and not finetune.epochs:
            raise ValueError("head.epochs and finetune.epochs are both 0: nothing would be learned. Set one of them.")
        if self.imbalance == "smote" and (not head.epochs or not head.augmented_views or finetune.epochs):
            raise ValueError(
                f"imbalance = 'smote' and head.epochs = {head.epochs}, head.augmented_views = {head.augmented_views}, "
                f"finetune.epochs = {finetune.epochs}: SMOTE needs the cached features of a frozen backbone. "
                "Set head.epochs and head.augmented_views above 0 and finetune.epochs to 0, or imbalance otherwise."
            )
        if self.imbalance == "focal" and self.loss.label_smoothing:
            raise ValueError(
                f"imbalance = 'focal' and loss.label_smoothing = {self.loss.label_smoothing} are two losses. "
                "Set one of them back."
            )
        if head.epochs and head.augmented_views != 1 and self.augment.off:
            raise ValueError(
                f"head.augmented_views = {head.augmented_views} and every setting of augment is 0: "
                "all views would be the same. Set head.augmented_views to 1, or turn an augmentation on."
            )
        if self.hard_examples and not (head.epochs and head.augmented_views):
            raise ValueError(
                f"hard_examples = {self.hard_examples}, head.epochs = {head.epochs}, "
                f"head.augmented_views = {head.augmented_views}: hard examples are found on the cached features of a "
                "first phase. Set head.epochs and head.augmented_views above 0, or hard_examples to 0."
            )
        return self


def recipe_names() -> list[str]:
    """Names of the recipes in the package, the default first."""
    folder = resources.files("lungscope.config") / "recipes"
    names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return sorted(names, key=lambda name: name != "default")


def load_recipe(source: str | os.PathLike[str] = "default", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or from a TOML file and apply `section.key=value` overrides.

    Raises:
        ConfigError: no such recipe or key (the nearest is named), or a value that does not fit.
    """
    table = _read_table(source)
    for override in overrides:
        _apply(table, override)
    try:
        return Recipe.model_validate_json(_to_json(table))
    except ValidationError as error:
        raise ConfigError(_first_problem(error, source)) from None


def dump_recipe(recipe: Recipe) -> str:
    """The fully resolved recipe as TOML, which `load_recipe` reads back to an equal one."""
    return tomli_w.dumps(recipe.model_dump(mode="json"))


def _read_table(source: str | os.PathLike[str]) -> dict[str, Any]:
    path = Path(source)
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text(encoding="utf-8"))
        if str(source) not in recipe_names():
            known = recipe_names()
            raise ConfigError(
                f"There is no recipe {str(source)!r}.{_nearest(str(source), known)} Known: {', '.join(known)}."
            )
        return tomllib.loads(
            (resources.files("lungscope.config") / "recipes" / f"{source}.toml").read_text(encoding="utf-8")
        )
    except OSError as error:
        raise ConfigError(f"{path}: the recipe cannot be read ({error.strerror}). Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}). Correct that line.") from None


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override!r} has no '='. Write it as --set head.epochs=10.")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"--set {key}: {section!r} is a value, not a section. Run 'lungscope recipes' for the keys."
            )
    table[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _to_json(table: dict[str, Any]) -> str:
    # Through JSON, where strict mode still takes a list for a tuple and 1 for 1.0.
    return json.dumps(table, default=str)


def _first_problem(error: ValidationError, source: str | os.PathLike[str]) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        section = f"in {where}, " if where else ""
        return f"Recipe {str(source)!r}: {section}{problem['ctx']['error']}"
    if problem["type"] == "extra_forbidden":
        return f"Recipe {str(source)!r} has no setting {where!r}.{_nearest(where, setting_names())}"
    return f"Setting {where} = {problem['input']!r} of recipe {str(source)!r}: {problem['msg'].lower()}. Change it."


def setting_names(model: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """Every setting a recipe has, as dotted names."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            names += setting_names(nested, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """The settings in which two recipes differ, by dotted name, with both values."""
    tables = [recipe.model_dump(mode="json") for recipe in (one, other)]
    pairs = {name: tuple(_setting(table, name) for table in tables) for name in setting_names()}
    return {name: (first, second) for name, (first, second) in pairs.items() if first != second}


def _setting(table: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        table = table[part]
    return table


def _nearest(name: str, known: Sequence[str]) -> str:
    # A bare key such as "epoch" is held against the last parts too.
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        tail = name.rpartition(".")[2]
        close = [other for other in known if difflib.get_close_matches(tail, [other.rpartition(".")[2]], cutoff=0.7)][
            :1
        ]
    return f" Did you mean {close[0]!r}?" if close else ""
