"""The bundled model: every command takes it when none is named, and a wheel brings it along."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungscope.bundle import default_model as bundled
from lungscope.bundle.bundle import load_bundle, replace_card
from lungscope.bundle.provenance import Statement, read_statement
from lungscope.cli.app import main
from lungscope.config.recipe import load_recipe
from lungscope.data.dataset import prepare
from lungscope.errors import BundleError
from lungscope.experiments.release import LARGEST, check_fit
from lungscope.inference.predictor import Predictor

ROOT = Path(__file__).parents[2]
REAL = bundled.folder()
real = pytest.mark.skipif(not (REAL / bundled.MODEL).is_file(), reason="no model is bundled yet")
NONE = "No model named and none is bundled. Pass "


@pytest.fixture(scope="module")
def small(checked_model: Path, tmp_path_factory) -> Path:
    """A folder like the package's, with a small model."""
    folder, bundle = tmp_path_factory.mktemp("bundled"), load_bundle(checked_model)
    said = Statement(trained_on="noise", licence="Free to take.", attribution="Nobody was asked.")
    (folder / bundled.MODEL).write_bytes(replace_card(bundle, replace(bundle.card, statement=said)))
    (folder / bundled.CARD).write_text("# Model card\n")
    return folder


@pytest.fixture
def packaged(small: Path, monkeypatch) -> Path:
    """The package's own folder when there is a model in it, else a small one in its place; it must stay as it is."""
    if not (REAL / bundled.MODEL).is_file():
        monkeypatch.setattr(bundled, "folder", lambda: small)
    return bundled.folder()


@pytest.fixture
def data(pictures: list[Path], tmp_path: Path) -> Path:
    for i, picture in enumerate(pictures):
        place = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[i % 2] / picture.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Exit status, output and messages of a command."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lungscope", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return run


def content(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_predict_says_which_model_it_is_beside_the_results(packaged, pictures, tmp_path, run) -> None:
    status, out, err = run("predict", pictures[0])
    assert status == 0
    assert re.match(r"Bundled model, trained on .+; research use only\.\n", err)
    assert "undled" not in out
    for name in ("rows.csv", "rows.jsonl"):
        assert run("predict", pictures[0], "--out", tmp_path / name)[0] == 0
        assert "undled" not in (tmp_path / name).read_text()


def test_a_named_model_is_used_and_nothing_is_said_of_the_bundled_one(packaged, model, pictures, run) -> None:
    status, out, err = run("predict", pictures[0], "--model", model)
    assert status == 0
    assert "undled" not in out + err


def test_evaluate_writes_only_where_it_is_told(packaged, data, tmp_path, run) -> None:
    before, bundle = content(packaged), load_bundle(packaged)
    status, out, err = run("evaluate", data, "--json", "--out", tmp_path / "out", "--no-heat-checks")
    assert status == 0
    assert json.loads(out)["model"]["sha256"] == bundle.sha256
    assert err.startswith("Bundled model")
    assert content(packaged) == before
    card = (tmp_path / "out" / "model_card.md").read_text()
    assert bundle.card.statement.attribution in card
    assert "does not know whether the model has seen them" in card


def test_score_and_export_take_it(packaged, data, tmp_path, run) -> None:
    pytest.importorskip("pyarrow")
    before, sha256 = content(packaged), load_bundle(packaged).sha256
    status, _, err = run("score", data, "--out", tmp_path / "scores")
    assert (status, err.startswith("Bundled model")) == (0, True)
    assert sha256 in (tmp_path / "scores" / "score.json").read_text()
    out = tmp_path / "exported.onnx"
    assert run("export", "--format", "onnx", "--out", out, "--data", data)[0] == 0
    card = load_bundle(out).card
    assert card.export.source_sha256 == sha256
    assert card.statement == load_bundle(packaged).card.statement  # attribution goes with every copy
    assert content(packaged) == before


def test_export_asks_for_images_that_a_package_does_not_hold(packaged, tmp_path, run) -> None:
    status, _, err = run("export", "--format", "onnx", "--out", tmp_path / "x.onnx")
    assert status == 2
    assert "Name labelled images: --data DATA" in err.splitlines()[-1]


def test_describe_without_a_name_tells_origin_and_card(packaged, run) -> None:
    status, out, _ = run("describe")
    said = load_bundle(packaged).card.statement
    assert status == 0
    for text in (load_bundle(packaged).sha256, f"trained on   {said.trained_on}", said.licence, said.attribution):
        assert text in out
    assert str(packaged / bundled.CARD) in out
    assert json.loads(run("describe", "--json")[1])["statement"]["trained_on"] == said.trained_on


def test_robustness_leaves_nothing_in_the_package_and_asks_for_data(packaged, data, run) -> None:
    before = content(packaged)
    status, out, _ = run("robustness", packaged / bundled.MODEL, data, "--json")
    assert status == 0
    assert json.loads(out)["split"] == "all"
    assert content(packaged) == before
    status, _, err = run("robustness", packaged / bundled.MODEL)
    assert status == 2
    assert "lungscope robustness RUN DATA" in err.splitlines()[-1]


def test_serve_takes_it(packaged, tmp_path, run, monkeypatch) -> None:
    server = pytest.importorskip("lungscope.serve.server")
    seen: list[Path] = []
    monkeypatch.setattr(server, "serve", lambda model, *_, **__: seen.append(model))
    status, _, err = run("serve", "--data", tmp_path)
    assert (status, seen) == (0, [packaged / bundled.MODEL])
    assert err.startswith("Bundled model")


def test_the_service_tells_what_was_said_of_the_model(packaged, tmp_path) -> None:
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from lungscope.serve.app import create_app
    from lungscope.serve.service import open_service
    from lungscope.serve.settings import Settings

    predictor = Predictor(load_bundle(bundled.bundled_model()), runtime="onnxruntime")
    app = create_app(open_service(Settings(tmp_path), predictor))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        found = client.get("/v1/model").json()
    assert found["sha256"] == predictor.bundle.sha256
    assert found["statement"]["attribution"] == predictor.card.statement.attribution


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        (["predict", "DATA"], "--model RUN"), (["evaluate", "DATA"], "--model RUN"),
        (["score", "DATA", "--out", "OUT"], "--model RUN"), (["serve", "--data", "OUT"], "--model RUN"),
        (["describe"], "RUN"), (["export", "--format", "onnx", "--out", "OUT"], "RUN"),
    ],
)  # fmt: skip
def test_an_installation_without_one_says_so(arguments, how, data, tmp_path, monkeypatch, run) -> None:
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path / "none")
    places = {"DATA": data, "OUT": tmp_path / "out"}
    status, out, err = run(*(places.get(word, word) for word in arguments))
    assert (status, out) == (2, "")
    assert err == f"lungscope: {NONE}{how}, or train one: lungscope train DATA.\n"


