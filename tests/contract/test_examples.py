"""What the examples promise can be done: each is run as its first lines say."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lungscope.config.recipe import dump_recipe, load_recipe
from lungscope.data.phantoms.phantom import write_phantoms
from tests.contract.test_same_answer import as_dicom

EXAMPLES = Path(__file__).parents[2] / "examples"
RESEARCH_USE = "Research use only. Not a medical device."


def run(name: str, *arguments: object) -> list[str]:
    """The lines that an example prints; the last one says that it is for research."""
    command = [sys.executable, EXAMPLES / name, *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == RESEARCH_USE
    return lines


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("examples") / "phantoms", patients=60, seed=0, size=64)


@pytest.mark.slow
def test_own_data(phantoms: Path, tmp_path: Path) -> None:
    small = ("network.backbone=cnn-4-8", "image.size=32", "head.augmented_views=2", "finetune.frozen_batchnorm=false")
    (tmp_path / "small.toml").write_text(dump_recipe(load_recipe("default", small)))
    lines = run("own_data.py", phantoms, tmp_path / "run", tmp_path / "small.toml", "none")
    assert lines[0].startswith("Dataset(")
    assert any(line.startswith("AUROC 0.") for line in lines)
    assert (tmp_path / "run" / "report.html").exists()


def test_a_model_of_scikit_learn(phantoms: Path, tmp_path: Path) -> None:
    lines = run("scikit_learn.py", phantoms, tmp_path / "report.html")
    assert "AUROC" in lines[0]
    assert "AUROC" in (tmp_path / "report.html").read_text()


def test_a_folder_of_dicom_files(checked_model: Path, pictures: list[Path], tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    for number, path in enumerate(pictures[:5]):
        with Image.open(path) as image:
            as_dicom(np.asarray(image), study / f"{number:04}", "CT" if number == 0 else "DX")
    (study / "0009").write_bytes(bytes(128) + b"DICM broken")
    run("dicom_folder.py", study, tmp_path / "worklist.csv", checked_model)
    with (tmp_path / "worklist.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assessed = [float(row["p_abnormal"]) for row in rows if row["finding"]]
    assert len(rows) == 6
    assert assessed == sorted(assessed, reverse=True)
    assert [bool(row["finding"]) for row in rows] == sorted((bool(row["finding"]) for row in rows), reverse=True)
    assert {Path(row["file"]).name for row in rows if not row["finding"]} >= {"0000", "0009"}
    assert all(row["why not"] for row in rows if not row["finding"])


def test_a_web_application(checked_model: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_MODEL", os.fspath(checked_model))
    monkeypatch.syspath_prepend(EXAMPLES)
    import fastapi_app

    with TestClient(fastapi_app.app) as client:
        answered = client.post("/p_abnormal", content=pictures[0].read_bytes())
        refused = client.post("/p_abnormal", content=b"no picture")
    wanted = fastapi_app.model.predict(pictures[0])
    assert answered.json()["p_abnormal"] == wanted.p_abnormal
    assert answered.json()["finding"] == wanted.finding
    assert refused.status_code == 422
    assert "the content is text" in refused.json()["detail"]


def test_the_graph_alone_gives_what_lungscope_gives(checked_model: Path, tmp_path: Path) -> None:
    import lungscope as ls

    pixels = np.random.default_rng(0).integers(0, 255, (300, 280), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    lines = run("onnxruntime_alone.py", checked_model, tmp_path / "x.png")
    model = ls.load_model(checked_model, runtime="onnxruntime", precision="fp32")
    wanted = model.predict(tmp_path / "x.png")
    assert lines[:2] == [f"p({name}) = {p:.4f}" for name, p in wanted.probabilities.items()]
    assert lines[2].startswith("flagged" if wanted.details.decision.finding == "PNEUMONIA" else "not flagged")


def test_it_needs_nothing_of_lungscope() -> None:
    assert "import lungscope" not in (EXAMPLES / "onnxruntime_alone.py").read_text()


@pytest.mark.slow
# Its kernel's channels are closed by the operating system.
@pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")
def test_the_notebook(tmp_path: Path) -> None:
    book = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells)
    nbclient.NotebookClient(book, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.get("data", {}).get("text/html", "") for cell in book.cells for output in cell.get("outputs", ())]
    assert sum("Research use only" in html for html in shown) >= 3
    assert any("data:image/png;base64," in html for html in shown)
    assert any("not assessed" in html for html in shown)
