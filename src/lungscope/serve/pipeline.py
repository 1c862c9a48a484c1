"""Uploads of all requests through one model: queued, decoded and predicted in batches, stored, then answered."""

import hashlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungscope.bundle.validation_summary import sketch
from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.inference.predictor import BATCH, Predictions, Predictor
from lungscope.serve.metrics import Metrics
from lungscope.serve.problems import NOT_READY, QUEUE_FULL, Problem
from lungscope.serve.settings import Settings
from lungscope.serve.store.records import Assessment, ImageFacts, Record
from lungscope.serve.store.store import Store, now_us
from lungscope.serve.upload import Upload
from lungscope.serve.upload_cache import Originals

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
        self, predictor: Predictor, store: Store, originals: Originals, settings: Settings, metrics: Metrics
    ) -> None:
        """Start the workers."""
        self.predictor, self.store, self.originals = predictor, store, originals
        self._settings, self._metrics = settings, metrics
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._open = 0
        self._closing = False
        self._seconds_each = 0.05
        self._workers = [
            threading.Thread(target=self._work, name=f"predict-{n}", daemon=True)
            for n in range(predictor.threads)
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
            raise Problem(
                QUEUE_FULL, "Too many images are waiting. Send again after Retry-After.", retry_after_s=wait
            )

    def _work(self) -> None:
        while jobs := self._take():
            started = time.monotonic()
            running = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            records, fault = self._try(running)
            # Room is made before the answers go out: whoever has one may ask again at once.
            self._done(len(jobs), time.monotonic() - started)
            for job in running if fault else ():
                job.answer.set_exception(fault)
            for job, record in zip(running, records, strict=False):
                job.answer.set_result(record)

    def _try(self, jobs: Sequence[Job]) -> tuple[Sequence[Record], Exception | None]:
        try:
            return (self._answer(jobs) if jobs else ()), None
        except Exception as error:  # a worker outlives whatever happens to a batch
            return (), error

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

    def _answer(self, jobs: Sequence[Job]) -> Sequence[Record]:
        images = [self._decode(job) for job in jobs]
        good = [image for image in images if isinstance(image, Radiograph)]
        # Every core for a lone request; one each beside others, so that none waits for another.
        cores = None if self._open == len(jobs) else 1
        records = []
        read = iter(self._read(jobs, images, good, cores))
        for job, image in zip(jobs, images, strict=True):
            records.append(next(read) if isinstance(image, Radiograph) else self._not_read(job, str(image)))
            self._remember(job, records[-1])
        self.store.add(records)
        self._metrics.read(records)
        return records

    def _read(
        self,
        jobs: Sequence[Job],
        images: Sequence[Radiograph | DataError],
        good: Sequence[Radiograph],
        cores: int | None,
    ) -> Iterator[Record]:
        if not good:
            return
        pixels = np.stack([image.pixels for image in good])
        found = self.predictor.predict(pixels, embeddings=True, cores=cores)
        reasons = self.predictor.judge(good, found)
        sketches = None if found.embeddings is None else sketch(found.embeddings)
        readable = [job for job, image in zip(jobs, images, strict=True) if isinstance(image, Radiograph)]
        for i, (job, image, reason) in enumerate(zip(readable, good, reasons, strict=True)):
            if reason:
                yield self._record(
                    job, _facts(image), reason=reason, notes=image.notes, patient_hash=self._hash(image)
                )
            else:
                yield self._assessed(job, image, found, i, None if sketches is None else sketches[i])

    def _hash(self, image: Radiograph) -> str | None:
        return self.store.key.pseudonym(image.patient)

    def _decode(self, job: Job) -> Radiograph | DataError:
        try:
            return read_radiograph(job.upload.content, size=self.predictor.card.size)
        except DataError as error:
            return error

    def _assessed(
        self, job: Job, image: Radiograph, found: Predictions, row: int, sketched: NDArray[np.float32] | None
    ) -> Record:
        probabilities, card = found.probabilities[row], self.predictor.card
        decision = self.predictor.decide(probabilities, job.operating_point)
        reference = bool(card.operating_points)
        named = {name: float(p) for name, p in zip(card.classes, probabilities, strict=True)}
        heat: NDArray[np.float32] | None = None
        if found.heatmaps is not None:
            maps = found.heatmaps[row]
            heat = maps[1:].max(0) if reference else maps[card.classes.index(decision.finding)]
        return self._record(
            job,
            _facts(image),
            assessment=Assessment(
                decision.finding,
                decision.finding != card.classes[0] if reference else None,
                decision.p_abnormal,
                named,
                decision.operating_point or None,
                decision.threshold,
            ),
            notes=image.notes,
            patient_hash=self._hash(image),
            heatmap=None if heat is None else heat.astype(np.float16),
            sketch=sketched,
        )

    def _not_read(self, job: Job, reason: str) -> Record:
        content = job.upload.content
        facts = ImageFacts(hashlib.sha256(content).hexdigest(), len(content))
        return self._record(job, facts, reason=reason)

    def _record(
        self,
        job: Job,
        image: ImageFacts,
        *,
        reason: str = "",
        assessment: Assessment | None = None,
        notes: tuple[str, ...] = (),
        patient_hash: str | None = None,
        heatmap: NDArray[np.float16] | None = None,
        sketch: NDArray[np.float32] | None = None,
    ) -> Record:
        return Record(
            id=job.id,
            created_us=now_us(),
            asked_by=job.asked_by,
            model_sha256=self.predictor.bundle.sha256,
            engine=str(self.predictor.engine),
            image=image,
            file=job.upload.name if self._settings.keep_names else None,
            reason=reason,
            assessment=assessment,
            notes=notes,
            patient_hash=patient_hash,
            heatmap=heatmap,
            sketch=sketch,
        )

    def _remember(self, job: Job, record: Record) -> None:
        content = job.upload.content if record.readable else None
        self.originals.remember(job.id, job.upload.name, content)
        if content and self._settings.keep_images:
            self.originals.keep(job.id, grey_png(read_radiograph(content).pixels))


def _facts(image: Radiograph) -> ImageFacts:
    return ImageFacts(image.sha256, image.file_bytes, image.width, image.height, image.bits, image.format)


def grey_png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) as a PNG without any metadata."""
    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG", compress_level=3)
    return png.getvalue()