def test_no_model_is_an_error_of_the_bundle(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    with pytest.raises(BundleError, match=re.escape(f"{NONE}--model RUN, or train one: lungscope train DATA.")):
        bundled.bundled_model()


def test_a_bundled_file_that_was_damaged_is_refused(small, tmp_path, monkeypatch, pictures, run) -> None:
    (tmp_path / bundled.MODEL).write_bytes((small / bundled.MODEL).read_bytes()[:-200])
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    status, _, err = run("predict", pictures[0])
    assert status == 2
    assert "cut short" in err.splitlines()[-1]


def test_a_model_of_which_nothing_was_said_is_introduced_all_the_same(checked_model) -> None:
    assert bundled.introduction(load_bundle(checked_model).card) == "Bundled model; research use only."


def test_a_run_beside_the_package_is_not_the_bundled_one(packaged, checked_model) -> None:
    assert bundled.is_bundled(bundled.bundled_model())
    assert not bundled.is_bundled(checked_model)


# --- The wheel ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(small: Path, tmp_path_factory) -> Path:
    """The package as a wheel brings it, and nothing else of the repository."""
    pytest.importorskip("hatchling")
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    packaged = source / "src" / "lungscope" / "bundle" / "default"
    if not (packaged / bundled.MODEL).exists():
        shutil.copytree(small, packaged, dirs_exist_ok=True)
    (source / "src" / "lungscope" / "stray.onnx").touch()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    return site


def command(site: Path, *arguments: object) -> list[str]:
    """A command line of the package in `site`, whatever else is installed."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.dont_write_bytecode = True; import lungscope; "
        f"assert lungscope.__file__.startswith({str(site)!r}); from lungscope.cli.app import main; main()"
    )
    return [sys.executable, "-c", code, *map(str, arguments)]


def test_a_wheel_holds_the_model_its_card_and_its_statement_and_no_other(installed: Path) -> None:
    found = {path.name for path in (installed / "lungscope" / "bundle" / "default").iterdir()}
    assert found == {bundled.MODEL, bundled.CARD, "statement.toml"}
    assert [path.name for path in installed.rglob("*.onnx")] == [bundled.MODEL]


def test_an_installed_package_predicts_in_an_empty_folder(installed, pictures, tmp_path) -> None:
    before = content(installed)
    shutil.copy(pictures[0], tmp_path / "x.jpeg")
    done = subprocess.run(command(installed, "predict", "x.jpeg"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.startswith("Bundled model, trained on ")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jpeg"]
    assert content(installed) == before


def test_an_installed_package_serves(installed, tmp_path) -> None:
    pytest.importorskip("fastapi")
    arguments = command(installed, "serve", "--port", 0, "--data", tmp_path / "data")
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stderr.readline() for _ in range(2)]
            assert lines[0].startswith("Bundled model")
            url = re.search(r"http://\S+:\d+", lines[1])[0]
            with urllib.request.urlopen(f"{url}/v1/model", timeout=20) as answer:
                found = json.load(answer)
        finally:
            process.kill()
    assert found["sha256"] == load_bundle(installed / "lungscope" / "bundle" / "default").sha256


# --- The model itself -----------------------------------------------------------------------------------------


def test_the_package_holds_a_model_that_may_be_passed_on_and_its_card() -> None:
    assert (REAL / bundled.MODEL).is_file(), "src/lungscope/bundle/default/model.onnx is missing; see lungscope release"
    assert (REAL / bundled.MODEL).stat().st_size <= LARGEST
    bundle = load_bundle(REAL)  # checks the checksum
    check_fit(bundle, REAL)
    assert bundle.card.statement == read_statement(REAL / "statement.toml")
    card = (REAL / bundled.CARD).read_text(encoding="utf-8")
    for text in (bundle.sha256, "10.17632/rscbjbr9sj.2", "CC BY 4.0", "--recipes thorough", "Research use only"):
        assert text in card
    assert "A person must supply this" not in card
    assert not re.search(r"/(work|home|root|tmp|mnt)/", card + json.dumps(bundle.card.recipe))


def test_the_statement_in_the_package_is_whole() -> None:
    said = read_statement(REAL / "statement.toml")
    assert all(vars(said).values())
    assert "10.17632/rscbjbr9sj.2" in said.attribution


@real
def test_it_rejects_what_is_no_radiograph(tmp_path: Path) -> None:
    pictures = pytest.importorskip("skimage.data")
    from PIL import Image

    paths = [tmp_path / f"{name}.png" for name in ("astronaut", "camera", "text", "coins")]
    for path in paths:
        Image.fromarray(getattr(pictures, path.stem)()).save(path)
    found = list(Predictor(load_bundle(REAL)).assess_files(paths))
    assert all(result.not_assessed for result in found)


@real
def test_it_gives_a_heat_map(shared: Path) -> None:
    path = next((shared / "data" / "kermany_fullsize" / "PNEUMONIA").iterdir())
    (result,) = Predictor(load_bundle(REAL)).assess_files([path], heatmaps=True)
    assert result.heatmaps.shape[0] == 2
    assert np.isfinite(result.heatmaps).all()
    assert result.abnormality_heatmap.max() > 0


@real
@pytest.mark.slow
def test_it_tells_images_apart_that_it_has_not_seen(shared: Path, tmp_path: Path) -> None:
    """The split is drawn again from the recipe in the bundle; its fingerprint proves that it is the same one."""
    from sklearn.metrics import roc_auc_score

    bundle = load_bundle(REAL)
    (tmp_path / "recipe.toml").write_text(bundle.card.recipe)
    recipe = load_recipe(tmp_path / "recipe.toml")
    source = shared / "data" / "kermany224" / "train"
    # `compare` splits before a recipe sees the data, which then come as predefined.
    settings = recipe.data.model_copy(update={"split": "patients"})
    data = prepare(source, settings, bundle.card.size, recipe.seed, allow_leakage=True)
    if data.manifest.fingerprint() != bundle.card.data["fingerprint"]:
        pytest.skip("split otherwise than its recipe says; which images are held out is not known here")
    rows = data.rows("test") if len(data.rows("test")) else data.rows("validation")
    some = np.concatenate([rows[data.manifest.labels[rows] == k][:40] for k in (0, 1)])
    found = Predictor(bundle).predict(np.ascontiguousarray(data.pixels[some]), heatmaps=False)
    assert roc_auc_score(data.manifest.labels[some], found.probabilities[:, 1]) >= 0.95
