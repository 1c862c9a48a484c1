from pathlib import Path

import pytest
from PIL import Image

from lungscope.bundle.bundle import load_bundle
from lungscope.inference.overlay_files import write_overlays
from lungscope.inference.predictor import Predictor
from lungscope.inference.sources import find_sources


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor(load_bundle(model))


def test_overlays_are_named_after_the_file_and_its_folder(predictor, pictures, tmp_path) -> None:
    for site in ("a", "b"):
        (tmp_path / "in" / site).mkdir(parents=True)
        (tmp_path / "in" / site / "x.jpeg").write_bytes(pictures[0].read_bytes())
    sources = find_sources([tmp_path / "in"])
    results = predictor.assess_files([source.path for source in sources], heatmaps=True)
    list(write_overlays(results, sources, tmp_path / "maps"))
    found = sorted(path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png"))
    assert found == ["a/x.jpeg.png", "b/x.jpeg.png"]
    with Image.open(tmp_path / "maps" / "a" / "x.jpeg.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (90, 70))


def test_an_image_that_vanishes_before_its_overlay_keeps_its_probabilities(predictor, pictures, tmp_path) -> None:
    path = tmp_path / "x.jpeg"
    path.write_bytes(pictures[0].read_bytes())
    sources = find_sources([path])
    results = list(predictor.assess_files([path], heatmaps=True))
    path.unlink()
    (result,) = write_overlays(results, sources, tmp_path / "maps")
    assert result.decision is not None
    assert result.notes[-1].startswith("no heat map: ")
