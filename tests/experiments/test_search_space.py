"""What is searched follows from the recipe and from what is given."""

import pytest

from lungscope.config.recipe import load_recipe
from lungscope.errors import ConfigError
from lungscope.experiments.search_space import Choice, Range, search_space


def names(recipe: str, *overrides: str) -> set[str]:
    return {each.name for each in search_space(load_recipe(recipe, overrides), overrides)}


def test_the_phases_a_recipe_has_are_searched() -> None:
    assert {"head.learning_rate", "head.augmented_views", "network.hidden"} <= names("default")
    assert not any(name.startswith("finetune.") for name in names("default"))
    both = names("default", "finetune.epochs=3")
    assert {"head.learning_rate", "finetune.learning_rate", "finetune.weight_decay"} <= both
    assert not any(name.startswith("head.") for name in names("scratch"))
    assert "augment.flip" not in both


def test_a_rate_is_searched_around_the_recipes() -> None:
    space = {each.name: each for each in search_space(load_recipe("default", ["head.learning_rate=0.02"]))}
    assert space["head.learning_rate"] == Range("head.learning_rate", 0.002, 0.2, log=True)


def test_what_is_given_is_not_searched() -> None:
    assert "head.learning_rate" not in names("default", "head.learning_rate=0.01")
    every = [f"{name}=1" for name in names("default")]
    with pytest.raises(ConfigError, match="Leave one of them out"):
        search_space(load_recipe("default"), every)


def test_augmentation_is_not_searched_where_nothing_is_augmented() -> None:
    assert not any(name.startswith("augment.") for name in names("default", "head.augmented_views=1"))
    assert any(name.startswith("augment.") for name in names("default", "head.augmented_views=1", "finetune.epochs=1"))


def test_dropout_after_hidden_layers_keeps_one() -> None:
    space = search_space(load_recipe("default", ["network.hidden=[64]", "network.hidden_dropout=0.5"]))
    (hidden,) = (each for each in space if each.name == "network.hidden")
    assert isinstance(hidden, Choice)
    assert "[]" not in hidden.values


def test_every_choice_is_a_setting_that_a_recipe_takes() -> None:
    for each in search_space(load_recipe("default")):
        ends = each.values if isinstance(each, Choice) else (each.low, each.high)
        for value in ends:
            load_recipe("default", [f"{each.name}={value}"])
