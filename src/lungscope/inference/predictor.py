"""The entry point to a model: radiographs in, calibrated predictions out. Every other entry point goes through it."""

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.bundle.bundle import Bundle, Card
from lungscope.bundle.export_record import export_engine
from lungscope.bundle.input_check import INPUT_CHECK_OUTPUTS, look
from lungscope.data.images.radiograph import Radiograph, read_radiograph
from lungscope.errors import DataError
from lungscope.runtime.engine import Engine, Session, choose_engine, open_session, usable_cores

BATCH = 16


@dataclass(frozen=True)
class Predictions:
    """What the graph says of N images, rows in the order asked for."""

    probabilities: NDArray[np.float32]
    """(N, K), calibrated; rows sum to 1."""
    logits: NDArray[np.float32]
    """(N, K), before calibration."""
    heatmaps: NDArray[np.float32] | None = None
    """(N, K, h, w), Grad-CAM, at least 0."""
    embeddings: NDArray[np.float32] | None = None
    """(N, D), pooled features."""
    distances: NDArray[np.float32] | None = None
    """(N,), squared Mahalanobis distance per dimension from the training images; None without an input check."""
    checks: NDArray[np.float32] | None = None
    """(N, C), probabilities of how the image lies, named in the card's input check."""


@dataclass(frozen=True)
class Decision:
    """Probabilities held against an operating point."""

    finding: str
    p_abnormal: float
    """Probability that the image is not of the reference class, or of the likeliest class without one."""
    operating_point: str = ""
    threshold: float | None = None


@dataclass(frozen=True)
class ImageResult:
    """One file: its decision, or the reason why there is none.

    What is not assessed keeps its decision for programs, which must look at `not_assessed` first.
    """

    source: Path
    probabilities: tuple[float, ...] = ()
    decision: Decision | None = None
    notes: tuple[str, ...] = ()
    """What was done to the image before the model saw it."""
    error: str = ""
    not_assessed: str = ""
    """Why the input check declines the image, in plain words; empty when it does not."""
    distance: float | None = None
    prediction_set: tuple[str, ...] | None = None
    """Classes that cannot be ruled out at the error rate asked for; None when none was."""
    heatmap: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """(K, h, w)."""

    @property
    def abnormality_heatmap(self) -> NDArray[np.float32] | None:
        """(h, w), what speaks for disease, whichever way the decision went; else for the likeliest class.

        The second holds where no class is a reference, which shows in a decision without a threshold.
        """
        if self.heatmap is None or self.decision is None:
            return None
        referenced = self.decision.threshold is not None or len(self.probabilities) == 2
        heat: NDArray[np.float32] = (
            self.heatmap[1:].max(0) if referenced else self.heatmap[int(np.argmax(self.probabilities))]
        )
        return heat


@dataclass(frozen=True)
class _Asked:
    """What readings are to hold."""

    operating_point: str | None
    heatmaps: bool
    error_rate: float | None


