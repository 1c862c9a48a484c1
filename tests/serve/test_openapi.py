"""The OpenAPI document is true: whatever it allows or forbids, no answer is a fault of the service."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from starlette.testclient import TestClient

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.default_model import bundled_model
from lungscope.inference.predictor import Predictor
from lungscope.serve.schemas import EXAMPLE, Prediction
from lungscope.serve.settings import Address, Limits, Settings
from tests.serve.conftest import running


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("serve")
    address, limits = Address(allowed=frozenset({"testserver"})), Limits(2_000_000, files=8, queue=64)
    options = Settings(folder / "data", address, limits=limits)
    with running(options, predictor) as (client, _):
        yield schemathesis.openapi.from_asgi("/openapi.json", without_lifespan(client.app))


def without_lifespan(app: Any) -> Any:
    """Schemathesis would start and stop the service with every request."""

    async def passed(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    return passed


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_no_request_makes_the_service_fail(described: Any, mode: GenerationMode) -> None:
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not any(operation.iter_parameters()):
            continue
        tried += 1

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def keeps_its_word(case: Any) -> None:
            answer = case.call()
            case.validate_response(
                answer, checks=(not_a_server_error, content_type_conformance, status_code_conformance)
            )
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == ["application/problem+json"], answer.text

        keeps_its_word()
    assert tried >= (13 if mode is GenerationMode.POSITIVE else 9)


def test_every_operation_is_described_with_a_summary_and_an_example(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) >= {"/v1/predictions", "/v1/predictions/{id}", "/v1/model", "/metrics", "/healthz"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
    assert document["components"]["schemas"]["Prediction"]["example"]["status"] == "assessed"
    assert "multipart/form-data" in document["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]


def test_the_example_is_an_answer_that_the_bundled_model_could_give() -> None:
    example = Prediction.model_validate(EXAMPLE)
    card = load_bundle(bundled_model()).card
    assert example.operating_point in [point.name for point in card.operating_points]
    assert tuple(example.probabilities or ()) == card.classes
    assert example.p_abnormal is not None
    assert example.threshold is not None
    assert example.positive == (example.p_abnormal >= example.threshold)


def test_no_document_loads_anything_from_elsewhere(client: TestClient) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
