"""The routes that show, list, export, judge and remove what was predicted."""

import csv
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from lungscope.errors import DataError
from lungscope.serve.pdf import write_pdf
from lungscope.serve.pictures import heat_layer, radiograph
from lungscope.serve.pipeline import grey_png
from lungscope.serve.problems import NOT_FOUND, NOT_KEPT, Problem
from lungscope.serve.schemas import ID, FeedbackIn, Listing, Prediction, ProblemOut
from lungscope.serve.service import Service
from lungscope.serve.store.filters import Filters, PageQuery
from lungscope.serve.store.records import Record

Id = Annotated[
    str,
    Path(pattern="^[0-9a-f]{32}$", description="Of a prediction.", openapi_examples={"one": {"value": ID}}),
]
PDF_SIDE = 1600
PICTURES_AT_ONCE = 2
"""A picture may have `MAX_PIXELS`; memory stays bounded however many are asked for."""
COLUMNS = (
    "id", "created", "file", "status", "finding", "p_abnormal", "operating_point", "threshold", "reason",
    "notes", "feedback", "patient_hash", "asked_by", "model_sha256", "engine",
)  # fmt: skip


def _png(description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"image/png": {}}}, **_missing(404)}


def _missing(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"application/problem+json": {"schema": ProblemOut.model_json_schema()}}
    told = {400: "The body is no JSON.", 404: "There is none.", 410: "Its pixels are gone."}
    return {status: {"description": told[status], "content": schema} for status in statuses}


