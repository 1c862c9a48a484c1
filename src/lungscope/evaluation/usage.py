"""How often a model was evaluated on the same held-out images: choosing by them makes estimates favourable."""

import csv
import io
from contextlib import suppress
from pathlib import Path

from lungscope.bundle.bundle import Bundle

FILE = "evaluations.csv"
OPTIMISTIC_SPLITS = ("train", "validation")


def count_evaluation(bundle: Bundle, split: str, fingerprint: str) -> int:
    """Note one more evaluation in the model's run folder and count those of these images.

    One line is appended, which the system does whole, so that several processes may count at once.

    Args:
        bundle: the model; one outside a run folder is not counted.
        split: what was evaluated; training and validation are not counted.
        fingerprint: of the images evaluated.

    Returns:
        The number of evaluations of these images with this one; 0 where none are counted, as in a folder
        that cannot be written.
    """
    folder = bundle.path.parent
    if split in OPTIMISTIC_SPLITS or not (folder / "recipe.toml").exists():
        return 0
    with suppress(OSError):  # a model on a read-only share can be evaluated all the same
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(f"{split},{fingerprint}\n")
        return evaluations(folder, fingerprint)
    return 0


def evaluations(folder: Path, fingerprint: str) -> int:
    """How many evaluations of these images a run folder has noted."""
    path = folder / FILE
    if not path.exists():
        return 0
    rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    return sum(row[-1:] == [fingerprint] for row in rows)
