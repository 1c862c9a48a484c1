"""The routes that list, show, export and remove predictions, and take feedback on them."""

import csv
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from lungscope.errors import DataError
from lungscope.serve.pdf import write_pdf
from lungscope.serve.pictures import grey_png, heat_layer, radiograph
from lungscope.serve.problems import NOT_FOUND, NOT_KEPT, Problem
from lungscope.serve.schemas import ID, FeedbackIn, Listing, Prediction, problem_responses
from lungscope.serve.service import Service
from lungscope.serve.store.filters import Filters, PageQuery
from lungscope.serve.store.records import Record, Verdict

Id = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", description="Of a prediction.", openapi_examples={"one": {"value": ID}})
]
PDF_SIDE = 1600
PICTURES_AT_ONCE = 2
"""A picture may have `MAX_PIXELS`; memory stays bounded however many are asked for."""
COLUMNS = (
    "id", "created", "file", "status", "finding", "p_abnormal", "operating_point", "threshold", "reason",
    "notes", "feedback", "patient_hash", "asked_by", "model_sha256", "engine",
)  # fmt: skip


def _file(kind: str, description: str, *missing: int) -> dict[str, Any]:
    found = {200: {"description": description, "content": {kind: {}}}}
    return {"response_class": Response, "responses": found | problem_responses(*missing)}


class ResultRoutes:
    """Everything below /v1/predictions but the asking."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._opening = threading.Semaphore(PICTURES_AT_ONCE)
        self._drawing = threading.Lock()  # Matplotlib is not made for several threads

    def router(self) -> APIRouter:
        """The routes, documented."""
        router, one = APIRouter(tags=["predictions"]), "/v1/predictions/{id}"
        add, none = router.add_api_route, problem_responses(404)
        add("/v1/predictions", self.list, summary="List predictions")
        add("/v1/predictions.csv", self.export, summary="Predictions as CSV", **_file("text/csv", "One row each."))
        add(one, self.show, summary="One prediction", responses=none)
        add(one, self.delete, methods=["DELETE"], status_code=204, summary="Remove a prediction", responses=none)
        add(f"{one}/image.png", self.image, summary="The radiograph", **_file("image/png", "8-bit grey.", 404, 410))
        add(f"{one}/heatmap.png", self.heatmap, summary="The heat map as a layer",
            **_file("image/png", "RGBA of the radiograph's shape.", 404))  # fmt: skip
        add(f"{one}/report.pdf", self.report, summary="One page for printing", **_file("application/pdf", "A4.", 404))
        add(f"{one}/feedback", self.give_feedback, methods=["PUT"], summary="Agree or disagree with the finding",
            responses=problem_responses(400, 404))  # fmt: skip
        add(f"{one}/feedback", self.remove_feedback, methods=["DELETE"], summary="Take feedback back", responses=none)
        return router

    def list(self, query: Annotated[PageQuery, Query()]) -> Listing:
        """A page of those that pass the filters, newest first."""
        page = self._service.store.page(query)
        shown = tuple(self._service.show(record) for record in page.records)
        return Listing(predictions=shown, total=page.total, next=page.next)

    def export(self, request: Request, query: Annotated[Filters, Query()]) -> Response:
        """All that pass the filters, with one column per class of the model. Research use only."""
        self._service.store.note(request.state.who, "exported", "predictions.csv")
        headers = _attached("lungscope-predictions.csv")
        return StreamingResponse(self._rows(query), media_type="text/csv; charset=utf-8", headers=headers)

    def show(self, id: Id) -> Prediction:
        """As it was answered, with the feedback given since."""
        return self._service.show(self._record(id))

    def delete(self, id: Id, request: Request) -> None:
        """Its pixels go too; the audit log keeps that it was there."""
        if not self._service.store.delete(id, request.state.who):
            raise _unknown()
        self._service.upload_cache.forget(id)

    def image(self, id: Id, max_side: Annotated[int | None, Query(ge=64, le=8192)] = None) -> Response:
        """Only while its pixels are in memory, unless the service keeps images."""
        self._record(id)
        content = self._service.upload_cache.content(id)
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
        content = self._service.upload_cache.content(id) if record.readable else None
        name = record.file or self._service.upload_cache.name(id)
        with self._drawing:
            pixels = radiograph(content, PDF_SIDE) if content else None
            page = write_pdf(record, self._service.predictor.card, name, pixels)
        self._service.store.note(request.state.who, "exported", "report.pdf", id)
        return Response(page, media_type="application/pdf", headers=_attached(f"lungscope-{id[:8]}.pdf"))

    def give_feedback(self, id: Id, given: FeedbackIn, request: Request) -> Prediction:
        """Replaces what was said before; the audit log keeps both."""
        return self._set_feedback(id, given.verdict, request)

    def remove_feedback(self, id: Id, request: Request) -> Prediction:
        """The audit log keeps that it was given."""
        return self._set_feedback(id, None, request)

    def _set_feedback(self, id_: str, verdict: Verdict | None, request: Request) -> Prediction:
        record = self._service.store.give_feedback(id_, verdict, request.state.who)
        if record is None:
            raise _unknown()
        return self._service.show(record)

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


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _unknown() -> Problem:
    return Problem(NOT_FOUND, "There is no prediction of this id. It may have been removed.")
