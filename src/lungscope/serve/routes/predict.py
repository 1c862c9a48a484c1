"""The route that predicts: a request's files in, its stored answers out."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from lungscope.errors import LungscopeError
from lungscope.serve.pipeline import Job
from lungscope.serve.problems import QUEUE_FULL, SLOW_UPLOAD, TIMEOUT, TOO_LARGE, UNKNOWN_POINT, Problem
from lungscope.serve.schemas import Answer, problem_responses
from lungscope.serve.service import Service
from lungscope.serve.store.records import Record
from lungscope.serve.upload import RAW_TYPES, Upload, read_uploads

BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "schema": {
        "type": "object",
        "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        "required": ["files"],
    }
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One or many images or DICOM files as parts of a form, or one as the whole body.",
        "content": {"multipart/form-data": FORM, **{kind: BINARY for kind in sorted(RAW_TYPES)}},
    }
}


class PredictRoutes:
    """POST /v1/predictions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open_bytes = 0  # changed by the event loop's thread only

    def router(self) -> APIRouter:
        """The route, documented."""
        router = APIRouter(tags=["predictions"])
        router.add_api_route(
            "/v1/predictions", self.predict, methods=["POST"], status_code=201, openapi_extra=BODY,
            responses=problem_responses(400, 408, 413, 415, 422, 429, 503, 504),
            summary="Assess one or many radiographs",
        )  # fmt: skip
        return router

    async def predict(
        self,
        request: Request,
        operating_point: Annotated[
            str | None,
            Query(
                max_length=200,
                description="Name of one of the model's, or a goal such as `sensitivity >= 0.98` or `0.37`. "
                "The model's first by default.",
            ),
        ] = None,
    ) -> Answer:
        """Every file gets an answer of its own; one that cannot be read is `not_assessed`, with the reason.

        An answer is in the store before it is sent.
        """
        deadline = asyncio.get_running_loop().time() + self._service.settings.limits.seconds
        self._check_point(operating_point)
        self._service.pipeline.check_room()
        with self._reserve(self._declared_bytes(request)):
            uploads = await self._receive(request, deadline)
            jobs = [Job(upload, request.state.who, operating_point) for upload in uploads]
            self._service.pipeline.submit(jobs)
            records = await self._answers(jobs, deadline)
        shown = tuple(self._service.show(record) for record in records)
        assessed = sum(one.status == "assessed" for one in shown)
        return Answer(predictions=shown, assessed=assessed, not_assessed=len(shown) - assessed)

    def _check_point(self, asked: str | None) -> None:
        if asked is not None:
            try:
                self._service.predictor.card.operating_point(asked)
            except LungscopeError as error:
                raise Problem(UNKNOWN_POINT, str(error)) from None

    def _declared_bytes(self, request: Request) -> int:
        most, declared = (self._service.settings.limits.request_bytes, request.headers.get("content-length", ""))
        if not declared.isdigit():
            return most
        if int(declared) > most:
            raise Problem(TOO_LARGE, f"A request may have {most:,} bytes. Send fewer or smaller files.")
        return int(declared)

    @contextmanager
    def _reserve(self, n: int) -> Iterator[None]:
        limits = self._service.settings.limits
        if self._open_bytes + n > max(limits.open_bytes, limits.request_bytes):
            raise Problem(QUEUE_FULL, "Too many uploads at once. Send again after Retry-After.", retry_after_s=1)
        self._open_bytes += n
        try:
            yield
        finally:
            self._open_bytes -= n

    async def _receive(self, request: Request, deadline: float) -> list[Upload]:
        headers, stream = request.headers, request.stream()
        kind, disposition = headers.get("content-type", ""), headers.get("content-disposition", "")
        try:
            async with asyncio.timeout_at(deadline):
                return await read_uploads(stream, kind, disposition, self._service.settings.limits)
        except TimeoutError:
            seconds = self._service.settings.limits.seconds
            raise Problem(SLOW_UPLOAD, f"The upload took longer than {seconds:g} s. Send less at once.") from None
        finally:
            await _close(stream)

    async def _answers(self, jobs: Sequence[Job], deadline: float) -> list[Record]:
        waiting = [asyncio.wrap_future(job.answer) for job in jobs]
        try:
            async with asyncio.timeout_at(deadline):
                found = await asyncio.gather(*waiting, return_exceptions=True)
        except TimeoutError:
            seconds = self._service.settings.limits.seconds
            raise Problem(TIMEOUT, f"There was no answer within {seconds:g} s. Send less at once.") from None
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return [one for one in found if isinstance(one, Record)]


async def _close(stream: AsyncIterator[bytes]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
