"""All parts of a running service, put together once and taken apart in order."""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from lungscope.inference.predictor import Predictor
from lungscope.serve.drift import DaySummary, summarise_day
from lungscope.serve.keys import open_key
from lungscope.serve.metrics import Metrics
from lungscope.serve.pipeline import Pipeline
from lungscope.serve.schemas import Prediction, prediction
from lungscope.serve.settings import Settings
from lungscope.serve.store.daily_counts import DAY_US, read_days
from lungscope.serve.store.records import Record
from lungscope.serve.store.store import Store, now_us
from lungscope.serve.upload_cache import UploadCache

SWEEP_BLOCK = 500


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    settings: Settings
    predictor: Predictor
    store: Store
    upload_cache: UploadCache
    metrics: Metrics
    pipeline: Pipeline

    def show(self, record: Record) -> Prediction:
        """A record as it is sent."""
        pixels = record.readable and self.upload_cache.holds(record.id)
        return prediction(record, name=self.upload_cache.name(record.id), pixels=pixels)

    def days(self, last: int) -> list[DaySummary]:
        """The last days of the present model, newest first, beside its validation.

        Raises:
            OutputError: the store does not answer.
        """
        validation = self.predictor.card.validation
        reference = validation.reference if validation else None
        binary = self.predictor.card.has_reference
        found = read_days(self.store.engine, self.predictor.bundle.sha256, now_us() // DAY_US - last + 1)
        return [summarise_day(day, reference, binary=binary) for day in found]

    def expire(self) -> None:
        """Remove what is older than the retention, and pictures whose record is gone.

        Raises:
            OutputError: the store does not answer.
        """
        if self.settings.retention.days is not None:
            for id_ in self.store.expire(now_us() - self.settings.retention.days * DAY_US):
                self.upload_cache.forget(id_)
        pictures = self.upload_cache.on_disk()
        while ids := list(islice(pictures, SWEEP_BLOCK)):
            for id_ in set(ids) - self.store.kept(ids):
                self.upload_cache.forget(id_)

    def close(self) -> None:
        """Finish what was accepted, then let go of everything."""
        self.pipeline.close()
        self.store.note("service", "stopped")
        self.store.close()


def open_service(settings: Settings, predictor: Predictor) -> Service:
    """Open the store, warm the model up and start the workers.

    Raises:
        LungscopeError: the data folder, the database or the model cannot be used.
    """
    key = open_key(settings.folder)
    store = Store(settings.database_url, key)
    upload_cache = UploadCache(
        settings.limits.cache_bytes, settings.folder / "images" if settings.retention.images else None
    )
    size, sha256 = predictor.card.size, predictor.bundle.sha256
    for images in (1, predictor.threads + 1):  # both sessions are loaded now, not at the first request
        predictor.predict(np.zeros((images, size, size), np.uint8))
    store.note("service", "started", f"model {sha256} on {predictor.engine}")
    metrics = Metrics(sha256, str(predictor.engine))
    pipeline = Pipeline(predictor, store, upload_cache, settings, metrics)
    return Service(settings, predictor, store, upload_cache, metrics, pipeline)
