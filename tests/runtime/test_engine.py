import pytest

from lungscope.errors import ConfigError, RuntimeUnavailable
from lungscope.runtime import engine as runtime
from lungscope.runtime.engine import Engine, choose_engine


@pytest.fixture
def machine(monkeypatch):
    def set_up(*, openvino: bool, bf16: bool) -> None:
        monkeypatch.setattr(runtime, "find_spec", lambda name: object() if openvino else None)
        monkeypatch.setattr(runtime, "processor_has_bf16", lambda: bf16)

    return set_up


@pytest.mark.parametrize(
    ("openvino", "bf16", "allowed", "engine"),
    [
        (True, True, True, Engine("openvino", "bf16")),
        (True, True, False, Engine("onnxruntime", "fp32")),
        (True, False, True, Engine("onnxruntime", "fp32")),
        (False, True, True, Engine("onnxruntime", "fp32")),
    ],
)
def test_auto_takes_bf16_only_where_hardware_and_parity_record_allow(
    machine, openvino: bool, bf16: bool, allowed: bool, engine: Engine
) -> None:
    machine(openvino=openvino, bf16=bf16)
    assert choose_engine(bf16_allowed=allowed) == engine


def test_fp32_forces_the_reference(machine) -> None:
    machine(openvino=True, bf16=True)
    assert choose_engine(precision="fp32", bf16_allowed=True).precision == "fp32"
    assert choose_engine("openvino", "fp32", bf16_allowed=True) == Engine("openvino", "fp32")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (("tensorrt", "auto"), ConfigError, "Choose auto, onnxruntime or openvino"),
        (("auto", "int4"), ConfigError, "Choose auto, fp32 or bf16"),
        (("onnxruntime", "bf16"), ConfigError, "Use --runtime openvino"),
        (("openvino", "auto"), RuntimeUnavailable, "pip install"),
        (("auto", "bf16"), RuntimeUnavailable, "Use --precision fp32"),
    ],
)
def test_what_a_machine_lacks_is_said_with_the_remedy(machine, names, error, message) -> None:
    machine(openvino=False, bf16=False)
    with pytest.raises(error, match=message):
        choose_engine(*names)
