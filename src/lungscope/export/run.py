"""A trained model → another format, held against the original first; what is outside the tolerance is not written."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.bundle.export_record import FORMATS, RUNTIMES, Export, Format
from lungscope.data.dataset import Dataset, DataSource, load_for
from lungscope.errors import BundleError, ConfigError, ManifestError
from lungscope.export.artefact import Artefact
from lungscope.export.files import check_place, unfinished, write
from lungscope.export.parity import Images, Reference, collect, compare, failures
from lungscope.export.quantise import SHARES, spread
from lungscope.export.speed import Speed, measure_speed
from lungscope.runtime.engine import Engine, Precision, choose_engine, usable_cores
from lungscope.runtime.session import open_session

PRECISIONS: dict[Format, tuple[Precision, ...]] = {
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "fp16", "int8"),
    "litert": ("fp32", "int8"),
}
REFERENCE = Engine("onnxruntime", "fp32")
RECHECKED = 32
"""Images that the finished file is run on once more."""


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    format: Format
    precision: Precision
    opset: int | None = None
    """Of an ONNX export in fp32; None for the bundle's own."""


@dataclass(frozen=True)
class Exported:
    """What was written, and what it was held against."""

    path: Path
    sha256: str
    export: Export
    source: str
    """Where the images are from that it was checked on."""
    bytes: int
    original_bytes: int
    speed: Speed
    original_speed: Speed


@dataclass(frozen=True, eq=False)
class _Candidate:
    artefact: Artefact
    export: Export
    outputs: Reference


def parse_order(format: str, precision: str, opset: int | None = None) -> Order:
    """Check what is asked for.

    Raises:
        ConfigError: an unknown format or precision, or options that do not go together.
    """
    kind = next((each for each in FORMATS if each == format), None)
    if kind is None:
        raise ConfigError(f"--format {format!r} is unknown. Choose {', '.join(FORMATS)}.")
    number = next((each for each in PRECISIONS[kind] if each == precision), None)
    if number is None:
        raise ConfigError(f"--precision {precision!r} is not for {kind}. Choose {', '.join(PRECISIONS[kind])}.")
    if opset is not None and (kind, number) != ("onnx", "fp32"):
        raise ConfigError("--opset is for --format onnx in fp32. Leave it out.")
    return Order(kind, number, opset)


def export_model(
    run: Path, order: Order, out: Path, *, data: DataSource | None = None, force: bool = False
) -> Exported:
    """Convert a model, hold it against the original on validation images, and write it whole or not at all.

    Args:
        run: a run folder or a model.onnx.
        order: what is asked for.
        out: the file of an ONNX export; the folder of any other.
        data: labelled images to check on; the run's own validation split by default.
        force: replace an export that stands at `out`.

    Raises:
        ConfigError: the model is an export itself.
        OutputError: something stands at `out`, or it cannot be written.
        BundleError: the export is outside the tolerance.
        ManifestError: there are no labelled images to check on.
        RuntimeUnavailable: a converter or a runtime is not installed, or the processor has no bf16.
    """
    check_place(out, order.format, force=force)
    bundle = load_bundle(run)
    if bundle.card.export:
        raise ConfigError(f"{run}: an export itself. Name the run folder it was made of.")
    if order.precision == "bf16":
        choose_engine("openvino", "bf16")  # refuses where it could not be measured
    images = validation_images(bundle, data)
    chosen = _choose(bundle, order, images)
    with unfinished(out) as part:
        write(chosen.artefact, replace(bundle.card, export=chosen.export), part)
        made = load_bundle(part)
        _recheck(made, chosen, images)
        speeds = measure_speed(made, images.pixels), measure_speed(bundle, images.pixels)
    sizes = len(made.graph) + len(made.weights), len(bundle.graph)
    return Exported(out, made.sha256, chosen.export, images.source, *sizes, *speeds)


