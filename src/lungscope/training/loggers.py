"""Curves for people who watch a training: TensorBoard by default, MLflow where a server is named."""

import os
import shutil
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lungscope.config.recipe import Recipe
from lungscope.errors import RuntimeUnavailable
from lungscope.training.history import Epoch


class Logger(ExitStack):
    """Writes every epoch's figures as scalars named `phase/figure`.

    TensorBoard gets them in `FOLDER/tensorboard` when the package is installed. MLflow gets them, and the
    recipe's settings, when the environment variable MLFLOW_TRACKING_URI is set. A run that is continued
    writes its earlier epochs again, into the same curves.
    """

    def __init__(self, folder: Path | None = None, recipe: Recipe | None = None) -> None:
        """Log into a run folder; without one nothing is written.

        Raises:
            RuntimeUnavailable: MLFLOW_TRACKING_URI is set and mlflow is missing or its server cannot be reached.
        """
        super().__init__()
        self._tensorboard = self._open_tensorboard(folder / "tensorboard") if folder else None
        self._mlflow = self._open_mlflow(recipe) if folder and recipe else None

    def add(self, row: Epoch) -> None:
        """Write down one epoch."""
        figures = {f"{row.phase}/{name}": value for name, value in asdict(row).items() if isinstance(value, float)}
        if self._tensorboard is not None:
            for name, value in figures.items():
                self._tensorboard.add_scalar(name, value, row.epoch)
            self._tensorboard.flush()
        if self._mlflow is not None:
            self._mlflow.log_metrics(figures, step=row.epoch)

    def _open_tensorboard(self, folder: Path) -> Any:
        if find_spec("tensorboard") is None:
            return None
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        return self.enter_context(SummaryWriter(str(folder)))

    def _open_mlflow(self, recipe: Recipe) -> Any:
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        try:
            import mlflow
        except ImportError:
            raise RuntimeUnavailable(
                "MLFLOW_TRACKING_URI is set, but mlflow is not installed. Run: pip install 'lungscope[mlflow]', "
                "or unset the variable."
            ) from None
        # Its client would try for minutes before a training begins.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        try:
            self.enter_context(mlflow.start_run(run_name=recipe.name))  # tells it, too, when training fails
            mlflow.log_params(_flat(recipe.model_dump(mode="json")))
        except Exception as error:  # the client raises many kinds, each meaning that there is no server
            raise RuntimeUnavailable(
                f"MLflow at MLFLOW_TRACKING_URI cannot be used ({str(error).partition(chr(10))[0][:200].rstrip('.')}). "
                "Start its server or name another, or unset the variable."
            ) from error
        return mlflow


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
