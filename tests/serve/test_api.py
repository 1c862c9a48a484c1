import base64
import csv
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lungscope.cli.app import app as cli
from lungscope.data.images.radiograph import read_radiograph
from lungscope.inference.predictor import Predictor
from lungscope.serve.settings import Address, Limits, Retention, Settings
from lungscope.serve.tokens import read_tokens
from tests.serve.conftest import running

SECRET = "correct-horse-battery"
JPEG = {"Content-Type": "image/jpeg"}


def parts(*paths: Path) -> list:
    return [("files", (path.name, path.read_bytes())) for path in paths]


def post(client: TestClient, *paths: Path, **options: object) -> dict:
    answer = client.post("/v1/predictions", files=parts(*paths), **options)  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.text
    return answer.json()


def dicom(path: Path, patient: str) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID)
    dataset.PatientID, dataset.PatientName, dataset.Modality = patient, "Geheim^Name", "DX"
    dataset.Rows = dataset.Columns = 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.random.default_rng(0).integers(0, 60000, (64, 64), np.uint16).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_an_answer_is_what_the_predictor_says(client: TestClient, predictor: Predictor, pictures: list[Path]) -> None:
    found = post(client, *pictures[:5])["predictions"]
    results = list(predictor.assess_files(pictures[:5]))
    for one, result in zip(found, results, strict=True):
        assert result.decision is not None
        assert one["p_abnormal"] == pytest.approx(result.decision.p_abnormal, abs=1e-5)
        assert (one["finding"], one["operating_point"]) == (result.decision.finding, "half")
    assert [one["file"] for one in found] == [path.name for path in pictures[:5]]


def test_a_raw_body_is_one_file_named_by_its_disposition(client: TestClient, pictures: list[Path]) -> None:
    headers = {**JPEG, "Content-Disposition": 'attachment; filename="../../etc/a b.jpeg"'}
    (one,) = client.post("/v1/predictions", content=pictures[0].read_bytes(), headers=headers).json()["predictions"]
    assert (one["file"], one["status"]) == ("a b.jpeg", "assessed")


