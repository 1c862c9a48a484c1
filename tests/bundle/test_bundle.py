from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lungscope.bundle.bundle import bundle_bytes, load_bundle
from lungscope.bundle.card import Calibration, Card, Parity
from lungscope.errors import BundleError
from lungscope.stats.estimate import Estimate
from lungscope.stats.operating_points import OperatingPoint

CARD = Card(
    classes=("NORMAL", "PNEUMONIA"),
    size=64,
    operating_points=(
        OperatingPoint(
            "sensitivity-95", "sensitivity >= 0.95", 0.31, Estimate(0.96, 0.93, 0.98), Estimate(0.9, 0.8, 1.0)
        ),
        OperatingPoint("half", "0.5", 0.5, Estimate(None, reason="no positive image"), Estimate(0.9, 0.8, 1.0)),
    ),
    calibration=Calibration("temperature", 0.7, (0.0, 0.25)),
    recipe='name = "größer"\n',
    recipe_name="größer",
    versions={"torch": "2.0"},
    data={"train": 10, "fingerprint": "ab"},
    parity=(Parity("onnxruntime fp32", 8, 1e-7, 0),),
)


def identity_graph() -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph).SerializeToString()


WRITTEN = bundle_bytes(identity_graph(), CARD)


def test_a_card_survives_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(WRITTEN)
    for source in (tmp_path, tmp_path / "model.onnx"):
        assert load_bundle(source).card == CARD


def test_onnx_itself_reads_the_card_and_the_graph() -> None:
    model = onnx.load_from_string(WRITTEN)
    onnx.checker.check_model(model)
    assert {entry.key for entry in model.metadata_props} == {"lungscope.card", "lungscope.sha256"}


def test_a_named_operating_point_or_the_first() -> None:
    assert CARD.operating_point().name == "sensitivity-95"
    assert CARD.operating_point("half").threshold == 0.5
    with pytest.raises(BundleError, match="no validation curve to serve 'youden' from. It has: sensitivity-95, half"):
        CARD.operating_point("youden")


@settings(deadline=None)
@given(st.integers(0, len(WRITTEN) - 1))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "model.onnx"
    path.write_bytes(WRITTEN[:length])
    with pytest.raises(BundleError):
        load_bundle(path)


@settings(deadline=None)
@given(st.integers(0, len(WRITTEN) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_refused(tmp_path_factory, at: int, change: int) -> None:
    content = bytearray(WRITTEN)
    content[at] ^= change
    path = tmp_path_factory.mktemp("changed") / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(path)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_other_file_is_refused(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("other") / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(path)


def test_a_foreign_onnx_file_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(identity_graph())
    with pytest.raises(BundleError, match=r"not one that Lungscope wrote. Train one: lungscope train DATA"):
        load_bundle(tmp_path)


def test_a_missing_model_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no model can be read there .* Name a run folder"):
        load_bundle(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "model.onnx").write_bytes(bundle_bytes(identity_graph(), replace(CARD, format=99)))
    with pytest.raises(BundleError, match="bundle format 99, and this version reads 1"):
        load_bundle(tmp_path)
