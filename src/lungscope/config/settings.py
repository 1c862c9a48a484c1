"""Groups of settings of a recipe: frozen, strictly checked, each with its meaning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    """A timm name, or a network of our own such as `cnn-32-64-128-256`; see `networks/backbones.py`."""
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
    crop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the area that a random crop cuts away at most, at any place and any aspect from 3:4 to 4:3: 0.92 shows
    8 to 100 % of an image (random resized crops, Szegedy et al. 2015)."""
    aspect: Fraction = 0.0
    """Width against height, as between pictures that were squashed from other shapes."""
    equalise: Fraction = 0.0
    """Probability of histogram equalisation, half of them within tiles and limited (CLAHE)."""
    blur: NotNegative = 0.0
    """Standard deviation in pixels."""
    noise: Fraction = 0.0
    """Standard deviation, as a part of the grey range."""
    jpeg: Fraction = 0.0
    """Loss by compression; 0.9 is JPEG quality 10."""
    cutout: Fraction = 0.0
    """Side of a grey square, as a part of the image's."""
    style_transfer: Fraction = 0.0
    """Probability that an image is shown in the style of another training image."""
    p_identity: Fraction = 0.0
    """Probability that an image is shown as it is, so that training has seen what the clinic shows; `style_transfer`
    is drawn apart from it."""

    @property
    def off(self) -> bool:
        """Whether no image is changed."""
        return not any(self.model_dump(exclude={"p_identity"}).values())


class MixSettings(Settings):
    """Images shown as a mixture of two, with both labels in the same proportion.

    The proportion is drawn from Beta(a, a); 0 is none. Where both are on, each batch has one or the other.
    """

    mixup: NotNegative = 0.0
    """a of mixup (Zhang et al. 2018); in the frozen phase it mixes feature vectors."""
    cutmix: NotNegative = 0.0
    """a of CutMix (Yun et al. 2019), a rectangle of the other image; in the second phase only."""


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
    augmented_views: Annotated[int, Field(ge=0, le=64)] = 4
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
    frozen_batchnorm: bool = False
    """Whether batch normalisation keeps the statistics its weights came with. Kept ones need no pass over the
    images, and images of a training batch do not change each other's result."""
    average: Literal["none", "ema", "swa"] = "none"
    """Which weights are validated and kept: those of the last step; their exponential mean over steps; or
    the mean of those at the ends of the epochs in the second half (Izmailov et al. 2018)."""
    ema_decay: Fraction = 0.998
    """How much of the mean stays at each step; less at the start."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; `auto` uses it on CUDA."""


class LossSettings(Settings):
    """Cross-entropy, which for one sigmoid output is binary cross-entropy, and its variants."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Positive = 2.0
    """How strongly `imbalance = "focal"` turns from easy examples to hard ones (Lin et al. 2017)."""


class CalibrationSettings(Settings):
    """How logits become probabilities; fitted on validation only."""

    method: Literal["auto", "none", "temperature", "platt"] = "auto"
    """`auto` compares the others by cross-validation over patients and takes the simplest that does as well
    as the best; `platt` is a scale and a shift per class."""


class InputCheckSettings(Settings):
    """Which images the input check rejects; fitted on training images, its limit on validation ones."""

    enabled: bool = True
    coverage: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    """Share of validation images that are assessed."""
    directions: AtLeastOne = 96
    """Of the embedding's space in which variance is told apart; each takes 5 kB in the default bundle."""
