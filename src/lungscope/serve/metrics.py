"""Figures of the running service for Prometheus; a registry of its own, no global one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lungscope.serve.drift import DaySummary
from lungscope.serve.store.records import Record

MEDIA_TYPE = CONTENT_TYPE_LATEST
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts since the start, and what the store says of today."""

    def __init__(self, model_sha256: str, engine: str) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self.requests = Counter("lungscope_requests", "Requests answered.", ["method", "route", "status"], registry=of)
        self.latency = Histogram(
            "lungscope_request_seconds", "Time from request to answer.", ["route"], buckets=LATENCIES, registry=of
        )
        self.images = Counter("lungscope_images", "Images answered.", ["outcome"], registry=of)
        self.p_abnormal = Histogram(
            "lungscope_p_abnormal", "p_abnormal of images.", buckets=[n / 10 for n in range(1, 11)], registry=of
        )
        self.batch = Histogram(
            "lungscope_batch_images", "Images run at once.", buckets=(1, 2, 4, 8, 16, 32), registry=of
        )
        self.queue = Gauge("lungscope_queue_images", "Images accepted and not yet answered.", registry=of)
        self.refused = Counter("lungscope_refused", "Requests refused because the queue was full.", registry=of)
        Gauge("lungscope_model", "The model served.", ["sha256", "engine"], registry=of).labels(
            model_sha256, engine
        ).set(1)
        self._today = {
            name: Gauge(f"lungscope_today_{name}", f"{text} Of the present UTC day, from the store.", registry=of)
            for name, text in (
                ("images", "Images."),
                ("not_assessed_share", "Share of images not assessed."),
                ("positive_share", "Share of assessed images called positive."),
                ("mean_p_abnormal", "Mean p_abnormal."),
                ("score_shift", "Population stability index of p_abnormal against validation."),
                ("embedding_shift", "Shift of the mean embedding against validation, in deviations."),
            )
        }

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(method, route, str(status)).inc()
        self.latency.labels(route).observe(seconds)

    def read(self, records: list[Record]) -> None:
        """Count the images of one batch."""
        self.batch.observe(len(records))
        for record in records:
            self.images.labels("assessed" if record.assessment else "not_assessed").inc()
            if record.assessment and record.assessment.p_abnormal is not None:
                self.p_abnormal.observe(record.assessment.p_abnormal)

    def text(self, today: DaySummary | None) -> bytes:
        """All of it; figures of today that are undefined are NaN."""
        for name, gauge in self._today.items():
            value = getattr(today, name) if today else (0 if name == "images" else None)
            gauge.set(float("nan") if value is None else value)
        return generate_latest(self.registry)
