"""A run made fit to be passed on: what is refused, and what the card says."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from lungscope.bundle.bundle import load_bundle, replace_card
from lungscope.bundle.card import Calibration, Card
from lungscope.bundle.export_record import Export
from lungscope.bundle.provenance import Statement
from lungscope.cli.app import main
from lungscope.data.dataset import DataSource, load_for
from lungscope.data.manifest import read_manifest, write_csv
from lungscope.errors import BundleError, ConfigError, LungscopeError, OutputError
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.experiments.evaluate_run import evaluate_bundle
from lungscope.experiments.release import Provenance, check_fit, release_model
from lungscope.stats.candidate import CalibrationCandidate

TUNED = 'name = "test"\n[finetune]\nepochs = 3\n'
SAID = Statement(
    trained_on="noise", images="Images were drawn.", licence="Free to take.", attribution="Nobody was asked."
)
PROVENANCE = Provenance("lungscope train DATA --out RUN", "one pencil")


def write_run(folder: Path, checked_model: Path, pictures: list[Path]) -> Path:
    """A run whose model may be passed on, with its evaluation."""
    for i, picture in enumerate(pictures):
        place = folder / "data" / ("NORMAL", "PNEUMONIA")[i % 2] / picture.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    manifest = read_manifest(folder / "data")
    manifest = replace(manifest, splits=tuple(("test", "validation", "train")[i % 3] for i in range(41)))
    run = folder / "run"
    run.mkdir()
    write_csv(manifest, run / "manifest.csv")
    (run / "recipe.toml").write_text(TUNED)
    bundle = load_bundle(checked_model)
    (run / "model.onnx").write_bytes(replace_card(bundle, fit_card(bundle.card, manifest.fingerprint())))
    evaluate(run)
    return run


def fit_card(card: Card, fingerprint: str) -> Card:
    return replace(
        card, recipe=TUNED, calibration=Calibration("temperature", 1.0, (0.0, 0.0)),
        data={"fingerprint": fingerprint},
    )  # fmt: skip


def evaluate(run: Path) -> None:
    bundle = load_bundle(run)
    data = load_for(bundle.card, DataSource(run / "manifest.csv"))
    evaluate_bundle(bundle, data, run, EvaluationOptions(heat_checks=False))


@pytest.fixture(scope="module")
def made(tmp_path_factory, checked_model: Path, pictures: list[Path]) -> Path:
    return write_run(tmp_path_factory.mktemp("release"), checked_model, pictures)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def released(made: Path, tmp_path_factory) -> Path:
    """A folder with model and card."""
    out, far = tmp_path_factory.mktemp("released"), made.parent / "data"
    done = release_model(made, out, SAID, PROVENANCE, ood=[far])
    assert done.bundle.path == out / "model.onnx"
    assert "harms" in done.missing_statements
    return out


def changed(run: Path, **fields: object) -> Path:
    bundle = load_bundle(run)
    (run / "model.onnx").write_bytes(replace_card(bundle, replace(bundle.card, **fields)))
    return run


def test_the_graph_is_the_runs_and_the_statement_is_inside(made: Path, released: Path) -> None:
    ours, theirs = load_bundle(made), load_bundle(released)
    assert theirs.card.statement == SAID
    assert replace_card(theirs, ours.card) == ours.graph


def test_the_card_shows_what_was_said_and_what_was_measured_on_this_file(released: Path, made: Path) -> None:
    text = (released / "card.md").read_text()
    bundle, estimates = load_bundle(released), json.loads((made / "evaluation.json").read_text())
    assert bundle.sha256 in text
    assert f"{len(bundle.graph):,} bytes" in text
    for said in (
        "Images were drawn.",
        "Free to take.",
        "Nobody was asked.",
        "`lungscope train DATA --out RUN`",
        "one pencil",
    ):
        assert said in text
    assert f"| AUROC | {estimates['auroc']['value']:.3f}" in text
    assert "| half | 0.500 |" in text
    assert "held out from the same data" in text
    assert "Evaluations of that model on the images held out: 1." in text
    assert str(made) not in text


def test_the_card_stands_without_a_report(released: Path) -> None:
    text = (released / "card.md").read_text()
    assert "report.html" not in text
    assert "| other data: data | 41 |" in text  # a table of the report, the second of its section
    assert "that licence does not cover the model" not in text
    assert "**A person must supply this:** known harms" in text
    assert "**A person must supply this:** the licence of this model" not in text


def test_a_release_is_no_further_evaluation_on_the_test_images(made: Path, released: Path) -> None:
    assert len((made / "evaluations.csv").read_text().splitlines()) == 1


def test_a_former_one_is_replaced_only_by_force(made: Path, released: Path, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "out")
    with pytest.raises(OutputError, match=r"model.onnx: exists already.*--force"):
        release_model(made, tmp_path / "out", SAID, PROVENANCE)
    other = replace(SAID, licence="Ask first.")
    done = release_model(made, tmp_path / "out", other, PROVENANCE, force=True)
    assert done.bundle.card.statement == other
    assert done.bundle.sha256 in done.card.read_text()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"finetune": {"epochs": 0}}, "finetune.epochs = 0, so weights of its backbone"),
        ({}, "finetune.epochs = 0"),
        ({"finetune": {"epochs": 3, "layers": 4}}, "finetune.layers = 4"),
        ({"members": [{"recipe": TUNED}, {"recipe": "[finetune]\nepochs = 0\n"}]}, "finetune.epochs = 0"),
    ],
)
def test_weights_of_somebody_else_are_refused(run: Path, tmp_path: Path, recipe: dict, message: str) -> None:
    changed(run, recipe=tomli_w.dumps(recipe))
    with pytest.raises(BundleError, match=message):
        release_model(run, tmp_path / "out", SAID, PROVENANCE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"calibration": Calibration()}, r"no calibration.*calibration.method=auto"),
        ({"operating_points": ()}, "no operating points"),
        ({"input_check": None}, r"no input check.*input_check.enabled=true"),
        ({"export": Export("onnx", "fp32", "a" * 64, "by hand")}, "an export. Name the run folder"),
    ],
)
def test_a_model_that_lacks_a_part_is_refused(run: Path, tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        release_model(changed(run, **fields), tmp_path / "out", SAID, PROVENANCE)


def test_calibration_that_was_compared_and_left_out_is_one(made: Path) -> None:
    candidate = CalibrationCandidate("none", *(0.5,) * (len(CalibrationCandidate.__dataclass_fields__) - 1))
    bundle = load_bundle(made)
    check_fit(replace(bundle, card=replace(bundle.card, calibration=Calibration(candidates=(candidate,)))), made)


def test_a_model_above_ten_megabytes_is_refused(run: Path, tmp_path: Path) -> None:
    said = replace(SAID, patients="x" * 10_000_000)
    with pytest.raises(BundleError, match=r"bytes, and a bundled one 10,000,000 at most"):
        release_model(run, tmp_path / "out", said, PROVENANCE)


def test_images_that_are_gone_are_refused(run: Path, tmp_path: Path) -> None:
    lines = (run / "manifest.csv").read_text().splitlines()
    (run / "manifest.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(BundleError, match=r"manifest.csv: not the table the model was trained with"):
        release_model(run, tmp_path / "out", SAID, PROVENANCE)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", {"sha256": "0" * 64}, "of another model or other images"),
        ("data", {"fingerprint": "0" * 64}, r"Run: lungscope evaluate .*--split test --out"),
        ("auroc", {"value": 0.123}, "AUROC 0.123, and"),
        ("auroc", None, "no evaluation can be read"),
    ],
)
def test_another_evaluation_is_refused(run: Path, tmp_path: Path, key: str, value: object, message: str) -> None:
    path = run / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(BundleError, match=message):
        release_model(run, tmp_path / "out", SAID, PROVENANCE)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_never_evaluated_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "evaluation.json").unlink()
    with pytest.raises(LungscopeError, match="no evaluation can be read there"):
        release_model(run, tmp_path / "out", SAID, PROVENANCE)


@pytest.mark.parametrize(
    ("command", "hardware", "message"),
    [
        ("", "one", "--command needs one line"),
        ("lungscope train DATA", " ", "--hardware needs one line"),
        ("a\nb", "one", "--command needs one line"),
        ("lungscope train /data/x", "one", "names '/data/x', a place on this machine"),
        ("lungscope train ~/x", "one", "names '~/x'"),
    ],
)
def test_a_provenance_that_helps_nobody_is_refused(command: str, hardware: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Provenance(command, hardware)


def test_the_command_says_what_it_wrote_and_what_statements_are_missing(
    made: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "said.toml").write_text('trained_on = "a"\nimages = "b"\nlicence = "c"\nattribution = "d"\n')
    arguments = ["--statement", tmp_path / "said.toml", "--command", PROVENANCE.command, "--hardware", "one pencil"]
    monkeypatch.setattr(sys, "argv", ["lungscope", "release", *map(str, [made, "--out", tmp_path, *arguments])])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    out = capsys.readouterr().out
    assert load_bundle(tmp_path).sha256 in out
    assert "The statement says nothing of: maker, version" in out
    assert np.isfinite(float(out.split("AUROC ")[1].split()[0]))
