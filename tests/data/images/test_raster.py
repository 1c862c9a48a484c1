import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from lungscope.data.images.radiograph import read_radiograph
from lungscope.errors import UnreadableImage, UnsupportedImage

Y, X = np.mgrid[0:48, 0:80]
PICTURE = (20 + 2 * X + Y).astype(np.uint8)
PICTURE[5:15, 10:30] = 240
ORIENTATION = 274


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def pixels(data, size=None):
    return read_radiograph(data, size=size).pixels.astype(int)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(samples, bits):
    """A grey PNG of any depth, written by hand."""
    packed = b"".join(b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:]).tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")


def tiff(samples, sample_format, photometric=1):
    """A grey TIFF of any type, written by hand."""
    tags = {256: samples.shape[1], 257: samples.shape[0], 258: 8 * samples.itemsize, 259: 1, 262: photometric,
            273: 8, 277: 1, 278: samples.shape[0], 279: samples.nbytes, 339: sample_format}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + samples.nbytes)
        + samples.astype(samples.dtype.newbyteorder("<")).tobytes()
        + directory
    )


def upright_from(orientation):
    """What a camera that was held this way would have stored."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = Image.fromarray(PICTURE)
    image = image.transpose(undo[orientation]) if orientation in undo else image
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return image, exif


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_gives_the_same_picture(orientation, kind):
    image, exif = upright_from(orientation)
    options = {"quality": 100} if kind == "JPEG" else {}
    data = encoded(image, kind, exif=exif, **options)
    found = read_radiograph(data)
    assert np.abs(found.pixels.astype(int) - PICTURE).max() <= (3 if kind == "JPEG" else 0)
    assert (found.width, found.height) == (80, 48)
    assert found.notes == (("turned by EXIF",) if orientation > 1 else ())
    assert np.abs(pixels(data, 32) - pixels(encoded(PICTURE), 32)).max() <= (4 if kind == "JPEG" else 1)


def test_orientation_agrees_with_pillow():
    image, exif = upright_from(6)
    reference = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(image, exif=exif))))
    np.testing.assert_array_equal(pixels(encoded(image, exif=exif)), np.asarray(reference))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(30), b"Exif\0\0"])
def test_damaged_exif_neither_warns_nor_stops(exif):
    found = read_radiograph(encoded(PICTURE, "JPEG", exif=exif, quality=100))
    assert np.abs(found.pixels.astype(int) - PICTURE).max() <= 3


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_of_every_depth_fills_the_range(bits):
    samples = (X[:16] % 2**bits).astype(np.uint8)
    found = read_radiograph(grey_png(samples, bits))
    np.testing.assert_array_equal(found.pixels, samples.astype(int) * 255 // (2**bits - 1))
    assert found.bits == bits


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("top", [65535, 4095, 1023])
def test_16_bits_show_the_range_that_is_used(kind, top):
    ramp = np.linspace(0, top, 10_000).astype(np.uint16).reshape(100, 100)
    found = read_radiograph(encoded(ramp, kind))
    assert np.abs(found.pixels - ramp / top * 255).max() <= 0.5 + 1e-9
    assert (found.bits, found.notes) == (16, (f"0 to {top} shown as black to white",))


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize(("kind", "sample_format"), [("u2", 1), ("u4", 1), ("i2", 2), ("i4", 2), ("f4", 3)])
def test_wide_tiff_is_mapped_by_its_range_and_white_is_zero_inverted(kind, sample_format, photometric):
    low, high = {"u": (7, 60_000), "i": (-30_000, 30_000), "f": (-0.25, 1.5)}[kind[0]]
    high *= 60_000 if kind == "u4" else 1
    values = np.linspace(low, high, 4096).astype(kind).reshape(64, 64)
    data = tiff(values, sample_format, photometric)
    if photometric == 0 and kind in ("u4", "i2", "i4"):
        with pytest.raises(UnsupportedImage, match="this kind of TIFF is not read .* Save it as 8 or 16-bit grey PNG"):
            read_radiograph(data)
        return
    found = read_radiograph(data)
    fractions = (values.astype(float) - low) / (high - low)
    assert np.abs(found.pixels - 255 * (fractions if photometric else 1 - fractions)).max() <= 0.51
    assert found.bits == 8 * values.itemsize
    assert ("white-is-zero inverted" in found.notes) is (photometric == 0)


def test_values_that_are_no_numbers_are_black_and_of_no_account():
    values = np.linspace(1000, 3000, 10_000, dtype=np.float32).reshape(100, 100)
    values[0] = np.nan
    values[1] = np.inf
    found = read_radiograph(encoded(values, "TIFF"))
    assert (found.pixels[0] == 0).all()
    assert (found.pixels[1] == 255).all()
    assert np.abs(found.pixels[2:] - (values[2:] - values[2, 0]) / (3000 - values[2, 0]) * 255).max() < 1


def test_the_first_page_of_several_is_read_and_the_note_says_so():
    data = encoded(Image.fromarray(PICTURE), "TIFF", save_all=True, append_images=[Image.new("L", (9, 9))])
    found = read_radiograph(data)
    np.testing.assert_array_equal(found.pixels, PICTURE)
    assert found.notes == ("first of several pages",)


def test_bmp_is_read():
    found = read_radiograph(encoded(PICTURE, "BMP"))
    np.testing.assert_array_equal(found.pixels, PICTURE)
    assert (found.format, found.bits) == ("BMP", 8)


def test_colour_becomes_luma_in_every_format():
    rgb = np.zeros((8, 32, 3), np.uint8)
    rgb[:, :8], rgb[:, 8:16], rgb[:, 16:24], rgb[:, 24:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("BMP", {}), ("JPEG", {"quality": 100, "subsampling": 0})):
        found = read_radiograph(encoded(rgb, kind, **options))
        assert np.abs(found.pixels[4, [3, 11, 19, 27]].astype(int) - [76, 150, 29, 90]).max() <= 2
        assert found.notes == ("colour to grey",)


def test_a_grey_jpeg_saved_in_colour_is_the_same_picture():
    grey = encoded(PICTURE, "JPEG", quality=95)
    colour = encoded(Image.fromarray(PICTURE).convert("RGB"), "JPEG", quality=95)
    assert np.abs(pixels(grey) - pixels(colour)).max() <= 1


@pytest.mark.parametrize("size", [None, 24])
def test_inverted_cmyk_of_adobe_is_the_same_picture(size):
    image = Image.fromarray(PICTURE)
    cmyk = encoded(image.convert("RGB").convert("CMYK"), "JPEG", quality=100)  # Pillow writes Adobe's inversion
    assert b"Adobe" in cmyk
    assert np.abs(pixels(cmyk, size) - pixels(encoded(PICTURE), size)).max() <= 3


def test_ycck_is_the_same_picture():
    # Luma of the complement, no colour, no black; Pillow inverts what it writes.
    flat = Image.new("L", (80, 48), 127)
    channels = [Image.fromarray(PICTURE), flat, flat, Image.new("L", (80, 48), 0)]
    data = bytearray(encoded(Image.merge("CMYK", channels), "JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2
    assert np.abs(pixels(bytes(data)) - PICTURE).max() <= 3


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_are_black(mode):
    image = Image.fromarray(PICTURE).convert(mode)
    alpha = np.full(PICTURE.shape, 255, np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    found = read_radiograph(encoded(image))
    assert np.abs(found.pixels - PICTURE * (alpha / 255)).max() <= 1
    assert found.notes[-1] == "transparent parts are black"
    opaque = read_radiograph(encoded(Image.fromarray(PICTURE).convert(mode)))
    assert "transparent parts are black" not in opaque.notes


def test_a_palette_is_looked_up_with_its_transparency():
    image = Image.fromarray((X[:16] % 4).astype(np.uint8))
    image.putpalette([200, 100, 50, 10, 10, 10, 255, 255, 255, 60, 60, 60])
    np.testing.assert_array_equal(pixels(encoded(image))[0, :4], [124, 10, 255, 60])
    assert read_radiograph(encoded(image)).notes == ("palette to grey",)
    found = read_radiograph(encoded(image, transparency=2))
    np.testing.assert_array_equal(found.pixels[0, :4], [124, 10, 0, 60])


def rgb_png_of_16_bits(samples):
    rows = b"".join(b"\0" + np.repeat(row[:, None], 3, axis=1).astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_colour_is_read_by_its_upper_bits_or_refused():
    full = np.linspace(0, 65535, 6400).reshape(64, 100).astype(np.uint16)
    found = read_radiograph(rgb_png_of_16_bits(full))
    np.testing.assert_array_equal(found.pixels, full >> 8)
    assert "upper 8 of 16 bits" in found.notes
    with pytest.raises(UnsupportedImage, match="few of its bits .* Save it as 16-bit grey"):
        read_radiograph(rgb_png_of_16_bits(full >> 4))


def test_a_png_with_a_wrong_checksum_is_damaged():
    data = bytearray(grey_png(PICTURE, 8))
    data[data.index(b"IDAT") + 60] ^= 1
    with pytest.raises(UnreadableImage, match="the PNG is damaged .* Copy or export it again"):
        read_radiograph(bytes(data))


def test_a_12_bit_jpeg_is_unsupported_with_a_remedy():
    data = bytearray(encoded(PICTURE, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnsupportedImage, match="JPEG is not read .*12-bit.* Save it as 8 or 16-bit grey PNG"):
        read_radiograph(bytes(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_a_huge_claim_is_refused_by_the_header(kind):
    data = bytearray(encoded(PICTURE, kind))
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 65000, 65000)
    elif kind == "PNG":
        data[16:33] = chunk(b"IHDR", struct.pack(">II", 65000, 65000) + bytes(data[24:29]))[8:]
    else:
        data[18:26] = struct.pack("<ii", 65000, 65000)
    with pytest.raises(UnreadableImage, match="65000 × 65000 pixels exceed the limit .*MAX_PIXELS.*Scale it down"):
        read_radiograph(bytes(data))
