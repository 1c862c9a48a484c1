"""DICOM objects with one frame → an 8-bit grey picture."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from PIL import Image

from lungscope.data.images.dicom_display import display
from lungscope.data.images.grey import GreyPicture, check_pixels, mute_libraries
from lungscope.errors import LungscopeError, UnreadableImage, UnsupportedImage

if TYPE_CHECKING:  # pydicom takes a third of a second to import; only DICOM files need it
    from pydicom import FileDataset

MAX_INFLATED_BYTES = 512 * 2**20
DEFLATED, EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1".ljust(22, b"\0")
COLOURS = ("Red", "Green", "Blue")
# Nothing else is kept in memory, least of all names and dates.
READ = [
    "PatientID", "Modality", "ViewPosition", "PresentationIntentType", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "ModalityLUTSequence", "RescaleIntercept", "RescaleSlope",
    "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape",
    *(f"{colour}PaletteColorLookupTable{part}" for colour in COLOURS for part in ("Descriptor", "Data")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS),
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData",
]  # fmt: skip
VALUE_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
PROJECTIONS = frozenset({"CR", "DX", "RG", "RF", "XA", "PX", "IO", "OT", "SC"})
LATERAL = frozenset({"LL", "RL"})
"""View Positions from the side; lying on the side, LLD and RLD, is frontal."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` (132 bytes or more) is DICOM, with or without a preamble."""
    if head[128:132] == b"DICM":
        return True
    if head[:2] == b"\0\x08":
        return head[4:6] in VALUE_REPRESENTATIONS  # big endian is always explicit
    if head[:2] not in (b"\x02\0", b"\x08\0") or len(head) < 8:
        return False
    # Data sets begin with a short element of group 2 or 8.
    return head[4:6] in VALUE_REPRESENTATIONS or struct.unpack_from("<I", head, 4)[0] <= 128


def read_dicom(data: bytes, name: str) -> GreyPicture:
    """Decode the only frame and show it as `dicom_display.display` does.

    Args:
        data: the whole file.
        name: of the file, for messages, which never quote what identifies a patient.

    Raises:
        UnreadableImage: damaged, cut off, or larger than the limits.
        UnsupportedImage: no picture, several frames, or a kind of pixel that cannot be shown as grey.
    """
    mute_libraries()
    try:
        header = _parse(data, name)
        _check(header, name)
        grey, notes = display(header, _decode(header, name))
        return GreyPicture(
            image=Image.fromarray(grey),
            width=header.Columns,
            height=header.Rows,
            bits=header.BitsStored,
            notes=_notes(header) + notes,
            patient=str(header.get("PatientID") or "").strip(),
            foreign=_foreign(header),
        )
    except LungscopeError:
        raise
    except Exception:  # pydicom raises anything on damaged input, in words that may quote the header
        raise UnreadableImage(f"{name}: the DICOM header is damaged or cut off. Send or export it again.") from None


def _parse(data: bytes, name: str) -> FileDataset:
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    header = dcmread(BytesIO(_inflated(data, name)), force=True, specific_tags=READ)
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        if "PixelData" in header and header["PixelData"].is_undefined_length:
            raise UnsupportedImage(
                f"{name}: the file meta header is missing, so how its pixels are compressed is unknown. "
                "Export it as a DICOM file (Part 10)."
            )
    return header


def _inflated(data: bytes, name: str) -> bytes:
    # pydicom inflates without a limit, and a file of one megabyte can hold a thousand.
    from pydicom.filereader import read_dataset

    file = BytesIO(data)
    file.seek(132 if data[128:132] == b"DICM" else 0)
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DEFLATED.decode():
        return data
    start = file.tell()
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(data[start:], MAX_INFLATED_BYTES + 1)
    if len(inflated) > MAX_INFLATED_BYTES:
        raise UnreadableImage(
            f"{name}: inflates beyond the limit of {MAX_INFLATED_BYTES // 2**20} MiB (MAX_INFLATED_BYTES). "
            "Export a single picture."
        )
    if not inflater.eof:
        raise zlib.error("cut off")
    return data[:start].replace(DEFLATED, EXPLICIT) + inflated


