import subprocess
import sys

import pytest

from lungscope.errors import BundleError
from lungscope.runtime.engine import Engine
from lungscope.runtime.session import open_session


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_that_cannot_be_loaded_is_a_bundle_error(name: str) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    with pytest.raises(BundleError, match=f"{name} cannot load the graph"):
        open_session(b"no graph", Engine(name, "fp32"), threads=1)


def test_no_runtime_is_loaded_before_a_graph() -> None:
    names = "('onnxruntime', 'openvino', 'torch')"
    code = f"import sys, lungscope.runtime.session; print([name for name in {names} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
