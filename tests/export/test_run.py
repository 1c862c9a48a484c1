import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from lungscope.bundle.bundle import load_bundle
from lungscope.cli.app import app
from lungscope.data.dataset import DataSource
from lungscope.data.images.radiograph import read_radiograph
from lungscope.errors import BundleError, ConfigError, ManifestError, OutputError, RuntimeUnavailable
from lungscope.export import onnx as onnx_file
from lungscope.export import parity, quantise
from lungscope.export.artefact import Artefact
from lungscope.export.onnx import to_onnx
from lungscope.export.parity import Tolerance
from lungscope.export.run import Order, export_model, parse_order
from lungscope.inference.predictor import Predictor
from lungscope.runtime.engine import Engine
from lungscope.runtime.session import open_session

NEVER = Tolerance(-1, 0, 1, 1)


def exported(model: Path, table: Path, out: Path, format: str, precision: str = "fp32", **options) -> Path:
    export_model(
        model, parse_order(format, precision, options.pop("opset", None)), out, data=DataSource(table), **options
    )
    return out


@pytest.fixture(scope="module")
def folder(checked_model, table, tmp_path_factory) -> Path:
    pytest.importorskip("openvino")
    return exported(checked_model, table, tmp_path_factory.mktemp("out") / "exported", "openvino")


@pytest.fixture(scope="module")
def pixels(pictures) -> np.ndarray:
    return np.stack([read_radiograph(path, size=64).pixels for path in pictures])


def test_an_openvino_folder_predicts_what_the_run_does(folder: Path, checked_model: Path, pixels) -> None:
    original, export = Predictor(load_bundle(checked_model)), Predictor(load_bundle(folder))
    assert str(export.engine) == "openvino fp32"
    wanted, found = original.predict(pixels), export.predict(pixels)
    assert wanted.heatmaps.max() > 0
    for name in ("probabilities", "heatmaps", "distances", "checks"):
        expected = getattr(wanted, name)
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-3 * expected.max(), err_msg=name)


def test_the_card_goes_with_the_export_and_says_what_it_is(folder: Path, checked_model: Path) -> None:
    original, export = load_bundle(checked_model), load_bundle(folder)
    assert export.card.operating_points == original.card.operating_points
    assert export.card.input_check == original.card.input_check
    record = export.card.export
    assert (record.format, record.precision, record.source_sha256) == ("openvino", "fp32", original.sha256)
    assert record.agreement.images == 41
    assert json.loads(folder.joinpath("card.json").read_text())["export"]["made_by"].startswith("OpenVINO ")


def test_the_xml_alone_carries_card_and_source(folder: Path, checked_model: Path) -> None:
    import openvino

    read = openvino.Core().read_model(folder / "model.xml")
    assert read.get_rt_info(["lungscope", "source_sha256"]).astype(str) == load_bundle(checked_model).sha256
    card = json.loads(read.get_rt_info(["lungscope", "card"]).astype(str))
    assert card["classes"] == ["NORMAL", "PNEUMONIA"]


