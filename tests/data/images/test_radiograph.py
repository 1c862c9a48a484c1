import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

import lungscope.data.images.radiograph as image_module
from lungscope.data.images.radiograph import IMAGE_SUFFIXES, find_images, iter_images, read_radiograph
from lungscope.errors import DataError, LungscopeError, UnreadableImage, UnsupportedImage

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8)


def encoded(kind, pixels=PICTURE, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def exif():
    tags = Image.Exif()
    tags[274] = 6
    return tags


SAMPLES = {
    "JPEG": encoded("JPEG"),
    "JPEG with EXIF": encoded("JPEG", exif=exif()),
    "progressive JPEG": encoded("JPEG", progressive=True),
    "PNG": encoded("PNG"),
    "16-bit PNG": encoded("PNG", PICTURE.astype(np.uint16) * 16),
    "TIFF": encoded("TIFF"),
    "BMP": encoded("BMP"),
    **{
        name: Path(get_testdata_file(f"{name}.dcm")).read_bytes()
        for name in ("MR_small", "MR_small_implicit", "MR_small_jp2klossless", "SC_rgb_small_odd")
    },
}
DICOM = SAMPLES["MR_small"]


def test_everything_known_of_a_file_is_given(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(SAMPLES["PNG"])
    found = read_radiograph(path)
    np.testing.assert_array_equal(found.pixels, PICTURE)
    assert found.pixels.dtype == np.uint8
    assert (found.width, found.height, found.bits, found.format, found.notes) == (90, 60, 8, "PNG", ())
    assert found.file_bytes == len(SAMPLES["PNG"])
    assert found.sha256 == hashlib.sha256(SAMPLES["PNG"]).hexdigest()
    assert found.patient == ""


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("size", [None, 32])
def test_bytes_and_path_give_the_same_and_the_name_is_of_no_account(tmp_path, name, size):
    path = tmp_path / "misleading.txt"
    path.write_bytes(SAMPLES[name])
    from_path, from_bytes = read_radiograph(path, size=size), read_radiograph(SAMPLES[name], size=size)
    np.testing.assert_array_equal(from_path.pixels, from_bytes.pixels)
    assert from_path.sha256 == from_bytes.sha256
    assert from_path.notes == from_bytes.notes
    if size:
        assert from_path.pixels.shape == (size, size)


@pytest.mark.parametrize("name", SAMPLES)
def test_eight_threads_and_one_give_the_same(name):
    expected = read_radiograph(SAMPLES[name], size=48).pixels
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: read_radiograph(data, size=48).pixels, [SAMPLES[name]] * 32))
    assert all(np.array_equal(pixels, expected) for pixels in found)


def test_the_picture_is_squashed_with_antialiasing():
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (200, 300))
    found = read_radiograph(encoded("PNG", fine), size=40)
    assert np.abs(found.pixels.astype(int) - 127.5).max() <= 2


@pytest.mark.parametrize("size", [160, 224])
def test_reduced_decoding_is_close_to_full_decoding(shared, size):
    paths = sorted((shared / "data" / "kermany_fullsize").glob("*/*"))[::6]
    differences = []
    for path in paths:
        with Image.open(path) as image:
            full = np.asarray(image.convert("L").resize((size, size), Image.Resampling.BILINEAR)).astype(int)
        differences.append(np.abs(read_radiograph(path, size=size).pixels - full).mean())
    assert np.mean(differences) < 0.4
    assert np.max(differences) < 1.0


def test_full_resolution_of_a_real_jpeg_is_pillows(shared):
    for path in sorted((shared / "data" / "kermany_fullsize").glob("*/*"))[::40]:
        found = read_radiograph(path)
        with Image.open(path) as image:
            assert (found.width, found.height) == image.size
            assert np.abs(found.pixels.astype(int) - np.asarray(image.convert("L"))).max() <= 1


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_our_errors(data):
    with pytest.raises(LungscopeError):
        read_radiograph(data)


def outcome_of(content):
    try:
        return read_radiograph(content, size=16).pixels.shape
    except LungscopeError as error:
        return str(error)