def test_a_file_that_cannot_be_read_is_answered_with_its_reason(
    client: TestClient, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpeg"
    bad.write_bytes(pictures[0].read_bytes()[:300])
    answer = post(client, bad, pictures[1])
    assert (answer["assessed"], answer["not_assessed"]) == (1, 1)
    one = answer["predictions"][0]
    assert one["status"] == "not_assessed"
    assert "damaged" in one["reason"]
    assert one["links"]["heatmap"] is None
    assert client.get(one["links"]["self"] + "/heatmap.png").status_code == 404
    assert client.get(one["links"]["pdf"]).content.startswith(b"%PDF")


def test_another_operating_point_decides_otherwise(client: TestClient, pictures: list[Path]) -> None:
    (one,) = post(client, pictures[0], params={"operating_point": "strict"})["predictions"]
    assert (one["operating_point"], one["threshold"]) == ("strict", 0.999)
    answer = client.post("/v1/predictions?operating_point=nope", content=b"x", headers=JPEG)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:lungscope:problem:unknown-operating-point")
    assert "half, strict" in answer.json()["detail"]


@pytest.mark.parametrize("goal", ["0.37", "specificity >= 0.90", "youden"])
def test_a_goal_decides_as_on_the_command_line(
    client: TestClient, model: Path, pictures: list[Path], tmp_path: Path, goal: str
) -> None:
    out = tmp_path / "found.jsonl"
    options = ["--model", str(model), "--operating-point", goal, "--out", str(out)]
    done = CliRunner().invoke(cli, ["predict", str(pictures[0]), *options])
    assert done.exit_code == 0, done.output
    printed = json.loads(out.read_text())
    (one,) = post(client, pictures[0], params={"operating_point": goal})["predictions"]
    for name in ("finding", "operating_point", "threshold"):
        assert one[name] == printed[name]
    assert client.get(one["links"]["pdf"]).content.startswith(b"%PDF")


def test_the_radiograph_and_its_heat_map_have_the_same_shape(client: TestClient, pictures: list[Path]) -> None:
    (one,) = post(client, pictures[0])["predictions"]
    image = Image.open(io.BytesIO(client.get(one["links"]["image"]).content))
    layer = Image.open(io.BytesIO(client.get(one["links"]["heatmap"]).content))
    assert (image.mode, layer.mode, image.size, layer.size) == ("L", "RGBA", (90, 70), (90, 70))
    assert (np.asarray(image) == read_radiograph(pictures[0]).pixels).all()
    small = Image.open(io.BytesIO(client.get(one["links"]["image"] + "?max_side=64").content))
    assert small.size == (64, 50)


def test_the_list_is_filtered_sorted_and_paged(client: TestClient, pictures: list[Path]) -> None:
    for start in (0, 8):
        post(client, *pictures[start : start + 8])
    first = client.get("/v1/predictions", params={"order": "-p_abnormal", "limit": 10}).json()
    rest = client.get("/v1/predictions", params={"order": "-p_abnormal", "limit": 10, "cursor": first["next"]}).json()
    p_abnormal = [one["p_abnormal"] for one in first["predictions"] + rest["predictions"]]
    assert len(p_abnormal) == first["total"] == 16
    assert p_abnormal == sorted(p_abnormal, reverse=True)
    assert rest["next"] is None
    middle = p_abnormal[8]
    above = client.get("/v1/predictions", params={"min_p_abnormal": middle}).json()
    assert above["total"] == 9
    assert client.get("/v1/predictions?since=2999-01-01T00:00:00Z").json()["total"] == 0
    assert client.get("/v1/predictions?cursor=nonsense").status_code == 422
    assert client.get("/v1/predictions?limit=0").json()["errors"][0]["where"] == "query.limit"


def test_feedback_is_given_and_taken_back(client: TestClient, pictures: list[Path]) -> None:
    (one,) = post(client, pictures[0])["predictions"]
    place = one["links"]["self"] + "/feedback"
    said = client.put(place, json={"verdict": "disagree"}).json()
    assert said["feedback"]["verdict"] == "disagree"
    assert client.get("/v1/predictions?feedback=disagree").json()["total"] == 1
    assert client.delete(place).json()["feedback"] is None
    assert client.put(place, json={"verdict": "maybe"}).status_code == 422
    assert client.put(f"/v1/predictions/{'0' * 32}/feedback", json={"verdict": "agree"}).status_code == 404


def test_what_is_removed_is_gone_with_its_pixels(client: TestClient, pictures: list[Path]) -> None:
    (one,) = post(client, pictures[0])["predictions"]
    here = one["links"]["self"]
    assert client.delete(here).status_code == 204
    for place in (here, one["links"]["image"], one["links"]["heatmap"], one["links"]["pdf"]):
        assert client.get(place).status_code == 404
    assert client.delete(here).json()["type"] == "urn:lungscope:problem:not-found"


def test_csv_has_a_row_for_every_prediction_and_no_formula(client: TestClient, pictures: list[Path]) -> None:
    headers = {**JPEG, "Content-Disposition": 'attachment; filename="=cmd().jpeg"'}
    client.post("/v1/predictions", content=pictures[0].read_bytes(), headers=headers)
    client.post("/v1/predictions", content=b"nothing", headers=JPEG)
    rows = list(csv.DictReader(io.StringIO(client.get("/v1/predictions.csv?order=created").text)))
    assert [row["status"] for row in rows] == ["assessed", "not_assessed"]
    assert rows[0]["file"] == "'=cmd().jpeg"
    assert float(rows[0]["p_NORMAL"]) + float(rows[0]["p_PNEUMONIA"]) == pytest.approx(1, abs=1e-6)
    assert client.get("/v1/predictions.csv?status=not_assessed").text.count("\n") == 2


def test_the_pdf_is_one_page_that_says_research_use_only(client: TestClient, pictures: list[Path]) -> None:
    (one,) = post(client, pictures[0])["predictions"]
    answer = client.get(one["links"]["pdf"])
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.count(b"/Type /Page\n") + answer.content.count(b"/Type /Page ") == 1
    assert "attachment" in answer.headers["content-disposition"]


def test_the_model_tells_its_card_curve_and_limits(client: TestClient, predictor: Predictor) -> None:
    model = client.get("/v1/model").json()
    assert model["sha256"] == predictor.bundle.sha256
    assert [point["name"] for point in model["operating_points"]] == ["half", "strict"]
    curve = model["curve"]
    assert len(curve["thresholds"]) == len(curve["sensitivity"]) == len(curve["specificity"])
    assert model["limits"]["files"] == 8
    assert "Research use only" in model["research_use"]


def test_a_model_that_kept_no_validation_is_served_without_curve_and_drift(
    settings: Settings, predictor: Predictor, pictures: list[Path]
) -> None:
    bundle = replace(predictor.bundle, card=replace(predictor.card, validation=None))
    with running(settings, Predictor(bundle, runtime="onnxruntime")) as (client, _):
        assert client.get("/v1/model").json()["curve"] is None
        post(client, pictures[0])
        drift = client.get("/v1/drift").json()
        assert drift["reference"] is None
        assert drift["days"][0]["score_shift"] is None


def test_drift_and_metrics_tell_of_today(client: TestClient, pictures: list[Path]) -> None:
    post(client, *pictures[:7])
    client.post("/v1/predictions", content=b"nothing", headers=JPEG)
    (day,) = client.get("/v1/drift").json()["days"]
    assert (day["images"], day["assessed"], day["not_assessed"], day["not_assessed_share"]) == (8, 7, 1, 0.125)
    assert sum(day["shares"]) == pytest.approx(1)
    assert day["score_shift"] > 0
    text = client.get("/metrics").text
    assert 'lungscope_images_total{outcome="assessed"} 7.0' in text
    assert "lungscope_today_not_assessed_share 0.125" in text
    assert 'lungscope_requests_total{method="POST",route="/v1/predictions",status="201"} 2.0' in text


def test_patients_are_kept_only_as_a_keyed_hash(settings: Settings, predictor: Predictor, tmp_path: Path) -> None:
    file = dicom(tmp_path / "GEHEIM-4711.dcm", "GEHEIM-4711")
    with running(settings, predictor) as (client, _):
        one, again = post(client, file, file)["predictions"]
        client.get(one["links"]["pdf"])
        assert one["file"] == "GEHEIM-4711.dcm"
    assert one["patient_hash"] == again["patient_hash"]
    assert len(one["patient_hash"]) == 64
    for path in settings.folder.rglob("*"):
        assert b"GEHEIM" not in path.read_bytes().upper(), path
    with running(settings, predictor) as (client, _):
        later = client.get(one["links"]["self"]).json()
        assert (later["file"], later["links"]["image"]) == (None, None)
        assert client.get(one["links"]["self"] + "/image.png").status_code == 410
        assert client.get(one["links"]["heatmap"]).status_code == 200


def test_kept_images_outlive_a_restart_without_metadata_and_expire(
    settings: Settings, predictor: Predictor, tmp_path: Path
) -> None:
    keeping = replace(settings, retention=Retention(images=True, names=True, days=1))
    file = dicom(tmp_path / "a.dcm", "GEHEIM-4711")
    with running(keeping, predictor) as (client, _):
        (one,) = post(client, file)["predictions"]
    (picture,) = (keeping.folder / "images").rglob("*.png")
    assert b"GEHEIM" not in picture.read_bytes()
    with running(keeping, predictor) as (client, service):
        image = Image.open(io.BytesIO(client.get(one["links"]["image"]).content))
        assert (np.asarray(image) == read_radiograph(file).pixels).all()
        assert client.get(one["links"]["self"]).json()["file"] == "a.dcm"
        for id_ in service.store.expire(2**60):
            service.upload_cache.forget(id_)
        assert not picture.exists()


@pytest.fixture
def guarded(settings: Settings, predictor: Predictor) -> Iterator[TestClient]:
    tokens = read_tokens({"LUNGSCOPE_TOKEN": SECRET}, None)
    with running(replace(settings, tokens=tokens), predictor) as (client, _):
        yield client


def test_without_a_token_every_route_but_health_is_401(guarded: TestClient) -> None:
    routes = guarded.app.app.routes  # type: ignore[attr-defined]
    paths = {path for route in routes for path in paths_of(route)}
    assert {"/", "/v1/predictions", "/v1/predictions/{id}", "/v1/model", "/metrics", "/web", "/openapi.json"} <= paths
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = guarded.request(method, path.replace("{id}", "0" * 32))
            expected = {"GET": 200}.get(method, 405) if path in ("/healthz", "/readyz") else 401
            assert answer.status_code == expected, (method, path)
    assert "Bearer" in guarded.get("/v1/model").headers["www-authenticate"]


def paths_of(route: object) -> set[str]:
    path = getattr(route, "path", None)
    below = getattr(getattr(route, "original_router", None), "routes", [])
    return ({path} if path else set()) | {deep for one in below for deep in paths_of(one)}


@pytest.mark.parametrize(
    "header", ["Bearer wrong-horse-battery", "Bearer", "Basic !!", "Bearer " + SECRET[:-1], "Bearer ä"]
)
def test_a_wrong_token_is_401(guarded: TestClient, header: str) -> None:
    answer = guarded.get("/v1/model", headers=[(b"authorization", header.encode("latin-1"))])
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_is_taken_as_bearer_and_as_password(guarded: TestClient, pictures: list[Path]) -> None:
    basic = base64.b64encode(f"anybody:{SECRET}".encode()).decode()
    for header in (f"Bearer {SECRET}", f"Basic {basic}"):
        (one,) = post(guarded, pictures[0], headers={"Authorization": header})["predictions"]
        assert one["asked_by"] == "token"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://["}],
)
def test_other_sites_may_not_post(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/v1/predictions", content=b"x", headers={**JPEG, **headers})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:lungscope:problem:foreign-origin")
    own = client.post("/v1/predictions", content=b"x", headers={**JPEG, "Origin": "http://127.0.0.1"})
    assert own.status_code == 201


