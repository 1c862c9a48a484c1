"""A card from its JSON: whole, or refused in one line."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from lungscope.bundle import checksum
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
        ({"operating_points": [{"name": "half"}]}, r"missing required field `goal` - at `\$.operating_points\[0\]`"),
        ({"classes": ["NORMAL"]}, r"Expected `array` of length >= 2 - at `\$.classes`"),
        ({"size": 0}, r"Expected `int` >= 1 - at `\$.size`"),
        ({"input_chek": None}, r"unknown field - at `\$.input_chek`"),
        ({"calibration": {"method": "none", "temperature": 2.0}}, r"unknown field - at `\$.calibration.temperature`"),
        (
            {"parity": [{"engine": "a", "images": 1, "largest_difference": 0.1, "flips": 0, "x": 1}]},
            r"`\$.parity\[0\].x`",
        ),
        ({"export": {"format": "gif", "precision": "fp32", "source_sha256": "", "made_by": ""}}, r"'gif'"),
    ],
)
def test_what_is_no_card_names_the_place(card: Card, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=rf"run/model.onnx: .* cannot be read \(.*{words}.*\). Export") as found:
        parse_card(json.dumps({**json.loads(card_json(card)), **change}), PATH)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", [field.name for field in fields(Card)])
def test_every_field_of_another_type_is_refused_by_its_name(card: Card, name: str) -> None:
    with pytest.raises(BundleError, match=rf"got `bool`.* - at `\$.{name}`\). Export the model again") as found:
        parse_card(json.dumps({**json.loads(card_json(card)), name: True}), PATH)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", [field.name for field in fields(Card) if field.default is MISSING])
def test_every_field_that_must_be_there_is_missed_by_its_name(card: Card, name: str) -> None:
    document = json.loads(card_json(card))
    del document[name]
    with pytest.raises(BundleError, match=f"missing required field `{name}`"):
        parse_card(json.dumps(document), PATH)


@pytest.mark.parametrize("command", ["describe", "predict"])
def test_a_broken_card_is_one_line_on_the_command_line(checked_model, pictures, tmp_path, run, capsys, command) -> None:
    bundle, path = load_bundle(checked_model), tmp_path / "broken.onnx"
    document = {**json.loads(card_json(bundle.card)), "size": "64"}
    path.write_bytes(checksum.append(checksum.strip(bundle.graph, bundle.path), json.dumps(document)))
    assert run(command, *((path,) if command == "describe" else (pictures[0], "--model", path))) == 2
    assert capsys.readouterr() == (
        "",
        f"lungscope: {path}: the model's card cannot be read (Expected `int`, got `str` - at `$.size`). "
        "Export the model again.\n",
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1', b"\xff"])
def test_what_is_not_even_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(BundleError, match="the model's card cannot be read"):
        parse_card(text, PATH)


def test_another_format_is_refused_whatever_else_it_holds() -> None:
    with pytest.raises(BundleError, match="bundle format 2, and this version reads 1. Export the model again"):
        parse_card('{"format": 2, "of": "the future"}', PATH)
