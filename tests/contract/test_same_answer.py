"""The same image gives the same answer, to the bit, through every entry point: command line, service and Python."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

import lungscope as ls
from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Calibration, Card
from lungscope.cli.app import main
from lungscope.data.dataset import DataSource, load, load_for
from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.pack import pack
from lungscope.data.phantoms.phantom import draw_phantom
from lungscope.evaluation.measurements import EvaluationOptions
from lungscope.experiments.evaluate_run import evaluate_bundle
from lungscope.inference.overlay import overlay
from lungscope.inference.predictor import Predictor
from lungscope.inference.result import ImageResult
from lungscope.serve.app import create_app
from lungscope.serve.pictures import heat_layer
from lungscope.serve.service import open_service
from lungscope.serve.settings import Settings
from lungscope.training.labelled_images import LabelledImages

SIZE = 64
TWO, THREE = ("NORMAL", "PNEUMONIA"), ("NORMAL", "BACTERIAL", "VIRAL")
MODELS = {
    "two classes": (TWO, 0.5),
    "two classes without an operating point": (TWO, None),
    "three classes with a reference": (THREE, 0.6),
    "three classes without one": (("MASS", "NODULE", "EFFUSION"), None),
}
"""Classes and the threshold of the only operating point."""


@dataclass(frozen=True)
class Model:
    """A bundle with the 30 files, and what Python says of them one by one."""

    path: Path
    card: Card
    folder: Path
    results: dict[str, ImageResult]
    """By the name of the file."""

    @property
    def read(self) -> dict[str, ImageResult]:
        """Without the damaged file."""
        return {name: each for name, each in self.results.items() if not each.error}


def as_dicom(pixels: NDArray[np.uint8], target: Path, modality: str = "DX") -> Path:
    """Pixels (H, W) as an uncompressed DICOM object."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    header = FileDataset(str(target), {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    header.Modality, header.PhotometricInterpretation, header.SamplesPerPixel = modality, "MONOCHROME2", 1
    header.Rows, header.Columns = pixels.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    header.save_as(target, enforce_file_format=True)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty files: phantoms as PNG, JPEG and DICOM, three that are no radiograph, one that is damaged."""
    root, rng = tmp_path_factory.mktemp("thirty"), np.random.default_rng(0)
    for i in range(26):
        pixels = draw_phantom(rng, abnormal=bool(i % 2), size=120).pixels
        if i in (3, 20):
            as_dicom(pixels, root / f"{i:02}.dcm")
        else:
            Image.fromarray(pixels).save(root / f"{i:02}.{('png', 'jpeg')[i % 3 == 0]}")
    as_dicom(pixels, root / "26.dcm", modality="CT")
    Image.fromarray(np.full((90, 80), 70, np.uint8)).save(root / "27.png")  # blank
    Image.fromarray(np.stack([pixels, 255 - pixels, pixels // 2], -1)).save(root / "28.png")  # in colour
    (root / "29.jpeg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    return root


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Model:
    """An untrained network with an input check fitted on the phantoms."""
    import torch

    from lungscope.bundle.bundle import bundle_bytes
    from lungscope.bundle.input_check import CHECKS, calibrate_input_check
    from lungscope.config.settings import ImageSettings, InputCheckSettings, NetworkSettings
    from lungscope.networks.network import build_network
    from lungscope.networks.onnx_graph import build_graph, export_backbone
    from lungscope.runtime.engine import Engine
    from lungscope.runtime.session import open_session
    from lungscope.stats.estimate import Estimate
    from lungscope.stats.operating_points import OperatingPoint
    from lungscope.training.features import embedder
    from lungscope.training.input_check import fit_input_check

    classes, threshold = MODELS[request.param]
    torch.manual_seed(0)
    network = build_network(NetworkSettings(backbone="cnn-8-16-32"), ImageSettings(size=SIZE), len(classes))
    network.eval()
    backbone = export_backbone(network, SIZE)
    paths = sorted(folder.iterdir())[:26]
    pixels = np.stack([read_radiograph(path, size=SIZE).pixels for path in paths])
    images = LabelledImages(pixels, np.arange(26) % 2, np.arange(26))
    embed = embedder(network, backbone, torch.device("cpu"))
    check = fit_input_check(images, embed, InputCheckSettings(directions=8), 0)
    engine = Engine("onnxruntime", "fp32")
    plain = open_session(build_graph(network, backbone, Calibration(), check), engine, threads=1)
    logits, distances, checks = plain.run([pixels], ["logits", "distance", "checks"])
    scale = float(2 / logits.std(0).max())  # spreads the probabilities, so that findings differ
    calibration = Calibration("platt", scale, tuple(float(-scale * each) for each in logits.mean(0)))
    graph = build_graph(network, backbone, calibration, check)
    point = OperatingPoint("point", str(threshold), threshold or 0.0, Estimate(0.9), Estimate(0.9))
    card = Card(
        classes, SIZE, (point,) if threshold else (), calibration, 'name = "test"\n', "test", {}, {},
        input_check=calibrate_input_check(distances, checks, CHECKS, [""] * 26, 0.9),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(bundle_bytes(graph, card))
    predictor = Predictor(load_bundle(path))
    found = {each.name: next(predictor.assess_files([each], heatmaps=True)) for each in sorted(folder.iterdir())}
    return Model(path, predictor.card, folder, found)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["lungscope", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def bits(values: object) -> bytes:
    return np.asarray(values, np.float32).tobytes()


def rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def test_the_thirty_files_hold_every_kind_of_answer(model: Model) -> None:
    results = model.results.values()
    assert len(results) == 30
    assert [name for name, each in model.results.items() if each.error] == ["29.jpeg"]
    assert [model.results[name].not_assessed.split(":")[0] for name in ("26.dcm", "27.png", "28.png")] == [
        "not a radiograph", "blank", "a picture in colour",
    ]  # fmt: skip
    assert len({each.finding for each in results if each.finding}) > 1
    if model.card.classes == THREE or len(model.card.classes) == 2:
        assert model.card.has_reference
        assert all(each.p_abnormal is not None for each in model.read.values())
    else:
        assert {each.p_abnormal for each in results} == {None}


def test_python_says_of_all_at_once_what_it_says_of_each(model: Model) -> None:
    predictor = Predictor(load_bundle(model.path))
    names = list(model.read)
    images = [read_radiograph((model.folder / name).read_bytes(), size=SIZE) for name in names]
    for found in (
        predictor.assess(images, heatmaps=True),
        predictor.assess(images, heatmaps=True, cores=1),
        [each for each in predictor.assess_files(sorted(model.folder.iterdir()), heatmaps=True) if not each.error],
    ):
        for each, wanted in zip(found, model.read.values(), strict=True):
            assert (each.decision, each.not_assessed) == (wanted.decision, wanted.not_assessed)
            assert bits(each.probabilities) == bits(wanted.probabilities)
            assert (each.p_abnormal, each.distance) == (wanted.p_abnormal, wanted.distance)
            assert bits(each.abnormality_heatmap) == bits(wanted.abnormality_heatmap)


def test_the_python_interface_gives_it(model: Model) -> None:
    loaded = ls.load_model(model.path)
    table = loaded.predict_files(model.folder, heatmap=True)
    alone = [loaded.predict(model.folder / name, heatmap=True) for name in model.read]
    for each, wanted in (
        *zip(table, model.results.values(), strict=True),
        *zip(alone, model.read.values(), strict=True),
    ):
        assert (each.finding, each.not_assessed, each.error) == (wanted.finding, wanted.not_assessed, wanted.error)
        assert (each.p_abnormal, each.notes) == (wanted.p_abnormal, wanted.notes)
        assert bits(list(each.probabilities.values())) == bits(wanted.probabilities)
        if wanted.finding:
            assert bits(each.heatmap) == bits(wanted.abnormality_heatmap)


def test_predict_writes_it(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, lines, heat = tmp_path / "x.csv", tmp_path / "x.jsonl", tmp_path / "heat"
    command = ("predict", model.folder, "--model", model.path, "--out")
    assert run(monkeypatch, *command, table, "--heatmaps", heat) == 3
    assert run(monkeypatch, *command, lines) == 3
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    documents = [json.loads(line) for line in lines.read_text().splitlines()]
    for row, document, (name, wanted) in zip(rows, documents, model.results.items(), strict=True):
        assert Path(row["file"]).name == Path(document["file"]).name == name
        assert (row["finding"] or None, row["not_assessed"]) == (wanted.finding, wanted.not_assessed)
        assert (document["finding"], document["not_assessed"]) == (wanted.finding, wanted.not_assessed)
        assert document["p_abnormal"] == (None if wanted.p_abnormal is None else round(wanted.p_abnormal, 6))
        assert row["p_abnormal"] == ("" if wanted.p_abnormal is None else str(round(wanted.p_abnormal, 6)))
        decision = wanted.decision
        assert document["threshold"] == (decision.threshold if decision else None)
        assert document["operating_point"] == (decision.operating_point if decision else None)
        assert document["notes"] == row["notes"] == "; ".join(wanted.notes)
        assert document["error"] == row["error"] == wanted.error
        for k, p in enumerate(wanted.probabilities):
            assert document[f"p_{model.card.classes[k]}"] == float(row[f"p_{model.card.classes[k]}"]) == round(p, 6)
        assert (heat / f"{name}.png").exists() == (wanted.finding is not None)
        if wanted.finding is not None:
            drawn = overlay(read_radiograph(model.folder / name).pixels, wanted.abnormality_heatmap)
            with Image.open(heat / f"{name}.png") as picture:
                np.testing.assert_array_equal(np.asarray(picture), drawn)


def test_score_writes_it(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "score", model.folder, "--model", model.path, "--out", tmp_path / "out") == 3
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "parts").to_pylist()
    for row, (name, wanted) in zip(rows, model.results.items(), strict=True):
        assert (row["path"], row["finding"]) == (name, wanted.finding)
        assert row["not_assessed"] == (wanted.not_assessed or None)
        assert bool(row["error"]) == bool(wanted.error)
        assert row["p_abnormal"] == wanted.p_abnormal
        if not wanted.error:
            assert bits([row[f"p_{each}"] for each in model.card.classes]) == bits(wanted.probabilities)
            assert bits(row["distance"]) == bits(wanted.distance)
            assert (row["notes"] or "") == "; ".join(wanted.notes)


@pytest.fixture
def client(model: Model, tmp_path: Path) -> Iterator[TestClient]:
    service = open_service(Settings(tmp_path / "data"), Predictor(load_bundle(model.path)))
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client


def test_the_service_sends_it(model: Model, client: TestClient) -> None:
    files = [("files", (name, (model.folder / name).read_bytes())) for name in model.results]
    answered = client.post("/v1/predictions", files=files)
    assert answered.status_code == 201, answered.text
    for sent, (name, wanted) in zip(answered.json()["predictions"], model.results.items(), strict=True):
        assert (sent["file"], sent["finding"]) == (name, wanted.finding)
        assert sent["status"] == ("assessed" if wanted.finding else "not_assessed")
        if wanted.finding is None:
            assert wanted.error or sent["reason"] == wanted.not_assessed
            continue
        assert bits(list(sent["probabilities"].values())) == bits(wanted.probabilities)
        assert sent["p_abnormal"] == wanted.p_abnormal
        assert sent["notes"] == list(wanted.notes)
        image = read_radiograph(model.folder / name)
        # The service keeps heat maps in half precision.
        layer = heat_layer(wanted.abnormality_heatmap.astype(np.float16), image.width, image.height)
        assert client.get(sent["links"]["heatmap"]).content == layer


def test_evaluate_writes_it(model: Model, tmp_path: Path) -> None:
    lines = [f"{name},{model.card.classes[i % len(model.card.classes)]}" for i, name in enumerate(model.results)]
    table = model.folder.parent / f"{tmp_path.name}.csv"
    table.write_text("path,label\n" + "".join(f"{model.folder / line}\n" for line in lines))
    data = load_for(model.card, DataSource(table))
    done = evaluate_bundle(load_bundle(model.path), data, tmp_path / "out", EvaluationOptions("all", heat_checks=False))
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, (name, wanted) in zip(rows, model.read.items(), strict=True):
        assert Path(row["path"]).name == name
        assert (row["finding"], row["not_assessed"]) == (wanted.finding or "", wanted.not_assessed)
        assert row["p_abnormal"] == rounded(wanted.p_abnormal)
        for k, p in enumerate(wanted.probabilities):
            assert row[f"p_{model.card.classes[k]}"] == rounded(p)
    assert done.shown is not None
    assert done.shown.gallery
    for case in done.shown.gallery:
        wanted = model.results[case.name]
        assert bits(case.heatmap) == bits(wanted.abnormality_heatmap)
        assert case.probability == max(wanted.probabilities)


def test_training_evaluation_and_prediction_are_shown_the_same_tensor(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.iterdir())[:29]
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{path},{TWO[i % 2]}\n" for i, path in enumerate(paths)))
    data = load(DataSource(table), SIZE)
    rows = np.arange(len(paths))
    read = np.stack([read_radiograph(path, size=SIZE).pixels for path in paths])
    trained_on = LabelledImages(data.pixels, data.manifest.labels, rows).batch(slice(0, None))
    posted = np.stack([read_radiograph(path.read_bytes(), size=SIZE).pixels for path in paths])
    evaluated = np.stack([each.pixels for each in data.radiographs(rows)])
    for found in (data.pixels, pack(paths, SIZE).pixels, trained_on, posted, evaluated):
        np.testing.assert_array_equal(np.asarray(found), read)


def test_a_png_and_the_same_picture_as_dicom_are_one_tensor(tmp_path: Path) -> None:
    pixels = draw_phantom(np.random.default_rng(0), abnormal=True, size=120).pixels
    Image.fromarray(pixels).save(tmp_path / "x.png")
    wanted = read_radiograph(tmp_path / "x.png", size=SIZE).pixels
    dicom = read_radiograph(as_dicom(pixels, tmp_path / "x.dcm"), size=SIZE).pixels
    np.testing.assert_array_equal(dicom, wanted)
