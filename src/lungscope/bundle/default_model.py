"""The bundled model: what is used where none is named."""

from importlib import resources
from pathlib import Path

from lungscope.bundle.card import Card
from lungscope.errors import BundleError

MODEL, CARD = "model.onnx", "card.md"


def folder() -> Path:
    """Where an installation keeps its model and the model's card; nothing is ever written there."""
    return Path(str(resources.files("lungscope.bundle") / "default"))


def bundled_model(how: str = "--model RUN") -> Path:
    """The bundled model; `BundleError` where there is none, which names `how` another one is given."""
    path = folder() / MODEL
    if not path.is_file():
        raise BundleError(f"No model named and none is bundled. Pass {how}, or train one: lungscope train DATA.")
    return path


def is_bundled(path: Path) -> bool:
    """Whether a model file is the bundled one, whose folder is not the user's."""
    return path.parent.resolve() == folder().resolve()


def introduction(card: Card) -> str:
    """A line that tells which model is used where none was named."""
    origin = f", trained on {card.statement.trained_on}" if card.statement else ""
    return f"Bundled model{origin}; research use only."