class LookRoutes:
    """Everything below /v1/predictions but the asking."""

    def __init__(self, service: Service) -> None:
        """Look into the store of `service`."""
        self._service = service
        self._opening = threading.Semaphore(PICTURES_AT_ONCE)
        self._drawing = threading.Lock()  # Matplotlib is not made for several threads

    def router(self) -> APIRouter:
        """The routes, documented."""
        router, one = APIRouter(tags=["predictions"]), "/v1/predictions/{id}"
        add, gone, none = router.add_api_route, _missing(404, 410), _missing(404)
        add("/v1/predictions", self.list, summary="List predictions", response_model=Listing)
        add("/v1/predictions.csv", self.export, summary="Predictions as CSV", response_class=Response,
            responses={200: {"description": "One row each.", "content": {"text/csv": {}}}})  # fmt: skip
        add(one, self.show, summary="One prediction", response_model=Prediction, responses=none)
        add(
            one,
            self.delete,
            methods=["DELETE"],
            status_code=204,
            summary="Remove a prediction",
            responses=none,
        )
        add(f"{one}/image.png", self.image, summary="The radiograph", response_class=Response,
            responses=_png("8-bit grey.") | gone)  # fmt: skip
        add(f"{one}/heatmap.png", self.heatmap, summary="The heat map as a layer", response_class=Response,
            responses=_png("RGBA of the radiograph's shape."))  # fmt: skip
        add(f"{one}/report.pdf", self.report, summary="One page for printing", response_class=Response,
            responses={200: {"description": "A4.", "content": {"application/pdf": {}}}, **none})  # fmt: skip
        add(f"{one}/feedback", self.judge, methods=["PUT"], summary="Agree or disagree with the finding",
            response_model=Prediction, responses=_missing(400, 404))  # fmt: skip
        add(f"{one}/feedback", self.unjudge, methods=["DELETE"], summary="Take feedback back",
            response_model=Prediction, responses=none)  # fmt: skip
        return router

    def list(self, query: Annotated[PageQuery, Query()]) -> Response:
        """A page of those that pass the filters, newest first."""
        page = self._service.store.page(query)
        shown = tuple(self._service.show(record) for record in page.records)
        return _json(Listing(predictions=shown, total=page.total, next=page.next))

    def export(self, request: Request, query: Annotated[Filters, Query()]) -> Response:
        """All that pass the filters, with one column per class of the model. Research use only."""
        self._service.store.note(request.state.who, "exported", "predictions.csv")
        return StreamingResponse(
            self._rows(query),
            media_type="text/csv; charset=utf-8",
            headers=_attached("lungscope-predictions.csv"),
        )

    def show(self, id: Id) -> Response:
        """As it was answered, with the feedback given since."""
        return _json(self._service.show(self._record(id)))

    def delete(self, id: Id, request: Request) -> Response:
        """Its pixels go too; the audit log keeps that it was there."""
        if not self._service.store.delete(id, request.state.who):
            raise _unknown()
        self._service.originals.forget(id)
        return Response(status_code=204)

    def image(self, id: Id, max_side: Annotated[int | None, Query(ge=64, le=8192)] = None) -> Response:
        """Only while its pixels are in memory, unless the service keeps images."""
        self._record(id)
        content = self._service.originals.content(id)
        if content is None:
            raise Problem(NOT_KEPT, "Its pixels were not kept. Send the file again to see it.")
        try:
            with self._opening:
                return Response(grey_png(radiograph(content, max_side)), media_type="image/png")
        except DataError:
            raise Problem(NOT_FOUND, "The file could not be read, so there is no picture.") from None

    def heatmap(self, id: Id) -> Response:
        """To be laid over the radiograph; colours tell where, not how strong."""
        record = self._record(id)
        if record.heatmap is None or not record.image.width or not record.image.height:
            raise Problem(NOT_FOUND, "The file was not assessed, so there is no heat map.")
        layer = heat_layer(record.heatmap, record.image.width, record.image.height)
        return Response(layer, media_type="image/png")

    def report(self, id: Id, request: Request) -> Response:
        """The decision, the operating point with its intervals, and the pictures while they are kept."""
        record = self._record(id)
        content = self._service.originals.content(id) if record.readable else None
        name = record.file or self._service.originals.name(id)
        with self._drawing:
            pixels = radiograph(content, PDF_SIDE) if content else None
            page = write_pdf(record, self._service.predictor.card, name, pixels)
        self._service.store.note(request.state.who, "exported", "report.pdf", id)
        return Response(page, media_type="application/pdf", headers=_attached(f"lungscope-{id[:8]}.pdf"))

    def judge(self, id: Id, given: FeedbackIn, request: Request) -> Response:
        """Replaces what was said before; the audit log keeps both."""
        return self._judged(self._service.store.give_feedback(id, given.verdict, request.state.who))

    def unjudge(self, id: Id, request: Request) -> Response:
        """The audit log keeps that it was given."""
        return self._judged(self._service.store.give_feedback(id, None, request.state.who))

    def _judged(self, record: Record | None) -> Response:
        if record is None:
            raise _unknown()
        return _json(self._service.show(record))

    def _record(self, id_: str) -> Record:
        record = self._service.store.get(id_)
        if record is None:
            raise _unknown()
        return record

    def _rows(self, filters: Filters) -> Iterator[str]:
        classes = self._service.predictor.card.classes
        line = StringIO()
        table = csv.writer(line, lineterminator="\n")
        table.writerow([*COLUMNS, *[f"p_{name}" for name in classes]])
        for record in self._service.store.walk(filters):
            shown = self._service.show(record)
            fields = shown.model_dump(mode="json")
            fields["notes"] = "; ".join(shown.notes)
            fields["feedback"] = shown.feedback.verdict if shown.feedback else None
            probabilities = shown.probabilities or {}
            table.writerow([*[_cell(fields[name]) for name in COLUMNS], *[probabilities.get(name) for name in classes]])
            if line.tell() > 65_536:
                yield line.getvalue()
                line.seek(0)
                line.truncate()
        yield line.getvalue()


def _cell(value: Any) -> Any:
    # A spreadsheet would run a name that begins like this as a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _json(found: Listing | Prediction) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _unknown() -> Problem:
    return Problem(NOT_FOUND, "There is no prediction of this id. It may have been removed.")