def validation_images(bundle: Bundle, data: DataSource | None) -> Images:
    """The images exports are checked on: the run's own validation split, or that of `data`, or all of it.

    Raises:
        ManifestError: the run's table is not at hand and no `data` is named, or it holds no such image.
    """
    card, table = bundle.card, bundle.path.with_name("manifest.csv")
    if data is None and not table.is_file():
        raise ManifestError(
            f"{bundle.path}: the run's manifest.csv is not beside it, so there is nothing to check the export on. "
            "Name labelled images: --data DATA."
        )
    found = load_for(card, data or DataSource(table))
    if data is None and found.manifest.fingerprint() != card.data.get("fingerprint"):
        raise ManifestError(
            f"{table}: not the table the model was trained with, or files are missing. Restore it, or name --data DATA."
        )
    rows = found.rows("validation" if "validation" in found.manifest.splits else "all")
    if data is None and "validation" not in found.manifest.splits:
        raise ManifestError(f"{table}: no image is in the validation split. Name labelled images: --data DATA.")
    what = _what(found, data)
    return Images(np.ascontiguousarray(found.pixels[rows]), found.manifest.labels[rows], what)


def _what(found: Dataset, data: DataSource | None) -> str:
    if data is None:
        return "the run's validation split"
    return f"the validation split of {data.path}" if "validation" in found.manifest.splits else str(data.path)


def _choose(bundle: Bundle, order: Order, images: Images) -> _Candidate:
    """The first candidate that is within the tolerance."""
    original = collect(open_session(bundle.graph, REFERENCE, threads=usable_cores()), images.pixels)
    reasons: tuple[str, ...] = ()
    for artefact in _artefacts(bundle, order, images):
        engine = Engine(RUNTIMES[order.format], order.precision)
        session = open_session(artefact.graph, engine, threads=usable_cores(), weights=artefact.weights)
        outputs = collect(session, images.pixels)
        agreement = compare(original, outputs, images.labels, bundle.card)
        reasons = failures(agreement, order.precision)
        if not reasons:
            export = Export(order.format, order.precision, bundle.sha256, artefact.made_by, agreement)
            return _Candidate(artefact, export, outputs)
    remedy = "Report this network." if order.precision == "fp32" else "Export it with --precision fp32."
    raise BundleError(
        f"The {order.format} export in {order.precision} is too far from the original on {len(images.labels)} images "
        f"({images.source}): {'; '.join(reasons)}. Nothing was written. {remedy}"
    )


def _artefacts(bundle: Bundle, order: Order, images: Images) -> Iterator[Artefact]:
    """What may be within the tolerance, the fastest first."""
    calibration = spread(images.pixels)
    if order.format == "litert":
        from lungscope.export.litert import to_litert

        yield to_litert(bundle.graph, order.precision, bundle.card.size)
    elif order.format == "openvino":
        from lungscope.export.openvino import to_openvino, to_openvino_int8

        if order.precision == "int8":
            yield from (to_openvino_int8(bundle.graph, calibration, share) for share in SHARES)
        else:
            yield to_openvino(bundle.graph, order.precision)
    else:
        from lungscope.export.onnx import to_onnx, to_onnx_int8

        if order.precision == "int8":
            yield from (to_onnx_int8(bundle.graph, calibration, share) for share in SHARES)
        else:
            yield to_onnx(bundle.graph, order.opset)


def _recheck(made: Bundle, chosen: _Candidate, images: Images) -> None:
    """The finished file computes what was measured."""
    engine = Engine(RUNTIMES[chosen.export.format], chosen.export.precision)
    session = open_session(made.graph, engine, threads=usable_cores(), weights=made.weights)
    found, wanted = collect(session, images.pixels[:RECHECKED]), chosen.outputs.of("probabilities")
    if not np.allclose(found.of("probabilities"), wanted[:RECHECKED], rtol=0, atol=1e-6):
        raise BundleError("The finished export computes something else than what was measured. Report this network.")