class Predictor:
    """Runs one bundle on this machine; safe to call from several threads.

    Two sessions are opened when first needed: one that uses every core for a single image, and one that
    uses a single core and is run once per core, which is faster for many images.
    """

    def __init__(
        self, bundle: Bundle, *, runtime: str = "auto", precision: str = "auto", threads: int | None = None
    ) -> None:
        """Choose the engine; the graph is loaded at the first prediction."""
        self.bundle, self.card = bundle, bundle.card
        self.engine = _engine(bundle.card, runtime, precision)
        self.threads = threads or usable_cores()
        self._input_check_outputs = INPUT_CHECK_OUTPUTS if bundle.card.input_check else ()
        self._sessions: dict[int, Session] = {}
        self._lock = threading.Lock()

    def predict(
        self,
        pixels: NDArray[np.uint8],
        *,
        heatmaps: bool = True,
        embeddings: bool = False,
        cores: int | None = None,
    ) -> Predictions:
        """Predict images that are in memory.

        Args:
            pixels: uint8 (N, S, S) of the bundle's size, as `read_radiograph(..., size=S)` returns them.
            heatmaps: whether to keep the heat maps.
            embeddings: whether to keep the embeddings.
            cores: processors this call may use; all by default, one beside others that predict too.
        """
        cores = cores or self.threads
        wanted = ["probabilities", "logits", *["heatmap"] * heatmaps, *["embedding"] * embeddings]
        names = [*wanted, *self._input_check_outputs]
        if len(pixels) <= cores or (cores == 1 and len(pixels) <= BATCH):
            columns = self._session(cores).run([pixels], names)
        else:
            session = self._session(1)
            chunks = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
            with ThreadPoolExecutor(cores) as workers:
                parts = list(
                    workers.map(lambda chunk: session.run([np.ascontiguousarray(chunk)], names), chunks)
                )
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        found = dict(zip(names, columns, strict=True))
        return Predictions(
            found["probabilities"], found["logits"], found.get("heatmap"), found.get("embedding"),
            found.get("distance"), found.get("checks"),
        )  # fmt: skip

    def read(
        self,
        sources: Iterable[Path],
        *,
        operating_point: str | None = None,
        heatmaps: bool = False,
        error_rate: float | None = None,
    ) -> Iterator[ImageResult]:
        """Decode and predict files, in their order, with bounded memory; a bad file is a reading with an error.

        Every core decodes and predicts batches of its own, so that none waits for another.
        """
        if self.card.operating_points or operating_point:
            self.card.operating_point(operating_point)  # refuses an unknown name before any work
        if error_rate is not None:
            self.card.prediction_sets.at(error_rate)
        asked = _Asked(operating_point, heatmaps, error_rate)
        paths = iter(sources)
        first = list(itertools.islice(paths, BATCH + 1))
        if len(first) <= self.threads:
            yield from self._read_batch(first, asked, self.threads)
            return
        batches = iter(lambda: list(itertools.islice(paths, BATCH)), [])
        waiting: deque[Future[list[ImageResult]]] = deque()
        with ThreadPoolExecutor(self.threads) as workers:
            for batch in itertools.chain([first], batches):
                waiting.append(workers.submit(self._read_batch, batch, asked, 1))
                if len(waiting) > 2 * self.threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def decide(
        self, probabilities: Sequence[float] | NDArray[np.float32], name: str | None = None
    ) -> Decision:
        """Hold the probabilities (K,) of one image against an operating point, by default the first."""
        classes = self.card.classes
        likeliest = int(np.argmax(probabilities))
        if not self.card.operating_points:
            return Decision(classes[likeliest], float(probabilities[likeliest]))
        point = self.card.operating_point(name)
        p_abnormal = float(probabilities[1] if len(classes) == 2 else 1 - probabilities[0])
        abnormal = 1 + int(np.argmax(probabilities[1:]))
        finding = classes[abnormal] if point.is_positive(p_abnormal) else classes[0]
        return Decision(finding, p_abnormal, point.name, point.threshold)

    def judge(
        self, images: Sequence[Radiograph], found: Predictions, coverage: float | None = None
    ) -> tuple[str, ...]:
        """Why each image is not to be assessed, in plain words; empty where it is.

        A model without an input check assesses whatever can be read.

        Args:
            images: N of them, as read.
            found: what `predict` said of them.
            coverage: one of the input check's levels; by default its own.
        """
        input_check = self.card.input_check
        if input_check is None or found.distances is None:
            return ("",) * len(images)
        reasons = input_check.reasons(found.distances, found.checks, coverage)
        return tuple(
            look(image, self.card.size) or reason for image, reason in zip(images, reasons, strict=True)
        )

    def _read_batch(self, sources: Sequence[Path], asked: "_Asked", threads: int) -> list[ImageResult]:
        images = [self._open(source) for source in sources]
        good = [image for image in images if isinstance(image, Radiograph)]
        if not good:
            return [
                ImageResult(source, error=str(image)) for source, image in zip(sources, images, strict=True)
            ]
        pixels = np.stack([image.pixels for image in good])
        found = self.predict(pixels, heatmaps=asked.heatmaps, cores=threads)
        rows = iter(zip(range(len(good)), self.judge(good, found), strict=True))
        return [
            ImageResult(source, error=image)
            if isinstance(image, str)
            else self._reading(source, image, found, *next(rows), asked)
            for source, image in zip(sources, images, strict=True)
        ]

    def _reading(
        self, source: Path, image: Radiograph, found: Predictions, i: int, reason: str, asked: "_Asked"
    ) -> ImageResult:
        probabilities, classes = found.probabilities[i], self.card.classes
        kept = None
        if asked.error_rate is not None:
            mask = self.card.prediction_sets.sets(probabilities[None], asked.error_rate)[0]
            kept = tuple(name for name, inside in zip(classes, mask, strict=True) if inside)
        return ImageResult(
            source,
            tuple(float(p) for p in probabilities),
            self.decide(probabilities, asked.operating_point),
            image.notes,
            not_assessed=reason,
            distance=None if found.distances is None else float(found.distances[i]),
            prediction_set=kept,
            heatmap=None if found.heatmaps is None else found.heatmaps[i],
        )

    def _open(self, source: Path) -> Radiograph | str:
        try:
            return read_radiograph(source, size=self.card.size)
        except DataError as error:
            return str(error)

    def _session(self, threads: int) -> Session:
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = open_session(
                    self.bundle.graph, self.engine, threads=threads, weights=self.bundle.weights
                )
            return self._sessions[threads]


def _engine(card: Card, runtime: str, precision: str) -> Engine:
    if card.export:
        return export_engine(card.export, runtime, precision)
    bf16 = any(record.engine.endswith("bf16") for record in card.parity)
    return choose_engine(runtime, precision, bf16_allowed=bf16)
