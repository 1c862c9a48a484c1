"""The same radiograph gives the same tensor and the same probability through every entry point."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.bundle.bundle import load_bundle
from lungscope.data.dataset import load
from lungscope.data.images.radiograph import read_radiograph
from lungscope.data.pack import pack
from lungscope.experiments.evaluate_run import evaluate_bundle
from lungscope.inference.predictor import Predictor
from lungscope.training.labelled_images import LabelledImages


@pytest.fixture
def folder(tmp_path: Path, pictures: list[Path], monkeypatch) -> Path:
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(tmp_path / "cache"))
    for i, path in enumerate(pictures):
        target = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[i % 2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path / "data"


def as_dicom(path: Path, target: Path) -> Path:
    """The picture of a lossless file as an uncompressed digital radiograph."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    header = FileDataset(str(target), {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    header.Modality, header.PhotometricInterpretation, header.SamplesPerPixel = "DX", "MONOCHROME2", 1
    header.Rows, header.Columns = pixels.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    header.save_as(target, enforce_file_format=True)
    return target


def test_training_evaluation_and_prediction_are_shown_the_same_tensor(folder: Path, model: Path) -> None:
    data = load(folder, 64)
    packed = pack(data.manifest.paths, 64)
    rows = np.arange(len(data.manifest))
    trained_on = LabelledImages(data.pixels, data.manifest.labels, rows).batch(slice(0, None))
    read = np.stack([read_radiograph(path, size=64).pixels for path in data.manifest.paths])
    posted = np.stack([read_radiograph(path.read_bytes(), size=64).pixels for path in data.manifest.paths])
    for door in (data.pixels, packed.pixels, trained_on, posted):
        np.testing.assert_array_equal(np.asarray(door), read)


def test_evaluation_and_prediction_give_the_same_probabilities(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(model)
    data = load(folder, bundle.card.size, classes=bundle.card.classes)
    evaluate_bundle(bundle, data, tmp_path / "out")
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]
    evaluated = [float(line.split(",")[-2]) for line in lines]
    readings = Predictor(bundle).assess_files(data.manifest.paths)
    np.testing.assert_allclose([reading.probabilities[1] for reading in readings], evaluated, atol=2e-6)


def test_a_png_and_the_same_picture_as_dicom_are_one_tensor(pictures: list[Path], tmp_path: Path) -> None:
    with Image.open(pictures[0]) as picture:
        picture.save(tmp_path / "x.png")
    dicom = as_dicom(tmp_path / "x.png", tmp_path / "x.dcm")
    wanted = read_radiograph(tmp_path / "x.png", size=64).pixels
    np.testing.assert_array_equal(read_radiograph(dicom, size=64).pixels, wanted)
