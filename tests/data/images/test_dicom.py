import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

import lungscope.data.images.dicom as dicom
from lungscope.data.images.radiograph import read_radiograph
from lungscope.errors import UnreadableImage, UnsupportedImage

PATIENT = "DOE^JANE"
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def radiograph(pixels=RAMP, *, syntax=ExplicitVRLittleEndian, **elements):
    """A digital radiograph with a patient whose data must never show."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, bytes(128), meta, syntax.is_implicit_VR, syntax.is_little_endian)
    dataset.SOPClassUID, dataset.SOPInstanceUID = (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID)
    dataset.PatientName, dataset.PatientID, dataset.Modality = PATIENT, "MRN-4711", "DX"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored = 8 if pixels.itemsize == 1 else 12
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">")).tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def saved(dataset):
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def compressed(pixels, syntax, codestream, **elements):
    dataset = radiograph(pixels, syntax=syntax, **elements)
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].VR = "OB"
    return saved(dataset)


def jpeg_2000(pixels):
    dataset = radiograph(pixels)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


PLAIN = read_radiograph(saved(radiograph(**WINDOW)))


def test_what_is_known_of_a_radiograph():
    data = saved(radiograph(**WINDOW))
    found = read_radiograph(data)
    np.testing.assert_array_equal(found.pixels, np.rint(RAMP / 4095 * 255))
    assert (found.width, found.height, found.bits, found.format) == (64, 64, 12, "DICOM")
    assert found.file_bytes == len(data)
    assert found.notes == ("window 2048/4096",)
    assert found.patient == "MRN-4711"


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless],
)
def test_every_way_to_write_the_same_pixels_gives_the_same_picture(syntax):
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset = radiograph(**WINDOW)
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset = radiograph(syntax=syntax, **WINDOW)
    np.testing.assert_array_equal(read_radiograph(saved(dataset)).pixels, PLAIN.pixels)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("JPGExtended.dcm", JPEGExtended12Bit),
        ("MR_small_jpeg_ls_lossless.dcm", JPEGLSLossless),
        ("SC_rgb_jpeg_gdcm.dcm", JPEGLosslessSV1),
        ("SC_rgb_jpeg_dcmtk.dcm", JPEGBaseline8Bit),
        ("MR_small_RLE.dcm", RLELossless),
        ("image_dfl.dcm", DeflatedExplicitVRLittleEndian),
        ("SC_ybr_full_422_uncompressed.dcm", ExplicitVRLittleEndian),
    ],
)
def test_files_of_other_vendors_are_decoded(name, syntax):
    path = Path(get_testdata_file(name))
    header, found = dcmread(path), read_radiograph(path)
    assert header.file_meta.TransferSyntaxUID == syntax
    reference = pixel_array(header).astype(float)
    if reference.ndim == 3:
        reference = reference @ [0.299, 0.587, 0.114]
    # Nothing but a monotonic, nearly linear change of scale lies between the two.
    inside = (found.pixels > 0) & (found.pixels < 255)
    assert np.corrcoef(found.pixels[inside], reference[inside])[0, 1] > 0.999
    assert found.pixels.std() > 5


def test_the_same_scan_in_eight_files_is_one_picture():
    names = ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless", "_padded")
    pictures = [read_radiograph(Path(get_testdata_file(f"MR_small{name}.dcm"))) for name in names]
    assert len({picture.pixels.tobytes() for picture in pictures}) == 1
    assert pictures[0].notes == ("modality MR", "window 600/1600")


def test_high_throughput_jpeg_2000_is_decoded():
    # A flat picture has no coded blocks, so that only the style in the header tells the two formats apart.
    flat = jpeg_2000(np.full((64, 64), 2048, np.uint16))
    style = flat.index(b"\xff\x52") + 12  # COD, Scod, SGcod, levels and block size
    patched = flat[:style] + bytes([flat[style] | 0x40]) + flat[style + 1 :]
    found = read_radiograph(compressed(RAMP, HTJ2KLossless, patched, **WINDOW))
    assert set(np.unique(found.pixels)) == {128}


def test_baseline_jpeg_in_grey_is_the_jpeg_itself():
    grey = (RAMP // 16).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG", quality=95)
    found = read_radiograph(compressed(grey, JPEGBaseline8Bit, file.getvalue()))
    np.testing.assert_array_equal(found.pixels, read_radiograph(file.getvalue()).pixels)


def test_monochrome1_and_2_of_one_radiograph_are_the_same_picture():
    one = read_radiograph(saved(radiograph(4095 - RAMP, PhotometricInterpretation="MONOCHROME1", **WINDOW)))
    np.testing.assert_array_equal(one.pixels, PLAIN.pixels)
    assert "MONOCHROME1 inverted" in one.notes


def test_signed_pixels_with_rescaling_are_the_same_picture():
    signed = saved(
        radiograph((RAMP.astype(np.int32) - 2048).astype(np.int16), RescaleSlope=1, RescaleIntercept=2048, **WINDOW)
    )
    np.testing.assert_array_equal(read_radiograph(signed).pixels, PLAIN.pixels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_data_set_without_preamble_and_file_meta_is_read(syntax):
    dataset = radiograph(syntax=syntax, **WINDOW)
    file = io.BytesIO()
    Dataset(dataset).save_as(
        file, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=False
    )
    assert file.getvalue()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_radiograph(file.getvalue()).pixels, PLAIN.pixels)


def test_a_file_meta_header_without_preamble_is_read():
    np.testing.assert_array_equal(read_radiograph(saved(radiograph(**WINDOW))[132:]).pixels, PLAIN.pixels)


def test_compressed_pixels_of_unknown_syntax_are_refused():
    dataset = radiograph(**WINDOW)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    file = io.BytesIO()
    Dataset(dataset).save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=False)
    with pytest.raises(UnsupportedImage, match="the file meta header is missing, .* as a DICOM file"):
        read_radiograph(file.getvalue())


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"NumberOfFrames": 2}, "2 frames where one is read. Export the frame as a single image"),
        ({"PixelData": b""}, "has no pixels: a report, .* Send the image object itself"),
        ({"BitsAllocated": 32}, "32 bits per pixel allocated. Export it with 16"),
        ({"PhotometricInterpretation": "HSV"}, "'HSV'; expected MONOCHROME1 or MONOCHROME2. Export it as greyscale"),
        ({"VOILUTFunction": "CUBIC"}, "'CUBIC'; expected LINEAR, LINEAR_EXACT or SIGMOID. Export it with"),
    ],
)
def test_other_objects_are_refused_with_a_remedy(elements, message):
    with pytest.raises(UnsupportedImage, match=message):
        read_radiograph(saved(radiograph(**elements)))


@pytest.mark.parametrize("name", ["reportsi.dcm", "rtplan.dcm", "waveform_ecg.dcm", "ExplVR_LitEndNoMeta.dcm"])
def test_objects_without_pixels_are_refused(name):
    with pytest.raises(UnsupportedImage, match="has no pixels"):
        read_radiograph(Path(get_testdata_file(name)))


def test_video_is_refused_by_name():
    with pytest.raises(UnsupportedImage, match="MPEG2 .* not read here. Convert it to Explicit VR"):
        read_radiograph(compressed(RAMP, MPEG2MPML, b"\0\0\1\xb3"))


@pytest.mark.parametrize("rows_columns", [(60_000, 60_000), (0, 64)])
def test_the_header_is_checked_before_memory_is_given(rows_columns):
    rows, columns = rows_columns
    with pytest.raises(UnreadableImage, match="MAX_PIXELS|no pixels"):
        read_radiograph(saved(radiograph(Rows=rows, Columns=columns)))


def test_so_is_the_codestream_whatever_the_header_says():
    huge = jpeg_2000(RAMP)
    siz = huge.index(b"\xff\x51") + 6
    huge = huge[:siz] + (60_000).to_bytes(4, "big") * 2 + huge[siz + 8 :]
    with pytest.raises(UnreadableImage, match="60000 × 60000 pixels exceed the limit .*MAX_PIXELS"):
        read_radiograph(compressed(RAMP, JPEG2000Lossless, huge))


def test_a_deflated_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 2**20)
    data = saved(radiograph(np.zeros((1024, 1024), np.uint16), syntax=DeflatedExplicitVRLittleEndian))
    assert len(data) < 10_000
    with pytest.raises(UnreadableImage, match="inflates beyond the limit of 1 MiB .* Export a single picture"):
        read_radiograph(data)


def test_damaged_deflate_is_damaged():
    data = saved(radiograph(syntax=DeflatedExplicitVRLittleEndian))
    with pytest.raises(UnreadableImage, match="header is damaged or cut off. Send or export it again"):
        read_radiograph(data[:-2000] + b"\xff" * 2000)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_pixel_data_cut_off_are_damaged(syntax):
    dataset = radiograph(np.random.default_rng(0).integers(0, 4096, (64, 64), np.uint16))
    if syntax.is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
    with pytest.raises((UnreadableImage, UnsupportedImage), match="cut off"):
        read_radiograph(saved(dataset)[:-4000])


def test_nothing_of_the_patient_shows_in_repr_or_errors():
    whole = saved(radiograph(**WINDOW))
    found = read_radiograph(whole)
    assert "4711" not in repr(found)
    assert "DOE" not in repr(found)
    for damaged in (whole[:-100], whole[:500], saved(radiograph(BitsAllocated=32))):
        with pytest.raises((UnreadableImage, UnsupportedImage)) as caught:
            read_radiograph(damaged)
        assert "DOE" not in str(caught.value)
        assert "4711" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_the_notes_say_what_is_no_finished_radiograph():
    found = read_radiograph(saved(radiograph(PresentationIntentType="FOR PROCESSING", Modality="CT", **WINDOW)))
    assert found.notes == ("modality CT", "raw detector image", "window 2048/4096")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (bytes(128) + b"DICM", True),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", True),
        (b"\x08\x00\x00\x00\x04\x00\x00\x00\xd0\x00\x00\x00", True),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100", True),
        (b"\x02\x00\x00\x00UL\x04\x00", True),
        (b"\x08\x00\x05\x00\xff\xff\xff\xff", False),
        (b"\x08\x00", False),
        (b"\x00\x08\x00\x05zz", False),
        (b"", False),
        (b"\xff\xd8\xff\xe0" + bytes(128), False),
    ],
)
def test_dicom_is_known_by_its_first_bytes(head, expected):
    assert dicom.is_dicom(head) is expected
