"""The command line as a user meets it: exit status, one line per error, nothing half written."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = [
    "--recipe", "scratch", "--weights", "none", "--set", "network.backbone=cnn-4-8", "--set", "image.size=32",
    "--set", "finetune.epochs=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Forty patients of two images; the diseased have a bright square."""
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(0)
    for patient in range(40):
        label = ("NORMAL", "PNEUMONIA")[patient % 2]
        for image in range(2):
            pixels = rng.normal(90, 20, (48, 48))
            pixels[10:24, 10:24] += 70 * (patient % 2)
            path = root / label / f"person{patient}_bacteria_{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def trained(run, folder: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert run("train", folder, "--out", out, *TINY) == 0
    return out


def test_a_run_folder_holds_everything(trained: Path) -> None:
    found = {path.name for path in trained.iterdir()}
    assert found >= {
        "model.onnx", "weights.safetensors", "recipe.toml", "manifest.csv", "history.csv", "evaluation.json",
        "predictions.csv", "report.html", "checkpoint",
    }  # fmt: skip
    document = json.loads((trained / "evaluation.json").read_text())
    wanted = {"n", "classes", "prevalence", "auroc", "accuracy", "brier", "ece", "operating_points"}
    assert wanted | {"confusion_matrix", "per_class", "model", "data"} <= set(document)
    assert set(document["auroc"]) >= {"value", "ci95"}


def test_the_same_seed_gives_the_same_evaluation_to_the_digit(run, folder: Path, trained: Path, tmp_path: Path) -> None:
    assert run("train", folder, "--out", tmp_path / "again", *TINY) == 0
    for name in ("evaluation.json", "model.onnx", "predictions.csv", "history.csv"):
        ours, again = (place / name for place in (trained, tmp_path / "again"))
        if name == "history.csv":  # its last column is the time
            strip = [[line.rpartition(",")[0] for line in path.read_text().splitlines()] for path in (ours, again)]
            assert strip[0] == strip[1]
        else:
            assert ours.read_bytes() == again.read_bytes(), name


