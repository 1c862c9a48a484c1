"""What a person says of a model that no run can know: whose images, under which licence, for whom."""

from dataclasses import dataclass, fields
from pathlib import Path

from lungscope.errors import ConfigError

REQUIRED = ("trained_on", "images", "licence", "attribution")
"""Without these a model is not passed on: they tell what it is for, and what the licences of its sources ask for."""


@dataclass(frozen=True)
class Statement:
    """One or two sentences on each topic; empty where nothing was said."""

    trained_on: str = ""
    """Ends the sentence "trained on ...", in a few words."""
    maker: str = ""
    version: str = ""
    question: str = ""
    """What it is to answer, and where."""
    scope: str = ""
    """Age groups, hospitals and devices it may be used for, and for which not."""
    images: str = ""
    """Where they come from, and under which licence."""
    patients: str = ""
    labels: str = ""
    """How they were made."""
    approval: str = ""
    """By an ethics committee, and how patients' names were removed."""
    weights: str = ""
    """Those that training started from, and their licence."""
    weaknesses: str = ""
    harms: str = ""
    licence: str = ""
    """Of the model."""
    attribution: str = ""
    """What the licences of images and starting weights ask for."""


TOPICS = tuple(field.name for field in fields(Statement))


def read_statement(path: Path) -> Statement:
    """Read a statement from TOML: one text for each topic.

    Raises:
        ConfigError: it cannot be read, has an unknown topic, a value that is no text, or lacks a required topic.
    """
    import tomllib  # not on the way to a prediction

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the statement cannot be read ({error.strerror}). Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}). Correct that line.") from None
    if unknown := sorted(set(table) - set(TOPICS)):
        raise ConfigError(f"{path}: a statement has no topic {unknown[0]!r}. It has: {', '.join(TOPICS)}.")
    if wrong := [name for name, value in table.items() if not isinstance(value, str)]:
        raise ConfigError(f"{path}: {wrong[0]} is not a text. Put it into quotation marks.")
    # Line breaks in TOML are for its reader; a card has paragraphs.
    said = {name: " ".join(text.split()) for name, text in table.items()}
    if missing := [name for name in REQUIRED if not said.get(name)]:
        raise ConfigError(f"{path}: the statement says nothing of {missing[0]!r}. A model needs it to be passed on.")
    return Statement(**said)