def test_sha256sum_checks_the_folder(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_predict_and_describe_take_an_exported_folder(folder: Path, pictures) -> None:
    run = CliRunner().invoke(app, ["predict", str(pictures[0]), "--model", str(folder)])
    assert run.exit_code == 0
    assert "openvino fp32" in run.output
    shown = CliRunner().invoke(app, ["describe", str(folder)])
    assert "openvino fp32 of model" in shown.output
    assert load_bundle(folder).sha256 in shown.output


def test_another_engine_than_the_one_it_was_checked_with_is_refused(folder: Path) -> None:
    for options in ({"runtime": "onnxruntime"}, {"precision": "bf16"}):
        with pytest.raises(ConfigError, match="only checked there. Leave --runtime and --precision out"):
            Predictor(load_bundle(folder), **options)


def test_an_onnx_file_is_a_bundle_of_the_opset_asked_for(model: Path, table: Path, tmp_path: Path, pixels) -> None:
    path = exported(model, table, tmp_path / "model21.onnx", "onnx", opset=21)
    assert onnx.load(path).opset_import[0].version == 21
    bundle = load_bundle(path)
    assert bundle.card.export.made_by == "ONNX opset 21"
    wanted = Predictor(load_bundle(model)).predict(pixels).probabilities
    np.testing.assert_allclose(Predictor(bundle).predict(pixels).probabilities, wanted, atol=1e-6)


def test_the_same_export_twice_is_the_same_file(model: Path, table: Path, tmp_path: Path) -> None:
    first, second = (exported(model, table, tmp_path / f"{i}.onnx", "onnx") for i in range(2))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF")
@pytest.mark.parametrize(("format", "name"), [("openvino", "int8"), ("onnx", "int8.onnx")])
def test_int8_is_smaller_and_a_bundle(
    monkeypatch, model: Path, table: Path, tmp_path: Path, pixels, format: str, name: str
) -> None:
    # An untrained network on noise loses more than a trained one; the real tolerance is met in docs/topics/export.md.
    monkeypatch.setitem(parity.TOLERANCES, "int8", Tolerance(0.9, 1, 0.3, 1))
    path = exported(model, table, tmp_path / name, format, "int8")
    bundle, original = load_bundle(path), load_bundle(model)
    assert len(bundle.graph) + len(bundle.weights) < 0.6 * len(original.graph)
    assert "NNCF" in bundle.card.export.made_by
    predictor = Predictor(bundle)
    assert str(predictor.engine).endswith("int8")
    wanted = Predictor(original).predict(pixels).probabilities[:, 1]
    assert np.corrcoef(predictor.predict(pixels).probabilities[:, 1], wanted)[0, 1] > 0.7


@pytest.mark.slow
@pytest.mark.skipif(find_spec("litert_torch") is None, reason="needs the LiteRT converter")
def test_litert_predicts_what_the_run_does(model: Path, table: Path, tmp_path: Path, pixels) -> None:
    path = exported(model, table, tmp_path / "mobile", "litert")
    wanted = Predictor(load_bundle(model)).predict(pixels).probabilities
    np.testing.assert_allclose(Predictor(load_bundle(path)).predict(pixels).probabilities, wanted, atol=1e-4)


@pytest.mark.parametrize(("format", "name"), [("openvino", "out"), ("onnx", "out.onnx")])
def test_what_is_too_far_from_the_original_is_not_written(
    monkeypatch, model: Path, table: Path, tmp_path: Path, format: str, name: str
) -> None:
    monkeypatch.setitem(parity.TOLERANCES, "fp32", NEVER)
    arguments = ["export", str(model), "--format", format, "--data", str(table), "--out", str(tmp_path / name)]
    run = CliRunner().invoke(app, arguments)
    assert isinstance(run.exception, BundleError)  # the command line turns it into one line and exit status 2
    assert "too far from the original" in str(run.exception)
    assert "Nothing was written" in str(run.exception)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_breaks_half_way_leaves_nothing(monkeypatch, model: Path, table: Path, tmp_path: Path) -> None:
    from lungscope.export import run

    def fail(*_: object) -> None:
        raise BundleError("broken")

    monkeypatch.setattr(run, "_recheck", fail)
    with pytest.raises(BundleError, match="broken"):
        exported(model, table, tmp_path / "out.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_only_an_export_is_ever_replaced(model: Path, table: Path, tmp_path: Path) -> None:
    path = exported(model, table, tmp_path / "model.onnx", "onnx")
    with pytest.raises(OutputError, match="exists already. Choose another --out, or pass --force"):
        exported(model, table, path, "onnx")
    exported(model, table, path, "onnx", opset=19, force=True)
    assert onnx.load(path).opset_import[0].version == 19
    path.write_bytes(model.read_bytes())
    with pytest.raises(OutputError, match="not an export, so --force does not replace it"):
        exported(model, table, path, "onnx", force=True)


def test_an_export_is_not_exported_again(folder: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an export itself. Name the run folder"):
        exported(folder, table, tmp_path / "again.onnx", "onnx")


def test_a_model_without_its_table_needs_data(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nothing to check the export on. Name labelled images: --data DATA"):
        export_model(model, Order("onnx", "fp32"), tmp_path / "out.onnx")


def test_the_table_of_another_run_is_refused(model: Path, table: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model.read_bytes())
    (tmp_path / "manifest.csv").write_bytes(table.read_bytes())
    with pytest.raises(ManifestError, match="not the table the model was trained with"):
        export_model(tmp_path, Order("onnx", "fp32"), tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (("coreml", "fp32"), "'coreml' is unknown. Choose onnx, openvino, litert"),
        (("litert", "bf16"), "'bf16' is not for litert. Choose fp32, int8"),
        (("openvino", "fp32", 18), "--opset is for --format onnx in fp32. Leave it out"),
    ],
)
def test_what_cannot_be_asked_for_is_told(order, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_order(*order)


def test_an_onnx_export_must_be_named_so(model: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"one file. Name it FILE.onnx"):
        exported(model, table, tmp_path / "folder", "onnx")


def test_an_impossible_opset_is_told(model: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be expressed in it .* Leave it out for opset 20"):
        exported(model, table, tmp_path / "old.onnx", "onnx", opset=5)


def test_bf16_is_only_made_where_it_can_be_measured(monkeypatch, model: Path, table: Path, tmp_path: Path) -> None:
    from lungscope.runtime import engine as runtime

    monkeypatch.setattr(runtime, "processor_has_bf16", lambda: False)
    with pytest.raises(RuntimeUnavailable, match="bf16 needs OpenVINO and a processor with AMX"):
        exported(model, table, tmp_path / "bf16", "openvino", "bf16")


def test_a_bf16_export_runs_in_fp32_elsewhere(monkeypatch, model: Path, table: Path, tmp_path: Path, pixels) -> None:
    pytest.importorskip("openvino")
    from lungscope.bundle import export_record as module
    from lungscope.export import parity
    from lungscope.runtime import engine as runtime

    monkeypatch.setattr(runtime, "processor_has_bf16", lambda: True)
    # Where bf16 is real, this small network on noise is too far from fp32 to be passed on.
    monkeypatch.setitem(parity.TOLERANCES, "bf16", parity.Tolerance(1.0, 1.0, 1.0, 10.0))
    path = exported(model, table, tmp_path / "bf16", "openvino", "bf16")
    assert "by inference precision hint" in load_bundle(path).card.export.made_by
    assert str(Predictor(load_bundle(path)).engine) == "openvino bf16"
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    assert str(Predictor(load_bundle(path)).engine) == "openvino fp32"


@pytest.mark.skipif(find_spec("litert_torch") is not None, reason="the converter is installed")
def test_a_missing_converter_names_the_extra(model: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'lungscope\[litert\]'"):
        exported(model, table, tmp_path / "mobile", "litert")


@pytest.mark.parametrize(("format", "name"), [("openvino", "int8"), ("onnx", "int8.onnx")])
def test_a_missing_quantiser_names_the_extra(
    monkeypatch, model: Path, table: Path, tmp_path: Path, format: str, name: str
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(quantise, "find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailable, match=r"int8 needs NNCF. Run: pip install 'lungscope\[export\]'"):
        exported(model, table, tmp_path / name, format, "int8")


def test_int8_keeps_more_in_floating_point_until_it_holds(
    monkeypatch, model: Path, table: Path, tmp_path: Path
) -> None:
    tried = []

    def to_onnx_int8(graph: bytes, calibration: np.ndarray, share: float) -> Artefact:
        tried.append(share)
        unchanged = share >= quantise.SHARES[2]
        return Artefact(to_onnx(graph).graph if unchanged else doubled(to_onnx(graph).graph), f"{share}")

    monkeypatch.setattr(onnx_file, "to_onnx_int8", to_onnx_int8)
    path = exported(model, table, tmp_path / "int8.onnx", "onnx", "int8")
    assert tried == [*quantise.SHARES[:3]]
    assert load_bundle(path).card.export.made_by == str(quantise.SHARES[2])


def doubled(graph: bytes) -> bytes:
    """The graph with twice the probabilities."""
    found = onnx.load_from_string(graph)
    node = next(each for each in found.graph.node if "probabilities" in each.output)
    node.output[:] = ["half"]
    found.graph.node.append(onnx.helper.make_node("Add", ["half", "half"], ["probabilities"]))
    return found.SerializeToString()


def test_a_litert_folder_without_its_runtime_names_the_extra(monkeypatch) -> None:
    from lungscope.runtime import litert

    monkeypatch.setattr(litert, "find_spec", lambda _: None)
    with pytest.raises(RuntimeUnavailable, match=r"LiteRT is not installed. Run: pip install 'lungscope\[export\]'"):
        open_session(b"", Engine("litert", "fp32"), threads=1)
