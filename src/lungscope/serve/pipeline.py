"""Uploads of all requests through one model: queued, decoded and predicted in batches, stored, then answered."""

import hashlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from lungscope.bundle.card import Card
from lungscope.bundle.validation_summary import sketch
from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.inference.predictor import BATCH, Predictor
from lungscope.inference.result import ImageResult
from lungscope.serve.metrics import Metrics
from lungscope.serve.pictures import grey_png
from lungscope.serve.problems import NOT_READY, QUEUE_FULL, Problem
from lungscope.serve.settings import Settings
from lungscope.serve.store.records import Assessment, ImageFacts, Record
from lungscope.serve.store.store import Store, now_us
from lungscope.serve.upload import Upload
from lungscope.serve.upload_cache import UploadCache

LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, eq=False)
class Job:
    """One upload on its way; `answer` is set when its record is in the store."""

    upload: Upload
    asked_by: str
    operating_point: str | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    answer: "Future[Record]" = field(default_factory=Future)


class Pipeline:
    """As many workers as there are cores; each takes what waits, decodes, predicts and stores it as one batch.

    A batch forms by itself while the workers are busy, so a lone image never waits for company.
    """

    def __init__(
        self, predictor: Predictor, store: Store, upload_cache: UploadCache, settings: Settings, metrics: Metrics
    ) -> None:
        self.predictor, self.store, self.upload_cache = predictor, store, upload_cache
        self._settings, self._metrics = settings, metrics
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._open = 0
        self._closing = False
        self._seconds_each = 0.05
        self._workers = [
            threading.Thread(target=self._work, name=f"predict-{n}", daemon=True) for n in range(predictor.threads)
        ]
        for worker in self._workers:
            worker.start()

    def check_room(self, images: int = 1) -> None:
        """Refuse a request, before or after its body was read, that finds no room.

        Raises:
            Problem: the queue is full, or the service is closing.
        """
        with self._changed:
            self._check_room(images)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept all of a request's images or none.

        Raises:
            Problem: as `check_room`.
        """
        with self._changed:
            self._check_room(len(jobs))
            self._open += len(jobs)
            self._waiting.extend(jobs)
            self._metrics.queue.set(self._open)
            self._changed.notify(len(jobs))

    def close(self) -> None:
        """Finish all that was accepted, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _check_room(self, images: int) -> None:
        if self._closing:
            raise Problem(NOT_READY, "The service is stopping. Ask again in a moment.")
        if self._open + images > self._settings.limits.queue:
            self._metrics.refused.inc()
            wait = min(max(1.0, self._open * self._seconds_each), LONGEST_WAIT_S)
            raise Problem(QUEUE_FULL, "Too many images are waiting. Send again after Retry-After.", retry_after_s=wait)

    def _work(self) -> None:
        while jobs := self._take():
            started = time.monotonic()
            running = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            records, fault = list[Record](), None
            try:
                records = self._answer(running) if running else []
            except Exception as error:  # a worker outlives whatever happens to a batch
                fault = error
            # Room is made before the answers go out: whoever has one may ask again at once.
            self._done(len(jobs), time.monotonic() - started)
            for job in running if fault else ():
                job.answer.set_exception(fault)
            for job, record in zip(running, records, strict=False):
                job.answer.set_result(record)

    def _take(self) -> list[Job]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            # Shared among the workers, so that none idles while another has them all.
            n = min(BATCH, -(-len(self._waiting) // len(self._workers)))
            return [self._waiting.popleft() for _ in range(n)]

    def _done(self, n: int, seconds: float) -> None:
        with self._changed:
            self._open -= n
            self._seconds_each += 0.1 * (seconds / n / len(self._workers) - self._seconds_each)
            self._metrics.queue.set(self._open)

    def _answer(self, jobs: Sequence[Job]) -> list[Record]:
        images = [self._decode(job) for job in jobs]
        # Every core for a lone request; one each beside others, so that none waits for another.
        results = self._assess(jobs, images, cores=None if self._open == len(jobs) else 1)
        records = [self._record(*one) for one in zip(jobs, images, results, strict=True)]
        for job, record in zip(jobs, records, strict=True):
            self._remember(job, record)
        self.store.add(records)
        self._metrics.read(records)
        return records

    def _decode(self, job: Job) -> Radiograph | DataError:
        try:
            return read_radiograph(job.upload.content, size=self.predictor.card.size)
        except DataError as error:
            return error

    def _assess(
        self, jobs: Sequence[Job], images: Sequence[Radiograph | DataError], cores: int | None
    ) -> list[ImageResult]:
        """Results in order; jobs that ask for the same operating point are assessed together."""
        found = [ImageResult(error=str(image)) for image in images]
        for point in {job.operating_point for job in jobs}:
            group = {
                i: image
                for i, (job, image) in enumerate(zip(jobs, images, strict=True))
                if isinstance(image, Radiograph) and job.operating_point == point
            }
            results = self.predictor.assess(
                list(group.values()), operating_point=point, heatmaps=True, embeddings=True, cores=cores
            )
            for i, result in zip(group, results, strict=True):
                found[i] = result
        return found

    def _record(self, job: Job, image: Radiograph | DataError, result: ImageResult) -> Record:
        assessment = _assessment(result, self.predictor.card)
        heatmap, embedding = (result.abnormality_heatmap, result.embedding) if assessment else (None, None)
        return Record(
            id=job.id,
            created_us=now_us(),
            asked_by=job.asked_by,
            model_sha256=self.predictor.bundle.sha256,
            engine=str(self.predictor.engine),
            image=_facts(job, image),
            file=job.upload.name if self._settings.retention.names else None,
            reason=result.error or result.not_assessed,
            assessment=assessment,
            notes=result.notes,
            patient_hash=self.store.key.pseudonym(image.patient) if isinstance(image, Radiograph) else None,
            heatmap=None if heatmap is None else heatmap.astype(np.float16),
            sketch=None if embedding is None else sketch(embedding[None])[0],
        )

    def _remember(self, job: Job, record: Record) -> None:
        content = job.upload.content if record.readable else None
        self.upload_cache.remember(job.id, job.upload.name, content)
        if content and self._settings.retention.images:
            self.upload_cache.keep(job.id, grey_png(read_radiograph(content).pixels))


def _assessment(result: ImageResult, card: Card) -> Assessment | None:
    decision = result.decision
    if decision is None or result.not_assessed:
        return None
    return Assessment(
        finding=decision.finding,
        positive=decision.finding != card.classes[0] if card.has_reference else None,
        p_abnormal=decision.p_abnormal,
        probabilities=dict(zip(card.classes, result.probabilities, strict=True)),
        operating_point=decision.operating_point or None,
        threshold=decision.threshold,
    )


def _facts(job: Job, image: Radiograph | DataError) -> ImageFacts:
    if isinstance(image, Radiograph):
        return ImageFacts(image.sha256, image.file_bytes, image.width, image.height, image.bits, image.format)
    return ImageFacts(hashlib.sha256(job.upload.content).hexdigest(), len(job.upload.content))
