"""The table of a data set: class order, patients, selection, and the way to CSV and back."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.data.manifest import Manifest, read_manifest, write_csv
from lungscope.errors import ConfigError, ManifestError, OutputError


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 90).save(root / name)
    return root


def table(root: Path, text: str) -> Path:
    folders(root, "a.png", "b.png", "c.png")
    (root / "table.csv").write_text(text, encoding="utf-8")
    return root / "table.csv"


@pytest.mark.parametrize(
    ("found", "ordered"),
    [
        (("PNEUMONIA", "NORMAL"), ("NORMAL", "PNEUMONIA")),
        (("COVID", "Lung Opacity", "Normal"), ("Normal", "COVID", "Lung Opacity")),
        (("a", "covid_negative"), ("covid_negative", "a")),
        (("Effusion", "No Finding"), ("No Finding", "Effusion")),
        (("Edema", "no_findings"), ("no_findings", "Edema")),
        (("bacterial", "healthy"), ("healthy", "bacterial")),
        (("1", "0"), ("0", "1")),
        (("healthy", "abnormal"), ("healthy", "abnormal")),
        (("benign", "abnormal"), ("abnormal", "benign")),
        (("a", "not normal"), ("a", "not normal")),
    ],
)
def test_the_reference_class_comes_first_and_the_rest_is_sorted(
    tmp_path: Path, found: tuple[str, ...], ordered: tuple[str, ...]
) -> None:
    manifest = read_manifest(folders(tmp_path, *(f"{name}/1.png" for name in found)))
    assert manifest.classes == ordered
    names = [manifest.classes[label] for label in manifest.labels]
    assert names == [path.parent.name for path in manifest.paths]


def test_classes_given_by_a_model_keep_their_order_and_ignore_case(tmp_path: Path) -> None:
    source = folders(tmp_path, "Normal/1.png", "sick/2.png")
    manifest = read_manifest(source, classes=("SICK", "NORMAL", "OTHER"))
    assert manifest.classes == ("SICK", "NORMAL", "OTHER")
    assert manifest.labels.tolist() == [1, 0]


def test_a_class_that_the_model_does_not_know_is_an_error(tmp_path: Path) -> None:
    source = folders(tmp_path, "normal/1.png", "covid/2.png", "covid/3.png")
    with pytest.raises(ManifestError, match=r"2 images are labelled 'covid', which is none of NORMAL, SICK\. Rename"):
        read_manifest(source, classes=("NORMAL", "SICK"))


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"only one class, 'normal'\. .*add images of another class"):
        read_manifest(folders(tmp_path, "normal/1.png", "normal/2.png"))


def test_one_class_will_do_where_a_model_gives_the_classes(tmp_path: Path) -> None:
    assert read_manifest(folders(tmp_path, "b/1.png"), classes=("a", "b")).labels.tolist() == [1]


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no such folder or file\. Check the path"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person303_bacteria_1431.jpeg", "person303"),
        ("person303_virus_6.jpeg", "person303"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0115-0001-0002.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
        ("00001385_003.png", "00001385"),
        ("scan.png", "file:a/scan.png"),
    ],
)
def test_known_file_names_tell_the_patient_and_others_stand_alone(tmp_path: Path, name: str, patient: str) -> None:
    assert read_manifest(folders(tmp_path, f"a/{name}", "b/x.png")).patients[0] == patient


def test_the_groups_of_a_pattern_together_are_the_patient(tmp_path: Path) -> None:
    source = folders(tmp_path, "a/site1_p7_1.png", "a/site1_p7_2.png", "b/site2_p7_1.png")
    manifest = read_manifest(source, patient_pattern=r"^(site\d)_(p\d+)")
    assert manifest.patients == ("site1-p7", "site1-p7", "site2-p7")
    assert len(set(read_manifest(source, patient_pattern=r"p\d+").patients)) == 1


def test_a_pattern_that_misses_files_is_an_error(tmp_path: Path) -> None:
    source = folders(tmp_path, "a/p1.png", "b/q1.png")
    with pytest.raises(ManifestError, match=r"does not match 1 of 2 file names, such as 'b/q1\.png'\. Widen it"):
        read_manifest(source, patient_pattern=r"p\d")


def test_a_pattern_that_is_no_regular_expression_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"patient_pattern '\(' is not a regular expression: .* Change it"):
        read_manifest(folders(tmp_path, "a/1.png", "b/2.png"), patient_pattern="(")


def test_the_patient_column_wins_over_file_names_and_may_have_gaps(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label,patient\na.png,x,9\nb.png,y,\n")
    assert read_manifest(source).patients == ("9", "file:b.png")


def test_patients_never_show_in_the_repr(tmp_path: Path) -> None:
    manifest = read_manifest(table(tmp_path, "path,label,patient\na.png,x,DOE\nb.png,y,DOE\n"))
    assert repr(manifest) == "Manifest(2 images, classes=('x', 'y'), splits={'': 2})"


@pytest.mark.parametrize("place", [".", "run", "../elsewhere"])
def test_a_written_table_is_read_back_equal(tmp_path: Path, place: str) -> None:
    source = folders(tmp_path / "data", 'train/a/"quoted", name.png', "train/b/ä 1.png", "val/b/2.png")
    manifest = read_manifest(source)
    path = source / place / "manifest.csv"
    write_csv(manifest, path)
    assert read_manifest(path) == manifest


def test_further_columns_survive_the_way_to_csv_and_back(tmp_path: Path) -> None:
    source = table(tmp_path, 'path;label;split;Age;view\na.png;x;train;03;"P;A"\nb.png;y;val;;AP\n')
    manifest = read_manifest(source)
    assert manifest.extra == {"Age": ("03", ""), "view": ("P;A", "AP")}
    write_csv(manifest, tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv") == manifest


def test_a_table_moves_together_with_its_images(tmp_path: Path) -> None:
    source = folders(tmp_path / "one", "a/1.png", "b/2.png")
    write_csv(read_manifest(source), source / "manifest.csv")
    source.rename(tmp_path / "two")
    moved = read_manifest(tmp_path / "two" / "manifest.csv")
    assert moved.paths[0] == tmp_path / "two" / "a" / "1.png"
    assert moved.patients == ("file:a/1.png", "file:b/2.png")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    manifest = read_manifest(folders(tmp_path, "a/1.png", "b/2.png"))
    with pytest.raises(OutputError, match="cannot be written"):
        write_csv(manifest, tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_right_to_read_is_not_taken_for_an_empty_folder(tmp_path: Path) -> None:
    folders(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(ManifestError, match=r"cannot be read .*Check the rights"):
            read_manifest(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)


def manifest_of(splits: tuple[str, ...]) -> Manifest:
    n = len(splits)
    paths = tuple(Path(f"/data/{i}.png") for i in range(n))
    labels = np.arange(n) % 2
    return Manifest(
        paths, labels, tuple("pqr"[i % 3] for i in range(n)), splits, ("a", "b"), {"age": tuple("012345"[:n])}
    )


def test_rows_are_selected_by_mask_index_and_split() -> None:
    manifest = manifest_of(("train", "test", "train", "validation"))
    assert len(manifest) == 4
    assert manifest.select(np.array([False, True, False, True])) == manifest.select(np.array([1, 3]))
    assert manifest.select(np.array([3, 0])).extra == {"age": ("3", "0")}
    assert [path.stem for path in manifest.split("train").paths] == ["0", "2"]
    assert manifest.split("train").labels.tolist() == [0, 0]
    assert len(manifest.split("nothing")) == 0


def test_the_fingerprint_ignores_order_and_place_but_nothing_else(tmp_path: Path) -> None:
    one = read_manifest(folders(tmp_path / "one", "a/1.png", "b/2.png"))
    other = read_manifest(folders(tmp_path / "deep" / "other", "a/1.png", "b/2.png"))
    assert one.fingerprint() == other.fingerprint() == other.select(np.array([1, 0])).fingerprint()
    assert one != other
    prints = {manifest_of(splits).fingerprint() for splits in [("train", "test"), ("test", "train"), ("train",)]}
    assert len(prints) == 3


def test_the_kermany_training_folder_has_2846_patients(shared: Path) -> None:
    manifest = read_manifest(shared / "data" / "kermany224" / "train")
    assert np.bincount(manifest.labels).tolist() == [1341, 3875]
    assert manifest.classes == ("NORMAL", "PNEUMONIA")
    assert len(set(manifest.patients)) == 2846
    assert max(manifest.patients.count(patient) for patient in set(manifest.patients)) == 30


KAGGLE = ("NORMAL/IM-0001-0001.png", "PNEUMONIA/person1_bacteria_1.png", "PNEUMONIA/person2_virus_3.png")
SUBTYPE = "_(bacteria|virus)_"


def test_finer_classes_come_out_of_the_names(tmp_path: Path) -> None:
    source = folders(tmp_path, *KAGGLE)
    manifest = read_manifest(source, label_pattern=SUBTYPE)
    assert manifest.classes == ("NORMAL", "bacteria", "virus")
    assert manifest.labels.tolist() == [0, 1, 2]
    assert manifest.patients == read_manifest(source).patients
    write_csv(manifest, tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv") == manifest
    assert read_manifest(tmp_path / "again.csv", label_pattern=SUBTYPE) == manifest


def test_names_without_a_label_keep_the_folders_where_a_model_asks(tmp_path: Path) -> None:
    source = folders(tmp_path, "NORMAL/1.png", "virus/2.png")
    manifest = read_manifest(source, label_pattern=SUBTYPE, classes=("NORMAL", "bacteria", "virus"))
    assert manifest.labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("(", ConfigError, "label_pattern '\\(' is not a regular expression"),
        ("_virus_", ConfigError, "has no group. Put the label into brackets"),
        ("_(fungus)_", ManifestError, "matches no file name, such as 'IM-0001-0001.png'. Change it"),
    ],
)
def test_a_label_pattern_that_tells_nothing_is_refused(tmp_path: Path, pattern, error, message) -> None:
    with pytest.raises(error, match=message):
        read_manifest(folders(tmp_path, *KAGGLE), label_pattern=pattern)
