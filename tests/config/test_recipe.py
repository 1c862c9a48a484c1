import pytest
from pydantic import ValidationError

from lungscope.config.recipe import Recipe, dump_recipe, load_recipe, recipe_names, setting_names
from lungscope.config.settings import FinetuneSettings, HeadSettings
from lungscope.errors import ConfigError

PUBLISHED = {
    "a-densenet121", "a-inceptionv3", "a-resnet50", "a-vgg16", "b-deepcnn200", "c-baseline-cnn",
    "c-resnet50-two-phase", "d-custom-cnn", "d-mobilenet", "d-resnet50",
}  # fmt: skip


def test_every_published_system_has_its_recipes() -> None:
    names = recipe_names()
    assert names[0] == "default"
    assert set(names) == PUBLISHED | {"default", "scratch", "thorough"}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_being_written_and_read(name: str, tmp_path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.source
    path = tmp_path / "recipe.toml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_recipe_says_where_each_setting_is_from(name: str) -> None:
    from importlib import resources

    text = (resources.files("lungscope.config") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    letter = name[0].upper()
    assert text.startswith(f"# System {letter}: ")
    settings = [line for line in text.splitlines() if " = " in line and not line.startswith("#")]
    told = [line for line in settings if f"# {letter}: " in line or "# ours" in line]
    assert len(told) > 0.7 * len(settings)


def test_recipes_state_what_their_sources_do() -> None:
    a, b, c, d = (load_recipe(name) for name in ("a-resnet50", "b-deepcnn200", "c-resnet50-two-phase", "d-mobilenet"))
    assert (a.data.validation, a.data.test, a.image.scaling, a.network.output) == (0.15, 0.15, "unit", "sigmoid")
    assert a.network.hidden == (512,)
    assert (a.head.optimizer, a.head.learning_rate, a.head.epochs, a.head.batch) == ("adam", 1e-3, 10, 32)
    assert (b.image.size, b.augment.flip, b.finetune.monitor, b.finetune.epochs) == (200, 0.0, "both", 40)
    assert (c.image.scaling, c.data.split, c.finetune.learning_rate) == ("imagenet", "predefined", 1e-5)
    assert (c.finetune.schedule, c.finetune.weight_decay, c.augment.flip) == ("plateau", 1e-4, 0.5)
    assert (d.data.validation, d.data.test, d.image.scaling) == (0.2, 0.0, "unit")
    assert isinstance(d.finetune.layers, int)


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("head.epoch=3", "head.epochs"),
        ("imbalanse=none", "imbalance"),
        ("finetune.learningrate=1.0", "finetune.learning_rate"),
        ("loss.gamma=2.0", "loss.focal_gamma"),
        ("class_weights=true", ""),
    ],
)
def test_an_unknown_setting_is_refused_and_the_nearest_named(override: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match="has no setting") as error:
        load_recipe("default", [override])
    assert nearest in str(error.value)


def test_an_unknown_recipe_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(ConfigError, match=r"no recipe 'a-resnet'\. Did you mean 'a-resnet50'\?"):
        load_recipe("a-resnet")


@pytest.mark.parametrize(
    ("overrides", "settings"),
    [
        (["imbalance=smote", "head.epochs=0", "finetune.epochs=3"], ["'smote'", "head.epochs = 0"]),
        (["imbalance=smote", "finetune.epochs=3"], ["'smote'", "finetune.epochs = 3"]),
        (["imbalance=smote", "head.augmented_views=0"], ["'smote'", "head.augmented_views = 0"]),
        (["head.epochs=0"], ["head.epochs", "finetune.epochs"]),
        (["imbalance=focal", "loss.label_smoothing=0.1"], ["'focal'", "loss.label_smoothing"]),
        (["network.hidden_dropout=0.5"], ["hidden_dropout", "hidden = []"]),
        (["head.schedule=plateau", "head.plateau_patience=8"], ["plateau_patience = 8", "patience = 8"]),
        (
            [
                f"augment.{name}=0.0"
                for name in ("rotation_deg", "zoom", "shift", "brightness", "contrast", "gamma", "style_transfer")
            ],
            ["head.augmented_views = 4", "augment"],
        ),
    ],
)  # fmt: skip
def test_contradictory_settings_are_refused_naming_both(overrides: list[str], settings: list[str]) -> None:
    with pytest.raises(ConfigError, match="Recipe 'default': ") as error:
        load_recipe("default", overrides)
    for setting in settings:
        assert setting in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "override", ["head.batch=0", "finetune.layers=0", "finetune.layers=some", "imbalance=weights", "seed=1.5"]
)
def test_a_value_that_does_not_fit_is_refused_naming_the_setting(override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load_recipe("default", [override])


def test_the_last_layers_may_be_all_or_a_number() -> None:
    assert load_recipe("default", ["finetune.layers=3"]).finetune.layers == 3
    assert load_recipe("default", ["finetune.layers=all"]).finetune.layers == "all"


def test_every_setting_has_a_dotted_name() -> None:
    names = setting_names()
    assert {"imbalance", "head.augmented_views", "finetune.compile", "loss.focal_gamma", "data.split"} <= set(names)


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().head.epochs = 3
    assert HeadSettings().optimizer == FinetuneSettings().optimizer == "adamw"
