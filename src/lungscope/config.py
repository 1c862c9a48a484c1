"""Recipes: everything a training run depends on, as frozen, strictly checked settings; TOML in, TOML out."""

import difflib
import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lungscope.errors import ConfigError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """A frozen group of settings that refuses unknown keys and lossy conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class DataSettings(Settings):
    """How the table becomes training, validation and test rows."""

    split: Literal["auto", "predefined", "patients", "random"] = "auto"
    """`auto` keeps predefined folders unless their validation part is too small to choose a threshold on."""
    validation: Fraction = 0.15
    test: Fraction = 0.15
    patient_pattern: str = ""
    """Regular expression over the file name; the groups together are the patient. Empty: known names."""


class ImageSettings(Settings):
    """What the network is shown."""

    size: Annotated[int, Field(ge=32, le=1024)] = 160
    scaling: Literal["imagenet", "unit", "per-image"] = "imagenet"
    """`unit` is pixel / 255; `imagenet` continues with the mean and deviation of ImageNet."""


class NetworkSettings(Settings):
    """Features → global average pooling → head."""

    backbone: str = "mobilenetv2_100"
    """A timm name or one of the networks in `model/zoo.py`."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Widths of dense ReLU layers between the pooled features and the output."""
    pooled_dropout: Fraction = 0.2
    hidden_dropout: Fraction = 0.0
    """Dropout on the pooled features, and after every hidden layer."""
    output: Literal["softmax", "sigmoid"] = "softmax"


class AugmentSettings(Settings):
    """Largest change of each kind; 0 turns it off. Applied to training images only."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 7.0
    zoom: Fraction = 0.10
    shift: Fraction = 0.05
    flip: Fraction = 0.0
    """Probability of a left-right flip. Off: it moves the heart to the other side."""
    brightness: Fraction = 0.15
    contrast: Fraction = 0.20
    gamma: Fraction = 0.20


class HeadSettings(Settings):
    """First phase: the backbone is frozen and only the head learns."""

    epochs: Count = 60
    views: Annotated[int, Field(ge=1, le=64)] = 4
    """Copies of every training image whose features are computed once: the plain one and augmented ones."""
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    batch: Annotated[int, Field(ge=1)] = 256
    patience: Annotated[int, Field(ge=1)] = 8


class FinetuneSettings(Settings):
    """Second phase: all layers learn, at a low rate."""

    epochs: Count = 0
    learning_rate: Positive = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    batch: Annotated[int, Field(ge=1)] = 32
    patience: Annotated[int, Field(ge=1)] = 3


class CalibrationSettings(Settings):
    """How logits become probabilities; fitted on validation only."""

    method: Literal["temperature", "none"] = "temperature"


class Recipe(Settings):
    """Everything a run depends on besides the images, the seed's machine and the installed versions."""

    name: str = "default"
    description: str = "Frozen ImageNet MobileNetV2, features of several views, a regularised head."
    seed: Count = 0
    class_weights: bool = True
    data: DataSettings = DataSettings()
    image: ImageSettings = ImageSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    head: HeadSettings = HeadSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    operating_points: dict[str, str] = {
        "sensitivity-95": "sensitivity >= 0.95",
        "specificity-90": "specificity >= 0.90",
        "youden": "youden",
        "half": "0.5",
    }
    """Name → goal, fitted on validation. The first one is used where none is named."""


def recipe_names() -> list[str]:
    """Names of the recipes in the package, the default first."""
    folder = resources.files("lungscope") / "recipes"
    names = sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )
    return sorted(names, key=lambda name: name != "default")


def load_recipe(source: str | Path = "default", overrides: Sequence[str] = ()) -> Recipe:
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


def _read_table(source: str | Path) -> dict[str, Any]:
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
            (resources.files("lungscope") / "recipes" / f"{source}.toml").read_text(encoding="utf-8")
        )
    except OSError as error:
        raise ConfigError(f"{path}: the recipe cannot be read ({error.strerror}). Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}). Mend that line.") from None


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


def _first_problem(error: ValidationError, source: str | Path) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
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


def _nearest(name: str, known: Sequence[str]) -> str:
    # A bare key such as "epoch" is held against the last parts too.
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        tail = name.rpartition(".")[2]
        close = [
            other
            for other in known
            if difflib.get_close_matches(tail, [other.rpartition(".")[2]], cutoff=0.7)
        ][:1]
    return f" Did you mean {close[0]!r}?" if close else ""