def test_other_host_names_are_refused_on_loopback(settings: Settings, predictor: Predictor) -> None:
    at = replace(settings, address=Address(allowed=frozenset({"xray.example"})))
    with running(at, predictor) as (client, _):
        for host, status in (
            ("127.0.0.1:8000", 200),
            ("[::1]:8000", 200),
            ("Xray.example", 200),
            ("evil.example", 421),
        ):
            assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/healthz", "/v1/model", "/nothing", "/v1/predictions?limit=x"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_limits_are_told_as_problems(client: TestClient, pictures: list[Path]) -> None:
    many = [("files", ("a.jpeg", b"x"))] * 9
    cases = [
        (client.post("/v1/predictions", files=many), 413, "too-many-files"),
        (client.post("/v1/predictions", content=b"x" * 2_000_001, headers=JPEG), 413, "too-large"),
        (client.post("/v1/predictions", content=iter([b"x" * 10**6] * 3), headers=JPEG), 413, "too-large"),
        (client.post("/v1/predictions", json={}), 415, "unsupported-media-type"),
        (client.post("/v1/predictions", data={"a": "b"}, files={}), 415, "unsupported-media-type"),
        (client.post("/v1/nothing"), 404, "not-found"),
        (client.patch("/v1/predictions"), 405, "method-not-allowed"),
    ]
    for answer, status, kind in cases:
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:lungscope:problem:{kind}")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_full_queue_is_429_with_retry_after(
    settings: Settings, predictor: Predictor, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(settings, limits=replace(settings.limits, files=4, queue=4))
    released, inside, real = threading.Event(), threading.Event(), read_radiograph

    def held(*arguments: object, **options: object) -> object:
        inside.set()
        released.wait(20)
        return real(*arguments, **options)  # type: ignore[arg-type]

    with running(small, predictor) as (client, _):
        monkeypatch.setattr("lungscope.serve.pipeline.read_radiograph", held)
        answers: list[dict] = []
        first = threading.Thread(target=lambda: answers.append(post(client, *pictures[:3])))
        first.start()
        assert inside.wait(20)
        refused = client.post("/v1/predictions", files=parts(*pictures[:2]))
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:lungscope:problem:queue-full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        released.set()
        first.join()
        assert answers[0]["assessed"] == 3
        assert post(client, *pictures[:4])["assessed"] == 4
        assert "lungscope_refused_total 1.0" in client.get("/metrics").text


