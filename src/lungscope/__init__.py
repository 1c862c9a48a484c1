"""Lungscope: chest X-ray classification that can be checked, trusted and run. Research use only.

Names are imported when they are first used, so that `import lungscope` loads neither NumPy nor a runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lungscope import stats as stats
    from lungscope.api.dataset import Dataset, load_dataset
    from lungscope.api.evaluation import ScoreEvaluation, evaluate
    from lungscope.api.images import read_image
    from lungscope.api.model import Model, load_model
    from lungscope.api.result import Result
    from lungscope.api.result_table import ResultTable
    from lungscope.api.training import Run, train
    from lungscope.errors import LungscopeError

__version__ = "0.1.0"
__all__ = [  # noqa: RUF022 - in the order of use, as the reference shows them
    "load_model", "Model", "Result", "ResultTable", "read_image", "load_dataset", "Dataset", "train", "Run",
    "evaluate", "ScoreEvaluation", "stats", "LungscopeError",
]  # fmt: skip
_MODULES = {
    "load_model": "api.model", "Model": "api.model", "Result": "api.result", "ResultTable": "api.result_table",
    "read_image": "api.images", "load_dataset": "api.dataset", "Dataset": "api.dataset",
    "train": "api.training", "Run": "api.training", "evaluate": "api.evaluation",
    "ScoreEvaluation": "api.evaluation", "LungscopeError": "errors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "stats":
        return import_module("lungscope.stats")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
