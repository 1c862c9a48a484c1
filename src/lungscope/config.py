"""Recipes: everything a training run depends on, as frozen, strictly checked settings; TOML in, TOML out."""

import difflib
import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lungscope.errors import ConfigError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]


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
    label_pattern: str = ""
    """Regular expression over the file name whose first group is the label; a file it does not match keeps
    its own. `_(bacteria|virus)_` makes three classes of the Kaggle set. Empty: labels as given."""


class ImageSettings(Settings):
    """What the network is shown."""

    size: Annotated[int, Field(ge=32, le=1024)] = 160
    scaling: Literal["imagenet", "unit", "per-image"] = "imagenet"
    """`unit` is pixel / 255; `imagenet` continues with the mean and deviation the network was pre-trained with."""


class NetworkSettings(Settings):
    """Features → global average pooling → head."""

    backbone: str = "mobilenetv2_100"
    """A timm name, or a network of our own such as `cnn-32-64-128-256`; see `model/backbones.py`."""
    hidden: tuple[AtLeastOne, ...] = ()
    """Widths of dense ReLU layers between the pooled features and the output."""
    pooled_dropout: Fraction = 0.2
    hidden_dropout: Fraction = 0.0
    """Dropout on the pooled features, and after every hidden layer."""
    output: Literal["softmax", "sigmoid"] = "softmax"

    @model_validator(mode="after")
    def _dropout_has_a_layer(self) -> "NetworkSettings":
        if self.hidden_dropout and not self.hidden:
            raise ValueError(
                f"hidden_dropout = {self.hidden_dropout} and hidden = []: there is no layer to drop from. "
                "Set network.hidden, or use network.pooled_dropout."
            )
        return self


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

    @property
    def off(self) -> bool:
        """Whether no image is changed."""
        return not any(self.model_dump().values())


class PhaseSettings(Settings):
    """How weights are fitted in one phase, and which epoch's weights are kept."""

    epochs: Count
    learning_rate: Positive
    weight_decay: NotNegative
    batch: AtLeastOne
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cosine", "plateau", "none"] = "cosine"
    """`plateau` lowers the rate when the validation loss has not fallen for `plateau_patience` epochs."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    plateau_patience: AtLeastOne = 2
    patience: AtLeastOne
    """Epochs without a better one after which training stops."""
    monitor: Literal["auroc", "loss", "accuracy", "both"] = "auroc"
    """What has to get better on validation; `both` stops as soon as loss or accuracy has not."""
    keep: Literal["auroc", "loss", "accuracy"] = "auroc"
    """By what, on validation, the epoch is chosen whose weights are kept."""

    @model_validator(mode="after")
    def _rate_is_lowered_before_the_stop(self) -> "PhaseSettings":
        if self.schedule == "plateau" and self.plateau_patience >= self.patience:
            raise ValueError(
                f"plateau_patience = {self.plateau_patience} and patience = {self.patience}: training would stop "
                "before the rate is lowered. Make patience larger."
            )
        return self


class HeadSettings(PhaseSettings):
    """First phase: the backbone is frozen and only the head learns."""

    epochs: Count = 60
    views: Annotated[int, Field(ge=0, le=64)] = 4
    """Copies of every training image whose features are computed once: the plain one and augmented ones.

    0: another augmented copy in every epoch, as a loop over images has it.
    """
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    batch: AtLeastOne = 256
    """Up to 256 it is a ceiling that small data need not fill."""
    patience: AtLeastOne = 8


class FinetuneSettings(PhaseSettings):
    """Second phase: all layers learn, or the last ones, at a low rate."""

    epochs: Count = 0
    layers: Literal["all"] | AtLeastOne = "all"
    """How many of the backbone's last layers learn; the others stay as they are, their statistics too."""
    learning_rate: Positive = 1e-4
    weight_decay: NotNegative = 1e-4
    batch: AtLeastOne = 32
    patience: AtLeastOne = 3
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; `auto` uses it on CUDA."""


class LossSettings(Settings):
    """Cross-entropy, which for one sigmoid output is binary cross-entropy, and its variants."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Positive = 2.0
    """How strongly `imbalance = "focal"` turns from easy examples to hard ones (Lin et al. 2017)."""


class CalibrationSettings(Settings):
    """How logits become probabilities; fitted on validation only."""

    method: Literal["temperature", "none"] = "temperature"


class Recipe(Settings):
    """Everything a run depends on besides the images, the seed's machine and the installed versions."""

    name: str = "default"
    description: str = "Frozen ImageNet MobileNetV2, features of several views, a regularised head."
    seed: Count = 0
    source: str = ""
    """Where the protocol was published."""
    claimed_parameters: Count = 0
    """Size of the network as its source states it; 0 when it does not."""
    imbalance: Literal["none", "class-weights", "oversample", "balanced-batches", "focal", "smote"] = (
        "class-weights"
    )
    """What is done about classes of unequal size; see `model/imbalance.py`."""
    loss: LossSettings = LossSettings()
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

    @model_validator(mode="after")
    def _settings_agree(self) -> "Recipe":
        head, finetune = self.head, self.finetune
        if not head.epochs and not finetune.epochs:
            raise ValueError(
                "head.epochs and finetune.epochs are both 0: nothing would be learned. Set one of them."
            )
        if self.imbalance == "smote" and (not head.epochs or not head.views or finetune.epochs):
            raise ValueError(
                f"imbalance = 'smote' and head.epochs = {head.epochs}, head.views = {head.views}, "
                f"finetune.epochs = {finetune.epochs}: SMOTE needs the cached features of a frozen backbone. "
                "Set head.epochs and head.views above 0 and finetune.epochs to 0, or choose another imbalance."
            )
        if self.imbalance == "focal" and self.loss.label_smoothing:
            raise ValueError(
                f"imbalance = 'focal' and loss.label_smoothing = {self.loss.label_smoothing} are two losses. "
                "Set one of them back."
            )
        if head.epochs and head.views != 1 and self.augment.off:
            raise ValueError(
                f"head.views = {head.views} and every setting of augment is 0: all views would be the same. "
                "Set head.views to 1, or turn an augmentation on."
            )
        return self


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
