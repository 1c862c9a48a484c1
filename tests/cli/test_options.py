"""Options that many commands share are on each of them."""

import shutil
from pathlib import Path

import pytest
from typer.main import get_command

from lungscope.cli.app import app

NO_NAMES_READ = {"bench", "serve"}
"""The one measures time, and the data of the other are its own store."""


def test_every_command_that_reads_labelled_data_is_told_patients_and_labels() -> None:
    commands = get_command(app).commands
    parameters = {name: {each.name for each in command.params} for name, command in commands.items()}
    reading = {
        name for name, command in commands.items()
        if any(each.name in ("data", "external") or (each.metavar or "").endswith("DATA") for each in command.params)
    } - NO_NAMES_READ  # fmt: skip
    assert reading == {"audit", "compare", "demo", "evaluate", "export", "robustness", "strata", "train", "tune"}
    for name in reading:
        assert {"patient_pattern", "label_pattern"} <= parameters[name], name


@pytest.fixture
def data(pictures: list[Path], tmp_path: Path) -> Path:
    for path, label in zip(pictures[:8], ["NORMAL", "PNEUMONIA"] * 4, strict=True):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "data" / label)
    return tmp_path / "data"


@pytest.mark.parametrize("option", ["--patient-pattern", "--label-pattern"])
@pytest.mark.parametrize("command", ["audit", "compare", "demo", "evaluate", "strata", "train", "tune"])
def test_a_pattern_reaches_what_reads_the_names(refused, data: Path, tmp_path: Path, command: str, option: str) -> None:
    more = {"compare": ["--recipes", "scratch"], "demo": ["--data"]}.get(command, [])
    place = [] if command in ("audit", "evaluate") else ["--out", tmp_path / "out"]
    assert "(unclosed" in refused(command, *more, data, *place, option, "(unclosed")


@pytest.mark.parametrize("option", ["--patient-pattern", "--label-pattern"])
def test_a_pattern_reaches_the_data_that_models_are_measured_on(refused, data, model, tmp_path, option: str) -> None:
    out = ["--out", tmp_path / "out"]
    assert "(unclosed" in refused("compare", model, model, data, *out, option, "(unclosed")
    assert "(unclosed" in refused("robustness", model, data, option, "(unclosed")
    assert "(unclosed" in refused("evaluate", data, "--model", model, option, "(unclosed")
