"""The service does not assess what the input check of the model rejects, says why, and still shows the picture."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lungscope.bundle.bundle import load_bundle
from lungscope.inference.predictor import Predictor
from lungscope.serve.settings import Retention, Settings
from tests.serve.conftest import running


@pytest.fixture
def client(checked_model: Path, tmp_path: Path) -> Iterator[TestClient]:
    predictor = Predictor(load_bundle(checked_model), runtime="onnxruntime")
    with running(Settings(tmp_path / "data", retention=Retention(images=True)), predictor) as (client, _):
        yield client


def png(pixels: np.ndarray) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_what_the_input_check_rejects_is_not_assessed_and_can_be_seen(client: TestClient, pictures) -> None:
    colours = np.indices((96, 96, 3)).sum(0).astype(np.uint8) * np.array([1, 2, 3], np.uint8)
    uploads = [
        ("files", ("chest.jpeg", pictures[0].read_bytes())),
        ("files", ("blank.png", png(np.full((96, 96), 80, np.uint8)))),
        ("files", ("holiday.png", png(colours))),
        ("files", ("torn.png", png(colours)[:60])),
    ]
    answer = client.post("/v1/predictions", files=uploads).json()
    assert (answer["assessed"], answer["not_assessed"]) == (1, 3)
    chest, blank, holiday, torn = answer["predictions"]
    assert chest["reason"] == ""
    assert "blank" in blank["reason"]
    assert holiday["reason"] == "a picture in colour"
    for each in (blank, holiday):
        assert each["status"] == "not_assessed"
        assert (each["finding"], each["p_abnormal"], each["probabilities"]) == (None, None, None)
        assert each["image"]["width"] == 96
        assert each["links"]["heatmap"] is None
        assert client.get(each["links"]["image"]).status_code == 200
    assert torn["links"]["image"] is None
    assert client.get(f"/v1/predictions/{blank['id']}/report.pdf").status_code == 200


def test_the_worklist_puts_what_was_rejected_first(client: TestClient, pictures) -> None:
    uploads = [("files", (path.name, path.read_bytes())) for path in pictures[:2]]
    client.post("/v1/predictions", files=[*uploads, ("files", ("b.png", png(np.zeros((90, 90), np.uint8))))])
    rows = client.get("/v1/predictions?order=-p_abnormal").json()["predictions"]
    assert [row["status"] for row in rows] == ["not_assessed", "assessed", "assessed"]