def test_an_answer_that_takes_too_long_is_504(
    settings: Settings, predictor: Predictor, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    released, real = threading.Event(), read_radiograph

    def held(*arguments: object, **options: object) -> object:
        released.wait(20)
        return real(*arguments, **options)  # type: ignore[arg-type]

    with running(replace(settings, limits=replace(settings.limits, seconds=0.3)), predictor) as (client, _):
        monkeypatch.setattr("lungscope.serve.pipeline.read_radiograph", held)
        answer = client.post("/v1/predictions", content=pictures[0].read_bytes(), headers=JPEG)
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:lungscope:problem:timeout")
        released.set()


def test_closing_finishes_what_was_accepted(settings: Settings, predictor: Predictor, pictures: list[Path]) -> None:
    from lungscope.serve.pipeline import Job
    from lungscope.serve.problems import Problem
    from lungscope.serve.service import open_service
    from lungscope.serve.upload import Upload

    service = open_service(replace(settings, limits=Limits(files=8, queue=100)), predictor)
    jobs = [Job(Upload(None, path.read_bytes()), "local", None) for path in pictures]
    service.pipeline.submit(jobs)
    service.pipeline.close()
    assert all(service.store.get(job.answer.result(0).id) for job in jobs)
    with pytest.raises(Problem, match="stopping"):
        service.pipeline.submit(jobs[:1])
    service.store.close()


def test_a_store_that_fails_is_503_and_nothing_is_answered(
    settings: Settings, predictor: Predictor, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lungscope.errors import OutputError

    with running(settings, predictor) as (client, service):

        def full(*_: object) -> None:
            raise OutputError("The store cannot be reached or written (disk full).")

        monkeypatch.setattr(service.store, "add", full)
        answer = client.post("/v1/predictions", content=pictures[0].read_bytes(), headers=JPEG)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:lungscope:problem:store-unavailable")
        assert answer.headers["retry-after"] == "5"


def test_a_fault_is_a_problem_without_its_message(
    settings: Settings, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(settings, predictor) as (client, service):

        def broken(_: str) -> None:
            raise ValueError("GEHEIM"[::-1])  # the line itself is in the log

        monkeypatch.setattr(service.store, "get", broken)
        answer = client.get(f"/v1/predictions/{'0' * 32}")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:lungscope:problem:internal")
    assert "frame-ancestors" in answer.headers["content-security-policy"]
    assert "ValueError" in caplog.text
    assert "MIEHEG" not in answer.text + caplog.text


def test_nothing_is_sent_anywhere_whatever_the_environment_asks(
    settings: Settings, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    # FastAPI would refuse to start with this, if it looked.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector.example")
    with running(settings, predictor) as (client, _):
        assert client.get("/readyz").status_code == 200
