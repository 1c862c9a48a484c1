"""A run's model made fit to be passed on: one file with a person's statement inside, and its card."""

import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lungscope.bundle.bundle import Bundle, load_bundle, replace_card
from lungscope.bundle.default_model import CARD, MODEL
from lungscope.bundle.provenance import TOPICS, Statement
from lungscope.errors import BundleError, ConfigError
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.evaluation.usage import evaluations
from lungscope.experiments.evaluate_run import Evaluated, evaluate_bundle, own_data
from lungscope.reports.model_card import CardSection, ModelCard, card_markdown, model_card
from lungscope.system.files import check_free, write_atomically

LARGEST = 10_000_000
"""Bytes; a package that everybody installs stays small."""
TOLERANCE = 1e-3
"""Of the AUROC, between machines."""


@dataclass(frozen=True)
class Provenance:
    """How the run came about, which its folder does not say."""

    command: str
    hardware: str

    def __post_init__(self) -> None:
        """Refuse what says nothing, or names places that nobody else has."""
        for option, text in (("--command", self.command), ("--hardware", self.hardware)):
            if not text.strip() or "\n" in text:
                raise ConfigError(f"{option} needs one line of text. The model's card shows it.")
        if place := next((word for word in self.command.split() if word.startswith(("/", "~"))), ""):
            raise ConfigError(f"--command names {place!r}, a place on this machine. Write DATA or RUN instead.")


@dataclass(frozen=True)
class Released:
    """What was written."""

    bundle: Bundle
    card: Path
    evaluated: Evaluated
    missing_statements: tuple[str, ...]
    """Topics of which the statement says nothing; the card asks for them."""


def release_model(
    run: Path, out: Path, statement: Statement, provenance: Provenance, *, ood: Sequence[Path] = (), force: bool = False
) -> Released:
    """Write a statement into a run's model, measure that very file on the run's held-out images, and write its card.

    Args:
        run: a run folder whose images are still where its manifest.csv says.
        out: folder for model.onnx and card.md.
        statement: what a person says of the model.
        provenance: how the run came about.
        ood: folders of images that the input check should reject; the card says how many it does.
        force: replace what a former release left in `out`.

    Raises:
        OutputError: there is a model in `out`, or it cannot be written.
        BundleError: the model is too large, holds somebody else's weights as they were, lacks a part that a reader
            needs, or its images or evaluation.json are not those of the run.
    """
    for name in (MODEL, CARD):
        check_free(out / name, force=force)
    bundle = load_bundle(run)
    check_fit(bundle, run)
    content = replace_card(bundle, replace(bundle.card, statement=statement))
    if len(content) > LARGEST:
        raise BundleError(
            f"{run}: the model has {len(content):,} bytes, and a bundled one {LARGEST:,} at most. Train a smaller "
            "network, or set input_check.directions lower."
        )
    data, history = own_data(bundle), bundle.path.with_name("history.csv")
    with TemporaryDirectory() as folder:
        write_atomically(Path(folder) / MODEL, content)
        if history.exists():
            shutil.copy(history, folder)
        released = load_bundle(Path(folder) / MODEL)
        options = EvaluationOptions(data.manifest.held_out, runtime="onnxruntime", precision="fp32", ood=ood)
        done = evaluate_bundle(released, data, Path(folder) / "evaluation", options)
    _check_figures(bundle, done)
    write_atomically(out / CARD, card_markdown(_card(bundle, released, done, provenance)))
    write_atomically(out / MODEL, content)
    missing_statements = tuple(topic for topic in TOPICS if not getattr(statement, topic))
    return Released(load_bundle(out / MODEL), out / CARD, done, missing_statements)


def check_fit(bundle: Bundle, run: Path) -> None:
    """Whether a model may and should be passed on.

    Raises:
        BundleError: it may not, or lacks a part.
    """
    card, calibrated = bundle.card, bundle.card.calibration.method != "none" or bundle.card.calibration.candidates
    if card.export:
        raise BundleError(f"{run}: an export. Name the run folder it was made of.")
    if still := _unlearned(tomllib.loads(card.recipe)):
        raise BundleError(
            f"{run}: {still}, so weights of its backbone are those it started from, which are somebody else's to pass "
            "on. Train all layers: lungscope train DATA --set finetune.epochs=5."
        )
    for part, there, remedy in (
        ("calibration", calibrated, "Train it with --set calibration.method=auto."),
        ("operating points", card.operating_points, "Name its reference class 'normal', and train it again."),
        ("input check", card.input_check, "Train it with --set input_check.enabled=true."),
    ):
        if not there:
            raise BundleError(f"{run}: the model has no {part}. {remedy}")


def _unlearned(recipe: dict[str, Any]) -> str:
    """What says that layers of the backbone, or of a member's, were not trained; empty when all were."""
    if members := recipe.get("members"):
        found = (_unlearned(tomllib.loads(member["recipe"])) for member in members)
        return next(filter(None, found), "")
    tuned = recipe.get("finetune", {})
    if not tuned.get("epochs"):
        return "its recipe has finetune.epochs = 0"
    layers = tuned.get("layers", "all")
    return "" if layers == "all" else f"its recipe has finetune.layers = {layers}"


def _check_figures(bundle: Bundle, done: Evaluated) -> None:
    """The run's own evaluation.json and what was measured now are of the same model and images, and agree."""
    run, path = bundle.path.parent, bundle.path.with_name("evaluation.json")
    again = f"Run: lungscope evaluate {run / 'manifest.csv'} --model {run} --split {done.split} --out {run}"
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
        model, data, area = former["model"]["sha256"], former["data"]["fingerprint"], former["auroc"]["value"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BundleError(f"{path}: no evaluation can be read there. {again}") from None
    if model != bundle.sha256 or data != done.data_fingerprint:
        raise BundleError(f"{path}: of another model or other images than the run's. {again}")
    now = done.evaluation.auroc.value
    if (area is None) != (now is None) or abs((area or 0) - (now or 0)) > TOLERANCE:
        raise BundleError(f"{path}: AUROC {area}, and {now} is measured now. Find out why before passing the model on.")


def _card(bundle: Bundle, released: Bundle, done: Evaluated, provenance: Provenance) -> ModelCard:
    assert done.shown is not None  # an evaluation that was written
    assert done.shown.origin is not None
    card = model_card(done.shown, released.card, done.shown.origin, alone=True)
    times = evaluations(bundle.path.parent, done.data_fingerprint)
    made = CardSection(
        "How it was made",
        (
            f"`{provenance.command}`",
            f"On: {provenance.hardware}. Every setting is in the model: `lungscope describe --json`.",
            f"The graph is that of the run's model (SHA-256 {bundle.sha256}), byte for byte, written again with the "
            f"statements of this card: {len(released.graph):,} bytes. All figures here were measured on this file.",
            *((f"Evaluations of that model on the images held out: {times}.",) if times else ()),
        ),
    )
    return replace(card, sections=(*card.sections, made))
