"""The routes that tell of the model and of the service itself."""

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import text

from lungscope import __version__
from lungscope.bundle.validation_summary import BINS
from lungscope.data.images.grey import MAX_PIXELS
from lungscope.errors import OutputError
from lungscope.inference.result import RESEARCH_USE
from lungscope.serve.drift import Drift, DriftReference
from lungscope.serve.metrics import MEDIA_TYPE
from lungscope.serve.problems import NOT_READY, Problem
from lungscope.serve.service import Service
from lungscope.serve.store.database import reading

MODEL_EXAMPLE = {"sha256": "0f…", "classes": ["NORMAL", "PNEUMONIA"], "reference": "NORMAL", "input_size": 160}


def _example(description: str, example: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}


class SystemRoutes:
    """Model card, drift, health and figures."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._model = json.dumps(model_document(service)).encode()

    def router(self) -> APIRouter:
        """The routes, documented."""
        router = APIRouter(tags=["service"])
        add = router.add_api_route
        add("/v1/model", self.model, summary="What the model is", response_class=Response,
            responses=_example("Its card, operating points and curve.", MODEL_EXAMPLE))  # fmt: skip
        add("/v1/drift", self.drift, summary="Days beside validation")
        add("/metrics", self.metrics, summary="Figures for Prometheus", response_class=Response,
            responses={200: {"description": "Text.", "content": {"text/plain": {}}}})  # fmt: skip
        add("/healthz", self.health, summary="Whether the process lives",
            responses=_example("It does.", {"status": "ok"}))  # fmt: skip
        add("/readyz", self.ready, summary="Whether it can answer", response_class=Response,
            responses=_example("It can.", {"status": "ready"}) | {503: {"description": "It cannot."}})  # fmt: skip
        return router

    def model(self) -> Response:
        """Everything a reader of its answers must know, and the limits of this service."""
        return Response(self._model, media_type="application/json")

    def drift(self, days: Annotated[int, Query(ge=1, le=366)] = 30) -> Drift:
        """p_abnormal, files not assessed and embeddings by UTC day. Sums stay when predictions are removed."""
        card = self._service.predictor.card
        reference = None
        if card.validation:
            kept = card.validation.reference
            edges = tuple(edge / BINS for edge in range(BINS + 1))
            mean = kept.mean_score if card.has_reference else None
            reference = DriftReference(kept.n, edges, kept.shares, mean)
        return Drift(reference, tuple(self._service.days(days)))

    def metrics(self) -> Response:
        """Counts since the start, and today's drift."""
        newest = self._service.days(1)
        return Response(self._service.metrics.text(newest[0] if newest else None), media_type=MEDIA_TYPE)

    async def health(self) -> dict[str, str]:
        """Says nothing about the store or the model."""
        return {"status": "ok"}

    def ready(self) -> Response:
        """Workers run and the store answers."""
        self._service.pipeline.check_room(0)
        try:
            with reading(self._service.store.engine) as connection:
                connection.execute(text("SELECT 1"))
        except OutputError as error:
            raise Problem(NOT_READY, str(error)) from None
        return Response('{"status":"ready"}', media_type="application/json")


def model_document(service: Service) -> dict[str, Any]:
    """The card and the limits, as they are sent."""
    card, settings = service.predictor.card, service.settings
    validation = card.validation
    return {
        "sha256": service.predictor.bundle.sha256,
        "classes": card.classes,
        "reference": card.classes[0] if card.has_reference else None,
        "input_size": card.size,
        "engine": str(service.predictor.engine),
        "version": __version__,
        "recipe_name": card.recipe_name,
        "recipe": card.recipe,
        "operating_points": [asdict(point) for point in card.operating_points],
        "curve": asdict(validation.curve) if validation and validation.curve else None,
        "calibration": asdict(card.calibration),
        "data": card.data,
        "versions": card.versions,
        "parity": [asdict(record) for record in card.parity],
        "statement": asdict(card.statement) if card.statement else None,
        "drift_reference": validation is not None,
        "limits": {**asdict(settings.limits), "pixels": MAX_PIXELS},
        "keeps": asdict(settings.retention),
        "research_use": RESEARCH_USE,
    }