@given(st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_raise_nothing_but_our_errors(data):
    content = bytearray(SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, min(len(content), 2000) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    outcome = outcome_of(bytes(content))
    assert outcome == (16, 16) or (outcome.startswith("the image: ") and outcome.isprintable())


@pytest.mark.parametrize("name", ["JPEG", "JPEG with EXIF", "progressive JPEG", "PNG", "16-bit PNG", "BMP", "MR_small"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_errors_with_a_remedy(name, share):
    content = SAMPLES[name]
    with pytest.raises((UnreadableImage, UnsupportedImage), match="(Copy|Send|Save|export) .*"):
        read_radiograph(content[: int(len(content) * share)])


def test_a_rest_of_a_file_is_refused_by_its_place(tmp_path):
    path = tmp_path / "half.jpeg"
    path.write_bytes(SAMPLES["JPEG"][:1000])
    with pytest.raises(UnreadableImage, match=r"half\.jpeg: the JPEG is damaged .*truncated.* Copy or export"):
        read_radiograph(path, size=160)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", UnreadableImage, "the file is empty. Copy or export it again"),
        (b"patient,label\nDOE,1\n", UnreadableImage, "the content is text, .* Save the picture as DICOM"),
        (b"<!DOCTYPE html><html>", UnreadableImage, "the content is text"),
        (b"\x01\x02\x03" * 90, UnreadableImage, "no known kind of image"),
        (b"BM nothing", UnreadableImage, "the BMP is damaged"),
        (b"%PDF-1.7", UnsupportedImage, "PDF is not read here. Save the picture as"),
        (b"\x00\x00\x00\x0cjP  \r\n", UnsupportedImage, "JPEG 2000 is not read here"),
    ],
)
def test_what_is_no_image_is_named_but_not_quoted(tmp_path, content, error, message):
    path = tmp_path / "scan.jpeg"
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_radiograph(path)
    assert str(path) in str(caught.value)
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animations_are_not_read(kind):
    file = io.BytesIO()
    frames = [Image.new("L", (8, 8), level) for level in (0, 99)]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImage, match="is not read here. Save the picture as DICOM, PNG, JPEG or TIFF"):
        read_radiograph(file.getvalue())


def test_a_missing_file_a_folder_and_a_pipe_are_errors(tmp_path):
    with pytest.raises(UnreadableImage, match=r"gone\.png: cannot be read \(No such file .* Check the path"):
        read_radiograph(tmp_path / "gone.png")
    with pytest.raises(UnreadableImage, match="this is a folder. Name an image in it"):
        read_radiograph(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="not a regular file. Copy the image to one"):
        read_radiograph(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="not a valid path"):
        read_radiograph(Path("a\0b"))


def test_a_file_without_permission_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(SAMPLES["PNG"])

    def denied(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", denied)  # root may read everything
    with pytest.raises(UnreadableImage, match=r"cannot be read \(Permission denied\). Check the path and your rights"):
        read_radiograph(path)


def test_the_limit_of_bytes_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(image_module, "MAX_FILE_BYTES", 2**20)
    path = tmp_path / "large.png"
    path.write_bytes(SAMPLES["PNG"].ljust(3 * 2**20, b"\0"))
    for source in (path, path.read_bytes()):
        with pytest.raises(UnreadableImage, match=r"3 MiB exceed the limit of 1 MiB \(MAX_FILE_BYTES\)"):
            read_radiograph(source)


def test_a_name_that_cannot_be_printed_stays_one_line(tmp_path):
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(tmp_path / "a\nb\udcff.png")
    assert str(caught.value).isprintable()


def test_repr_shows_neither_pixels_nor_patient():
    shown = repr(read_radiograph(DICOM))
    assert "array" not in shown
    assert "4MR1" not in shown
    assert read_radiograph(DICOM).patient == "4MR1"


def test_a_jpeg_is_read_without_importing_pydicom():
    code = (
        "import sys; from lungscope.data.images.radiograph import read_radiograph; "
        f"read_radiograph(bytes.fromhex('{SAMPLES['JPEG'].hex()}'), size=32); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'pydicom', 'scipy', 'torch', 'openjpeg'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def touch(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_images_are_found_in_the_order_of_their_paths(tmp_path):
    names = ["b/z.png", "a-b/1.JPG", "a/2.dcm", "a.tif", "a/b/c.jpeg", "B.bmp"]
    wanted = {touch(tmp_path / name) for name in names}
    for name in ["notes.txt", "a/table.csv", ".hidden.png", ".git/x.png", "DICOMDIR", "a/README"]:
        touch(tmp_path / name, DICOM if name == "DICOMDIR" else b"text")
    assert find_images(tmp_path) == sorted(wanted)
    assert list(iter_images(tmp_path)) == find_images(tmp_path)


def test_dicom_without_a_suffix_is_found_by_its_content(tmp_path):
    wanted = [touch(tmp_path / name, DICOM) for name in ("1.2.840.10008.17", "IM0001")]
    touch(tmp_path / "IM0002", b"text")
    assert find_images(tmp_path) == wanted
    assert ".dcm" in IMAGE_SUFFIXES


def test_links_are_followed_once_and_broken_ones_reported(tmp_path):
    real = touch(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "twice").symlink_to(tmp_path / "real")
    broken = tmp_path / "x.png"
    broken.symlink_to(tmp_path / "gone.png")
    assert find_images(tmp_path) == [real, broken]
    with pytest.raises(UnreadableImage, match="No such file"):
        read_radiograph(broken)


def test_a_sub_folder_that_cannot_be_listed_stands_for_its_content(tmp_path, monkeypatch):
    image, locked = touch(tmp_path / "a.png"), touch(tmp_path / "locked" / "b.png").parent
    scandir = os.scandir

    def guarded(folder):
        if str(folder) == str(locked):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)  # root may list everything
    assert find_images(tmp_path) == [image, locked]


@pytest.mark.parametrize("name", ["gone", "file.png"])
def test_a_folder_that_is_none_is_an_error(tmp_path, name):
    touch(tmp_path / "file.png")
    with pytest.raises(DataError, match=f"{name}: cannot be listed .* Name a folder that you may read"):
        find_images(tmp_path / name)