def test_evaluate_finds_the_figures_of_training_again(run, trained: Path, tmp_path: Path, capsys) -> None:
    assert run("evaluate", trained / "manifest.csv", "--model", trained, "--out", tmp_path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((trained / "evaluation.json").read_text())
    assert (tmp_path / "report.html").read_text().startswith("<!")


def test_predict_prints_a_row_per_file(run, trained: Path, folder: Path, capsys) -> None:
    assert run("predict", folder, "--model", trained) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 81
    assert re.search(r"80 files: .*images/s, onnxruntime fp32\)\. Research use only", err)


def test_predict_says_what_it_does_not_assess_and_names_sets(run, checked_model, pictures, tmp_path, capsys) -> None:
    blank = tmp_path / "blank.png"
    Image.fromarray(np.full((90, 90), 70, np.uint8)).save(blank)
    assert run("predict", blank, pictures[0], "--model", checked_model, "--error-rate", "0.01") == 0
    out, err = capsys.readouterr()
    assert f"not assessed  {blank}: blank: the picture has hardly any contrast" in out
    assert "{NORMAL, PNEUMONIA}" in out
    assert "1 not assessed" in err
    assert run("describe", checked_model) == 0
    assert "assesses 95.0% of images like its 41 validation images" in capsys.readouterr().out


def test_a_model_without_a_gate_says_so_at_every_prediction(run, refused, model, pictures, capsys) -> None:
    assert run("predict", pictures[0], "--model", model) == 0
    assert "This model has no input check: whatever can be read is assessed" in capsys.readouterr().err
    assert "no thresholds for prediction sets" in refused(
        "predict", pictures[0], "--model", model, "--error-rate", "0.1"
    )


def test_a_recipe_can_leave_the_gate_out(run, folder: Path, tmp_path: Path, capsys) -> None:
    assert run("train", folder, "--out", tmp_path / "run", *TINY, "--set", "input_check.enabled=false") == 0
    document = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert document["input_check"] is None
    assert run("describe", tmp_path / "run") == 0
    assert "none: whatever can be read is assessed" in capsys.readouterr().out


def test_predict_goes_on_after_a_bad_file_and_exits_3(run, trained: Path, folder: Path, tmp_path: Path, capsys) -> None:
    good = next(folder.rglob("*.png"))
    (tmp_path / "a.png").write_bytes(good.read_bytes())
    (tmp_path / "b.png").write_bytes(good.read_bytes()[:100])
    (tmp_path / "c.jpeg").write_bytes(b"")
    out = tmp_path / "out" / "rows.jsonl"
    assert run("predict", tmp_path, "--model", trained, "--out", out, "--heatmaps", tmp_path / "out") == 3
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [bool(row["error"]) for row in rows] == [False, True, True]
    assert (tmp_path / "out" / "a.png.png").exists()
    assert "2 failed" in capsys.readouterr().err


def test_audit_strict_exits_2_on_leakage(run, refused, folder: Path, tmp_path: Path, capsys) -> None:
    for split in ("train", "val", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            (tmp_path / split / label).mkdir(parents=True)
            for path in sorted((folder / label).iterdir())[:4]:
                (tmp_path / split / label / path.name).write_bytes(path.read_bytes())
    assert run("audit", tmp_path) == 0
    assert run("audit", tmp_path, "--strict", "--out", tmp_path / "found") == 2
    assert "leakage" in capsys.readouterr().out
    assert json.loads((tmp_path / "found" / "audit.json").read_text())["leakage"] is True
    line = refused("train", tmp_path, "--out", tmp_path / "run", *TINY, "--set", "data.split=predefined")
    assert "--allow-leakage" in line
    assert not (tmp_path / "run" / "model.onnx").exists()


def test_a_finished_run_is_never_overwritten(refused, folder: Path, trained: Path) -> None:
    before = (trained / "model.onnx").read_bytes()
    assert "--force" in refused("train", folder, "--out", trained, *TINY)
    assert (trained / "model.onnx").read_bytes() == before


def test_force_empties_only_a_run_folder(refused, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("three years")
    assert "not a run folder" in refused("train", folder, "--out", tmp_path, "--force", *TINY)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "defualt"], "Did you mean 'default'"),
        (["--set", "head.epoch=3"], "Did you mean 'head.epochs'"),
        (["--set", "head.epochs"], "has no '='"),
        (["--set", "head.epochs=many"], "head.epochs = 'many'"),
        (["--weights", "gone.safetensors"], "not a readable safetensors file"),
        (["--device", "tpu"], "Choose auto, cpu or cuda"),
        (["--set", "network.backbone=resnet5"], "not a timm network. Similar: "),
        (["--set", "head.epochs=0"], "nothing would be learned"),
        (["--set", "operating_points.best=highest"], "highest"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(refused, folder, tmp_path, arguments, message) -> None:
    assert message in refused("train", folder, "--out", tmp_path / "run", "--weights", "none", *arguments)


def test_unwritable_output_is_refused(refused, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused("train", folder, "--out", tmp_path / "file" / "run", *TINY)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no image"),
        (["NORMAL/a.png", "NORMAL/b.png"], "only one class"),
        (["a.png", "b.png"], "one folder per class"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(refused, folder, tmp_path, names, message) -> None:
    good = next(folder.rglob("*.png"))
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_bytes(good.read_bytes())
    assert message in refused("train", tmp_path / "data", "--out", tmp_path / "run", *TINY)


def test_a_model_that_is_none_is_refused(refused, folder: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes((trained / "model.onnx").read_bytes()[:-100])
    assert "cut short" in refused("predict", folder, "--model", tmp_path / "cut.onnx")
    assert "no model can be read" in refused("describe", tmp_path / "gone")
    wrong = refused("predict", folder, "--model", trained, "--operating-point", "best")
    assert "It has: sensitivity-95" in wrong


def test_evaluate_refuses_classes_the_model_does_not_know(refused, trained, folder, tmp_path) -> None:
    good = next(folder.rglob("*.png"))
    for label in ("NORMAL", "COVID"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_bytes(good.read_bytes())
    assert "'COVID'" in refused("evaluate", tmp_path, "--model", trained)


def test_describe_and_recipes_tell_what_there_is(run, trained: Path, capsys) -> None:
    assert run("describe", trained) == 0
    assert run("describe", trained, "--json") == 0
    assert run("recipes") == 0
    out = capsys.readouterr().out
    for text in ("NORMAL, PNEUMONIA", "sensitivity-95", "sha256", "[finetune]", "scratch"):
        assert text in out


def test_every_command_has_help_with_an_example(run, capsys) -> None:
    assert run("--help") == 0
    commands = re.findall(r"^[│ ]+([a-z][a-z-]+) {2,}", capsys.readouterr().out, re.MULTILINE)
    assert {"train", "evaluate", "predict", "audit", "demo", "bench", "describe", "recipes"} <= set(commands)
    for command in commands:
        assert run(command, "--help") == 0
        assert "Example: lungscope" in capsys.readouterr().out


def test_a_killed_run_leaves_no_model_and_resumes(run, folder: Path, trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lungscope", "train", folder, "--out", tmp_path / "run", *TINY]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = tmp_path / "run" / "checkpoint" / "finetune.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "run" / "evaluation.json").exists()
    assert run("train", folder, "--out", tmp_path / "run", "--resume", *TINY) == 0
    wanted, found = (path / "model.onnx" for path in (trained, tmp_path / "run"))
    assert found.read_bytes() == wanted.read_bytes()


def test_predicting_imports_no_pytorch(trained: Path, folder: Path) -> None:
    code = (
        f"import sys; sys.argv = ['lungscope', 'predict', {str(next(folder.rglob('*.png')))!r}, '--model', "
        f"{str(trained)!r}]\nfrom lungscope.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = ('torch', 'scipy', 'sklearn', 'matplotlib', 'pydicom', 'pandas')\n"
        "print('', *[name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1].strip() == ""
