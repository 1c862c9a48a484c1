"""`import lungscope` is quick, offers what it says, and finds names when they are asked for."""

import subprocess
import sys

import pytest

import lungscope as ls

HEAVY = ("numpy", "onnxruntime", "torch", "PIL", "pydantic", "matplotlib", "scipy", "rich", "pandas")


def test_importing_it_loads_neither_numpy_nor_a_runtime() -> None:
    code = f"import sys, lungscope; dir(lungscope); print(*[name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize(("name", "absent"), [("load_model", ("torch", "pandas", "matplotlib")), ("stats", ("torch",))])
def test_a_name_loads_what_it_needs_and_no_more(name: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, lungscope; lungscope.{name}; print(*[name for name in {absent!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    assert set(ls.__all__) < set(dir(ls))
    for name in ls.__all__:
        assert getattr(ls, name).__doc__, name
    assert ls.stats.delong is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        ls.load_modle  # noqa: B018
