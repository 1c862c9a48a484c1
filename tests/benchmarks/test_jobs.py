"""What is measured really does the work, and the scripts of others do the same work."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import plain_torch, predicting, training
from benchmarks.bench import check_sections, run_benchmark, write_dicom
from lungscope.bundle.bundle import load_bundle
from lungscope.data.images.radiograph import find_images, read_radiograph
from lungscope.errors import ConfigError
from lungscope.inference.predictor import Predictor


@pytest.fixture(scope="module")
def classes(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    for i, path in enumerate(pictures):
        place = folder / ("NORMAL", "PNEUMONIA")[i % 2] / f"person{i}.jpeg"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
    return folder


def given(folder: Path, **others: object) -> argparse.Namespace:
    return argparse.Namespace(
        **{
            "folder": folder, "job": "", "heatmaps": False, "graph": None, "seconds": 0.2, "backbone": "cnn-4-8",
            "weights": "none", "size": 32, "batch": 8, "epochs": 2, "device": "cpu", "frozen_batchnorm": False,
            **others,
        }
    )  # fmt: skip


@pytest.mark.parametrize("job", ["read", "decode", "runtime", "copy"])
def test_rates_of_our_side_count_images_in_the_time_asked_for(model: Path, classes: Path, job: str) -> None:
    predictor = Predictor(load_bundle(model))
    work = {"read": predicting.read, "decode": predicting.decode, "copy": predicting.copy}.get(job, predicting.runtime)
    done = work(predictor, given(classes, job=job))(0.2)
    assert done["images"] > 0
    assert 0.2 <= done["seconds"] < 5


@pytest.mark.parametrize("job", ["one", "runtime-one"])
def test_single_images_are_timed_one_by_one(model: Path, classes: Path, job: str) -> None:
    work = predicting.one if job == "one" else predicting.runtime
    times = work(Predictor(load_bundle(model)), given(classes, job=job, heatmaps=True))(0.1)["ms"]
    assert len(times) >= 1
    assert min(times) > 0


def test_bare_decoding_gives_nearly_our_pixels(classes: Path, model: Path) -> None:
    path = find_images(classes)[0]
    bare = np.asarray(predicting.bare(path, 32), dtype=float)
    ours = read_radiograph(path, size=32).pixels
    assert np.abs(bare - ours).mean() < 1


def test_dicom_copies_show_what_their_pictures_show(pictures: list[Path], tmp_path: Path, model: Path) -> None:
    write_dicom(pictures[:3], tmp_path)
    copies = sorted(find_images(tmp_path), key=lambda path: int(path.stem))
    for picture, copy in zip(pictures[:3], copies, strict=True):
        found = read_radiograph(copy)
        assert found.format == "DICOM"
        assert np.abs(found.pixels.astype(int) - read_radiograph(picture).pixels).max() <= 1
    done = predicting.decode(Predictor(load_bundle(model)), given(tmp_path, job="decode"))(0.1)
    assert done["images"] > 0


def test_the_models_to_predict_with_agree_with_and_without_heat_map(tmp_path: Path) -> None:
    training.write_bundle(given(tmp_path, out=tmp_path / "model"))
    predictor = Predictor(load_bundle(tmp_path / "model"))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    from lungscope.runtime.session import open_session

    bare = open_session((tmp_path / "model/without_heatmap.onnx").read_bytes(), predictor.engine, threads=1)
    (found,) = bare.run([pixels], ["probabilities"])
    np.testing.assert_allclose(found, predictor.predict(pixels).probabilities, atol=1e-6)


def test_frozen_training_counts_every_image_in_every_epoch(classes: Path) -> None:
    work = training.frozen(given(classes))
    assert work(0.1) == {}  # no warm-up
    done = work(0.2)
    assert done["images"] % 2 == 0
    assert 40 <= done["images"] <= 82  # 2 epochs of the training part of 41 pictures


@pytest.mark.parametrize("job", ["finetune", "synthetic", "features", "forward", "matmul"])
def test_rates_of_training_work_on_any_device(classes: Path, job: str) -> None:
    done = training.JOBS[job](given(classes))(0.2)
    assert done["images"] > 0
    assert done["seconds"] > 0


@pytest.mark.parametrize("job", ["train", "train-head", "predict", "one"])
def test_the_plain_script_does_its_jobs(classes: Path, job: str) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("mobilenetv2_035", num_classes=2)
    before = [parameter.clone() for parameter in network.parameters()]
    do = {"predict": plain_torch.predict, "one": plain_torch.one}.get(job, plain_torch.train)
    turns = do(network, given(classes, job=job, size=64, seconds=0.1))
    done = [next(turns), next(turns)][1]
    assert done.get("images", 1) > 0
    changed = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert sum(changed) == {"train": len(changed), "train-head": 2}.get(job, 0)


def test_an_unknown_section_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"--only speed: .* Choose from cold, latency, bulk"):
        check_sections(["bulk", "speed"])


def test_an_interpreter_without_the_library_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot import tensorflow.*pip install tensorflow"):
        run_benchmark(tmp_path, "none", keras_python="/nowhere/python", only=["cold"])
