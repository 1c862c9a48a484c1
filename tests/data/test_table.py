"""Folders and CSV as users have them, and what each mistake in them is told."""

from pathlib import Path

import pytest
from PIL import Image

from lungscope.data.table import read_csv, read_folder
from lungscope.errors import ManifestError


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 90).save(path)


def table(folder: Path, text: str | bytes, images: tuple[str, ...] = ("a.png", "b.png")) -> Path:
    draw(*(folder / name for name in images))
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_class_folders_give_labels_and_names_relative_to_the_source(tmp_path: Path) -> None:
    draw(tmp_path / "sick" / "b.png", tmp_path / "normal" / "a.jpg", tmp_path / "normal" / "deep" / "c.png")
    rows = read_folder(tmp_path).rows
    assert [(row.name, row.label, row.split) for row in rows] == [
        ("normal/a.jpg", "normal", ""),
        ("normal/deep/c.png", "normal", ""),
        ("sick/b.png", "sick", ""),
    ]
    assert rows[0].path == tmp_path / "normal" / "a.jpg"


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("VAL", "validation"), ("valid", "validation"),
     ("validation", "validation"), ("Test", "test"), ("testing", "test")],
)  # fmt: skip
def test_split_folders_are_known_in_every_usual_spelling(tmp_path: Path, name: str, split: str) -> None:
    draw(tmp_path / name / "A" / "1.png")
    assert [(row.label, row.split) for row in read_folder(tmp_path).rows] == [("A", split)]


def test_an_archive_with_one_folder_around_its_split_folders_is_entered(tmp_path: Path) -> None:
    draw(tmp_path / "chest_xray" / "train" / "A" / "1.png", tmp_path / "chest_xray" / "test" / "A" / "2.png")
    (tmp_path / "__MACOSX").mkdir()
    assert [row.split for row in read_folder(tmp_path).rows] == ["test", "train"]


def test_folders_and_images_that_are_passed_over_are_noted(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "A" / "1.png", tmp_path / "copy" / "A" / "1.png", tmp_path / "train" / "loose.png")
    read = read_folder(tmp_path)
    assert len(read.rows) == 1
    assert read.notes == (
        "Folders beside train, validation and test are not read: copy.",
        "1 images directly in train belong to no class folder and are left out.",
    )


def test_a_class_may_be_absent_from_one_split(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "A" / "1.png", tmp_path / "train" / "B" / "2.png", tmp_path / "test" / "A" / "3.png")
    (tmp_path / "test" / "B").mkdir()
    assert len(read_folder(tmp_path).rows) == 3


@pytest.mark.parametrize("place", [".", "train"])
def test_images_without_class_folders_are_told_how_to_be_arranged(tmp_path: Path, place: str) -> None:
    draw(tmp_path / place / "1.png")
    with pytest.raises(ManifestError, match="one folder per class"):
        read_folder(tmp_path)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no image in it or below\. Check the path"):
        read_folder(tmp_path)


def test_a_class_folder_without_images_is_an_error(tmp_path: Path) -> None:
    draw(tmp_path / "A" / "1.png")
    (tmp_path / "B").mkdir()
    with pytest.raises(ManifestError, match=r"B: the class folder has no image\. Fill it"):
        read_folder(tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_usual_separator_and_a_byte_order_mark_are_read(tmp_path: Path, separator: str, mark: str) -> None:
    lines = [("Path", " Label", "split"), ("a.png", "x", "VAL"), ("b.png", " y ", "")]
    path = table(tmp_path, mark + "\r\n".join(separator.join(line) for line in lines) + "\r\n\r\n")
    rows = read_csv(path).rows
    assert [(row.path, row.label, row.split) for row in rows] == [
        (tmp_path / "a.png", "x", "validation"),
        (tmp_path / "b.png", "y", ""),
    ]


def test_quoted_cells_keep_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = table(tmp_path, 'path,label,remark\n"a.png","x, ""y""","two\nlines"\n')
    read = read_csv(path)
    assert (read.rows[0].label, read.extra, read.rows[0].extra) == ('x, "y"', ("remark",), ("two\nlines",))


@pytest.mark.parametrize("name", ["patient", "Patient_ID", "PatientID", "subject_id"])
def test_usual_names_of_a_patient_column_are_understood(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, f"path,label,{name}\na.png,x,7\n")
    assert read_csv(path).rows[0].patient == "7"
    assert "7" not in repr(read_csv(path).rows[0]).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no column 'path' or 'label'; it has .*Call the columns path,label"),
        ("file,label\na.png,x\n", r"no column 'path'; it has 'file', 'label'\. Call the columns"),
        ("path,label,patient,subject\n", r"two columns mean 'patient'\. Keep one"),
        ("path,label\n", r"no rows\. Add one row per image"),
        ("path,label\na.png,x,y\n", r"line 2: 3 cells where the header has 2\. Quote"),
        ("path,label\na.png\n", r"line 2: 1 cells where the header has 2\."),
        ("path,label\n,x\n", r"line 2: the path is empty\. Fill it in"),
        ("path,label\na.png, \n", r"line 2: the label is empty\. Fill it in"),
        ("path,label\na.png,x\nb.png,NaN\n", r"line 3: the label is empty"),
        ("path,label,split\na.png,x,dev\n", r"line 2: 'dev' is not a split\. Write train, validation or test"),
        ("path,label\na.png,x\n./a.png,y\n", r"lines 2 and 3 name the same file, '\./a\.png'\. Keep one line"),
        ('path,label\n"a.png,x\n', r"line 2: unexpected end of data\. Check the quotes"),
        (b"path,label\n\xe4.png,x\n", r"not a table in UTF-8\. Save it as 'CSV UTF-8'"),
        ("path,label\na.png,x\n".encode("utf-16"), r"not a table in UTF-8"),
    ],
)  # fmt: skip
def test_a_faulty_csv_is_told_where_and_what_to_do(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_csv(table(tmp_path, text))


def test_missing_files_are_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    rows = "".join(f"gone{i}.png,x\n" for i in range(5))
    with pytest.raises(ManifestError, match=r"5 of 6 files .*gone0.*gone2\.png', …\)\. Paths are taken") as error:
        read_csv(table(tmp_path, f"path,label\na.png,x\n{rows}"))
    assert "gone3" not in str(error.value)
    assert "\n" not in str(error.value)
