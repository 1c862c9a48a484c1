"""A statement is read strictly, travels in the card, and is under its checksum."""

from dataclasses import replace
from pathlib import Path

import pytest

from lungscope.bundle.bundle import load_bundle, read_card, replace_card
from lungscope.bundle.provenance import TOPICS, Statement, read_statement
from lungscope.errors import BundleError, ConfigError

WHOLE = {"trained_on": "noise", "images": "Drawn.", "licence": "Apache-2.0.", "attribution": "Nobody."}


def write(path: Path, **texts: object) -> Path:
    path.write_text("\n".join(f"{name} = {value!r}" for name, value in {**WHOLE, **texts}.items()))
    return path


def test_line_breaks_are_for_the_reader_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "statement.toml"
    path.write_text('trained_on = "a"\nimages = """\nOne,\n  two."""\nlicence = "c"\nattribution = "d"\n')
    assert read_statement(path) == Statement(trained_on="a", images="One, two.", licence="c", attribution="d")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"licensing": "x"}, r"no topic 'licensing'. It has: trained_on, maker"),
        ({"licence": 2}, "licence is not a text"),
        ({"attribution": "  "}, "says nothing of 'attribution'"),
        ({"trained_on": ""}, "says nothing of 'trained_on'"),
    ],
)
def test_a_wrong_statement_is_refused(tmp_path: Path, texts: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_statement(write(tmp_path / "statement.toml", **texts))


@pytest.mark.parametrize("content", [b"trained_on = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "statement.toml").write_bytes(content)
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_statement(tmp_path / "statement.toml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_statement(tmp_path / "gone.toml")


def test_the_statement_travels_in_the_card_over_the_same_graph(checked_model: Path, tmp_path: Path) -> None:
    bundle, said = load_bundle(checked_model), Statement(**{name: f"On {name}." for name in TOPICS})
    assert bundle.card.statement is None
    path = tmp_path / "model.onnx"
    path.write_bytes(replace_card(bundle, replace(bundle.card, statement=said)))
    found = load_bundle(path)
    assert found.card == replace(bundle.card, statement=said) == read_card(path)
    assert replace_card(found, bundle.card) == checked_model.read_bytes()


def test_a_statement_that_was_changed_breaks_the_checksum(checked_model: Path, tmp_path: Path) -> None:
    bundle = load_bundle(checked_model)
    content = replace_card(bundle, replace(bundle.card, statement=Statement(licence="Apache-2.0")))
    path = tmp_path / "model.onnx"
    path.write_bytes(content.replace(b"Apache-2.0", b"Apache-3.0"))
    with pytest.raises(BundleError, match="changed or damaged"):
        load_bundle(path)