def _check(header: FileDataset, name: str) -> None:
    if not header.get("PixelData"):
        raise UnsupportedImage(
            f"{name}: this DICOM object has no pixels: a report, a presentation state, or cut off. "
            "Send the image object itself."
        )
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise UnsupportedImage(f"{name}: {frames} frames where one is read. Export the frame as a single image.")
    check_pixels(header.Columns, header.Rows, name)
    if header.BitsAllocated not in (1, 8, 16):
        raise UnsupportedImage(f"{name}: {header.BitsAllocated} bits per pixel allocated. Export it with 16.")
    function = header.get("VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnsupportedImage(
            f"{name}: VOILUTFunction is {function!r}; expected LINEAR, LINEAR_EXACT or SIGMOID. "
            "Export it with a window."
        )
    found = str(header.PhotometricInterpretation)
    if not found.startswith(("MONOCHROME", "RGB", "YBR_", "PALETTE COLOR")):
        raise UnsupportedImage(
            f"{name}: PhotometricInterpretation is {found!r}; expected MONOCHROME1 or MONOCHROME2. "
            "Export it as greyscale."
        )


def _decode(header: FileDataset, name: str) -> NDArray[Any]:
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGBaseline8Bit

    syntax = header.file_meta.TransferSyntaxUID
    encoding = syntax.name if syntax.name != syntax else "an unknown transfer syntax"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnsupportedImage(
            f"{name}: pixels in {encoding} are not read here. Convert it to Explicit VR Little Endian."
        ) from None
    # Pillow decodes the commonest JPEG four times as fast as pydicom's first choice.
    plugin = "pillow" if syntax == JPEGBaseline8Bit and header.SamplesPerPixel == 1 else ""
    try:
        if syntax.is_encapsulated:
            check_pixels(*_codestream_size(get_frame(header.PixelData, 0, number_of_frames=1)), name)
        pixels, _ = decoder.as_array(header, index=0, decoding_plugin=plugin)
    except LungscopeError:
        raise
    except BaseException as error:
        # A panic of the RLE decoder, which is written in Rust, is no Exception; an interrupt must pass.
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise
        raise UnreadableImage(
            f"{name}: the pixel data ({encoding}) are damaged or cut off. Send or export it again."
        ) from None
    if pixels.itemsize > 2:  # by the codestream, whatever the header says
        raise UnsupportedImage(f"{name}: more than 16 bits per pixel. Export it with 16.")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _codestream_size(frame: bytes) -> tuple[int, int]:
    """Width and height by the compressed frame itself, which the codecs trust more than Rows and Columns."""
    if (siz := frame.find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000
        width, height, left, top = struct.unpack_from(">4I", frame, siz + 8)
        return width - left, height - top
    at = 2
    while frame.startswith(b"\xff\xd8") and at + 9 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker == 0xFFF7 or (0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)):
            height, width = struct.unpack_from(">HH", frame, at + 5)
            return width, height
        at += 2 + length
    return 1, 1


def _notes(header: FileDataset) -> tuple[str, ...]:
    notes = []
    modality = str(header.get("Modality") or "OT")
    if modality not in PROJECTIONS:
        notes.append(f"modality {modality}" if modality.isalnum() else "modality not stated")
    if header.get("PresentationIntentType") == "FOR PROCESSING":
        notes.append("raw detector image")
    return tuple(notes)


def _foreign(header: FileDataset) -> str:
    modality, view = (str(header.get(name) or "") for name in ("Modality", "ViewPosition"))
    if modality and modality not in PROJECTIONS and modality.isalnum():
        return f"not a radiograph: its DICOM modality is {modality}"
    return f"not a frontal view: its DICOM view position is {view}" if view in LATERAL else ""
