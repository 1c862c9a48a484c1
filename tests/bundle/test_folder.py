import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import card_json
from lungscope.bundle.folder import checksums
from lungscope.errors import BundleError


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder; no runtime is needed to read and check it."""
    path = tmp_path_factory.mktemp("export") / "exported"
    path.mkdir()
    files = {
        "model.xml": b"<net/>" * 20,
        "model.bin": bytes(range(200)),
        "card.json": card_json(load_bundle(model).card).encode(),
    }
    for name, content in files.items():
        (path / name).write_bytes(content)
    (path / "SHA256SUMS").write_bytes(checksums(files))
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_folder_is_read_with_its_weights(folder: Path, model: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.card == load_bundle(model).card
    assert bundle.path == folder / "model.xml"
    assert (bundle.graph[:6], bundle.weights[:3]) == (b"<net/>", b"\0\1\2")


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "card.json"])
def test_a_cut_file_is_refused(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    with pytest.raises(BundleError, match="changed or damaged after it was written. Copy or export it again"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "card.json"])
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match="part of the model cannot be read .* Copy or export it again"):
        load_bundle(copy)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_anywhere_is_refused(folder: Path, tmp_path_factory, data) -> None:
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("changed") / "copy")
    path = copy / data.draw(st.sampled_from(["model.xml", "model.bin", "card.json", "SHA256SUMS"]))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(copy)


def test_a_list_without_one_of_the_files_is_refused(copy: Path) -> None:
    lines = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(line for line in lines if "model.bin" not in line))
    with pytest.raises(BundleError, match="not part of the model. Remove it, or export again"):
        load_bundle(copy)


def test_a_model_smuggled_in_is_refused(copy: Path, model: Path) -> None:
    shutil.copy(model, copy / "model.onnx")
    with pytest.raises(BundleError, match=r"model.onnx: not part of the model"):
        load_bundle(copy)


def test_the_list_cannot_point_outside(copy: Path) -> None:
    with (copy / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  ../../etc/passwd\n")
    with pytest.raises(BundleError, match="the list of checksums is damaged"):
        load_bundle(copy)


def test_the_digest_is_that_of_the_list(copy: Path) -> None:
    before = load_bundle(copy).sha256
    card = (copy / "card.json").read_bytes() + b" "
    (copy / "card.json").write_bytes(card)
    files = {name: (copy / name).read_bytes() for name in ("model.xml", "model.bin", "card.json")}
    (copy / "SHA256SUMS").write_bytes(checksums(files))
    assert load_bundle(copy).sha256 != before
