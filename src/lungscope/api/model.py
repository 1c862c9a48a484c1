"""A model ready for images."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lungscope.api.images import Picture, read_image
from lungscope.api.result import Result
from lungscope.api.result_table import ResultTable
from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Card
from lungscope.bundle.default_model import bundled_model
from lungscope.inference.predictor import Predictor
from lungscope.inference.sources import find_sources
from lungscope.system.progress import show_progress, track

if TYPE_CHECKING:
    from lungscope.api.dataset import Dataset
    from lungscope.experiments.evaluate_run import Evaluated

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def load_model(
    source: str | os.PathLike[str] | None = None, *, runtime: str = "auto", precision: str = "auto"
) -> "Model":
    """Read and check a model.

    Args:
        source: a run folder, an exported folder or a `model.onnx`; None for the bundled model.
        runtime: "auto", "onnxruntime", "openvino" or "litert".
        precision: "auto", "fp32" or "bf16".

    Raises:
        BundleError: no such file, not a Lungscope model, another version, truncated or changed.
        RuntimeUnavailable: that runtime is not installed.
    """
    path = bundled_model("load_model('RUN')") if source is None else Path(source)
    return Model(Predictor(load_bundle(path), runtime=runtime, precision=precision))


class Model:
    """A model ready for images; safe to call from several threads."""

    def __init__(self, predictor: Predictor) -> None:
        """As `load_model` makes it."""
        self.predictor = predictor

    @property
    def card(self) -> Card:
        """Classes, operating points, calibration, origin, and what was measured on validation."""
        return self.predictor.card

    @property
    def classes(self) -> tuple[str, ...]:
        """K names; the first is the reference class where one is."""
        return self.card.classes

    @property
    def size(self) -> int:
        """Side of the input in pixels; `read_image(source, size=model.size)` is what the model sees."""
        return self.card.size

    @property
    def operating_points(self) -> tuple[str, ...]:
        """Their names, the default first; any goal such as "sensitivity >= 0.98" can be asked for too."""
        return tuple(point.name for point in self.card.operating_points)

    def predict(
        self,
        image: Picture,
        *,
        heatmap: bool = False,
        operating_point: str | None = None,
        error_rate: float | None = None,
        embedding: bool = False,
    ) -> Result:
        """Assess one image.

        Args:
            image: a file, its bytes, an array or a Pillow image; see `read_image`.
            heatmap: whether the result has its heat map.
            operating_point: one of the model's, a goal such as "sensitivity >= 0.98", or a threshold such as "0.4".
            error_rate: of a prediction set, which misses the true class no more often; one that the model keeps.
            embedding: whether `details.embedding` holds the pooled features.

        Raises:
            DataError: the image cannot be read.
            BundleError: no such operating point, or the model keeps no prediction sets.
            ConfigError: a goal or error rate that the model cannot serve.
        """
        radiograph = read_image(image, size=self.size)
        (found,) = self.predictor.assess(
            [radiograph], operating_point=operating_point, heatmaps=heatmap, embeddings=embedding, error_rate=error_rate
        )
        path = Path(image) if isinstance(image, str | os.PathLike) else None
        return Result(replace(found, source=path), self.card, image)

    def predict_files(
        self,
        paths: Paths,
        *,
        heatmap: bool = False,
        operating_point: str | None = None,
        error_rate: float | None = None,
        embedding: bool = False,
        progress: bool = False,
    ) -> ResultTable:
        """Assess files and folders on all cores; a file that cannot be read is a result with an `error`.

        Args:
            paths: files and folders, or one of them.
            heatmap: as in `predict`, like the next three.
            operating_point: see there.
            error_rate: see there.
            embedding: see there.
            progress: show how far it is, on a terminal or in a notebook.

        Raises:
            ManifestError: a path does not exist, or a folder holds no image.
            LungscopeError: as `predict` does, but for images that cannot be read.
        """
        given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        files = [source.path for source in find_sources([Path(each) for each in given])]
        found = self.predictor.assess_files(
            files, operating_point=operating_point, heatmaps=heatmap, embeddings=embedding, error_rate=error_rate
        )
        with show_progress(progress):
            results = tuple(
                Result(each, self.card, path)
                for path, each in zip(files, track(found, "Predicting", len(files)), strict=True)
            )
        return ResultTable(results, self.card)

    def evaluate(
        self,
        data: "Dataset | str | os.PathLike[str]",
        *,
        split: str = "test",
        prevalence: float | None = None,
        out: str | os.PathLike[str] | None = None,
    ) -> "Evaluated":
        """Measure the model on labelled images.

        Args:
            data: from `load_dataset`; or a folder or CSV, which is taken whole where it has no splits.
            split: "test", "validation", "train" or "all".
            prevalence: share of diseased where the model will be used, between 0 and 1.
            out: folder for report.html, evaluation.json and what belongs to them.

        Raises:
            ManifestError: no image in that split, or a class that the model does not know.
        """
        from lungscope.api.dataset import table_of
        from lungscope.data.dataset import DataSource, load_for
        from lungscope.evaluation.measurements import EvaluationOptions
        from lungscope.experiments.evaluate_run import evaluate_bundle

        with nullcontext(DataSource(Path(data))) if isinstance(data, str | os.PathLike) else table_of(data) as table:
            images = load_for(self.card, table)
        options = EvaluationOptions(split, prevalence)
        return evaluate_bundle(self.predictor.bundle, images, Path(out) if out is not None else None, options)

    def __repr__(self) -> str:
        return f"Model({', '.join(self.classes)}; {self.size} × {self.size} px; recipe {self.card.recipe_name})"
