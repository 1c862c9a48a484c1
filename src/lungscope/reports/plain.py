"""Results as JSON holds them."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungscope.stats.estimate import Estimate, rounded

Document = dict[str, Any]


def plain(found: object) -> Any:
    """Results as dictionaries, lists, texts and rounded numbers; estimates in their one form."""
    if isinstance(found, Estimate):
        return found.as_json()
    if is_dataclass(found):
        return {each.name: plain(getattr(found, each.name)) for each in fields(found)}
    if isinstance(found, tuple | list):
        return [plain(each) for each in found]
    if isinstance(found, np.ndarray):
        return plain(found.tolist())
    if isinstance(found, Path):
        return str(found)
    return rounded(found) if isinstance(found, float) else found


def named(owner: object, names: tuple[str, ...]) -> Document:
    """Some of what an object holds, under its own names."""
    return {name: plain(getattr(owner, name)) for name in names}
