"""Decoding on several threads: in order, in full, and past every bad file."""

import hashlib
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.data.decode import BLOCK, decode, file_digests
from lungscope.data.images.radiograph import read_radiograph


def pictures(folder: Path, n: int) -> list[Path]:
    paths = [folder / f"{i:03}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 50), dtype=np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("workers", [1, 3])
def test_blocks_come_in_order_and_hold_what_the_reader_gives(tmp_path: Path, workers: int) -> None:
    paths = pictures(tmp_path, 8 * BLOCK + 3)  # more than the threads may have in hand
    blocks = list(decode(paths, 32, workers))
    pixels = np.concatenate([block for block, _ in blocks])
    records = list(chain.from_iterable(records for _, records in blocks))
    assert pixels.shape == (len(paths), 32, 32)
    for row, (path, record) in enumerate(zip(paths, records, strict=True)):
        radiograph = read_radiograph(path, size=32)
        np.testing.assert_array_equal(pixels[row], radiograph.pixels)
        assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert record.pixel_sha256 == hashlib.sha256(radiograph.pixels.tobytes()).hexdigest()
        assert (record.width, record.height, record.format, record.error) == (50, 40, "PNG", "")


def test_bad_files_are_records_with_the_reason_and_stop_nothing(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 3)
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    everything = [*paths, tmp_path / "empty.png", tmp_path / "gone.png", tmp_path]
    ((pixels, records),) = decode(everything, 32, 2)
    assert [bool(record.error) for record in records] == [False, True, False, True, True, True]
    assert not pixels[[1, 3, 4, 5]].any()
    assert records[1].sha256 == hashlib.sha256(paths[1].read_bytes()).hexdigest()
    assert (records[1].file_bytes, records[1].pixel_sha256) == (60, "")
    assert records[4].sha256 == records[5].sha256 == ""
    assert not any(str(tmp_path) in record.error for record in records)


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 20)
    digests = list(chain.from_iterable(file_digests([*paths, tmp_path / "gone"], 2)))
    assert digests == [*(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths), ""]


class Watched(list[Path]):
    """Files that know how far they have been asked for."""

    asked = 0

    def __getitem__(self, key: slice) -> list[Path]:  # type: ignore[override]
        self.asked = max(self.asked, key.stop)
        return super().__getitem__(key)


def test_decoding_runs_only_a_few_blocks_ahead(tmp_path: Path) -> None:
    paths = Watched(pictures(tmp_path, 1) * (100 * BLOCK))
    blocks = decode(paths, 32, 2)
    next(blocks)
    assert paths.asked <= 6 * BLOCK
    blocks.close()


def test_the_reader_may_stop_early(tmp_path: Path) -> None:
    blocks = decode(pictures(tmp_path, 3 * BLOCK), 32, 2)
    assert next(blocks)[0].shape == (BLOCK, 32, 32)
    blocks.close()


def test_the_dicom_patient_is_kept_as_a_digest_only(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dicom = Dataset()
    dicom.file_meta = FileMetaDataset()
    dicom.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dicom.SOPClassUID = dicom.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dicom.SOPInstanceUID = dicom.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dicom.PatientID, dicom.Modality = "DOE-7", "DX"
    dicom.Rows = dicom.Columns = 32
    dicom.SamplesPerPixel, dicom.PhotometricInterpretation, dicom.PixelRepresentation = 1, "MONOCHROME2", 0
    dicom.BitsAllocated, dicom.BitsStored, dicom.HighBit = 16, 12, 11
    dicom.PixelData = np.arange(32 * 32, dtype=np.uint16).tobytes()
    dicom.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    ((_, (record,)),) = decode([tmp_path / "a.dcm"], 32, 1)
    assert (record.error, record.format) == ("", "DICOM")
    assert record.patient == hashlib.sha256(b"DOE-7").hexdigest()
    assert record.patient not in repr(record)
