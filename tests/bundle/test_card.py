"""A card from its JSON: whole, or refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Card, card_json, parse_card
from lungscope.errors import BundleError

PATH = Path("run/model.onnx")


@pytest.fixture(scope="module")
def card(checked_model: Path) -> Card:
    return load_bundle(checked_model).card


def test_a_card_survives_its_json(card: Card) -> None:
    again = parse_card(card_json(card), PATH)
    assert again == card
    assert card_json(again) == card_json(card)
    assert isinstance(again.conformal.thresholds[0], tuple)  # frozen to the last level


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": None}, r"Expected `array`, got `null` - at `\$.classes`"),
        ({"size": "64"}, r"Expected `int`, got `str` - at `\$.size`"),
        (
            {"operating_points": [{"name": "half"}]},
            r"missing required field `goal` - at `\$.operating_points\[0\]`",
        ),
        ({"export": {"format": "gif", "precision": "fp32", "source_sha256": "", "made_by": ""}}, r"'gif'"),
    ],
)
def test_what_is_no_card_names_the_place(card: Card, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=rf"run/model.onnx: .* cannot be read \(.*{words}.*\). Export") as found:
        parse_card(json.dumps({**json.loads(card_json(card)), **change}), PATH)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1', b"\xff"])
def test_what_is_not_even_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(BundleError, match="the model's card cannot be read"):
        parse_card(text, PATH)


def test_another_format_is_refused_whatever_else_it_holds() -> None:
    with pytest.raises(BundleError, match="bundle format 2, and this version reads 1. Export the model again"):
        parse_card('{"format": 2, "of": "the future"}', PATH)
