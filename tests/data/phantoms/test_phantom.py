"""Phantoms: what is said to be true of them is in the pixels, and nothing depends on what it should not."""

import csv
import hashlib
from collections import defaultdict
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

from lungscope.data.images.radiograph import find_images, read_radiograph
from lungscope.data.manifest import read_manifest
from lungscope.data.phantoms.phantom import HOSPITALS, Disease, Phantom, draw_phantom, write_phantoms
from lungscope.errors import ConfigError, OutputError

NAMES = [hospital.name for hospital in HOSPITALS]
SIZE = 192


@cache
def phantom(seed: int, *, abnormal: bool = False, hospital: str = "alder", kind: str = "consolidation") -> Phantom:
    rng = np.random.default_rng(seed)
    return draw_phantom(rng, abnormal=abnormal, size=SIZE, hospital=hospital, disease=Disease(kind), patient=seed)


def added(seed: int, **options: str) -> NDArray[np.float64]:
    """Grey that the opacities add to the healthy twin."""
    ill, healthy = phantom(seed, abnormal=True, **options), phantom(seed, **options)
    return ill.pixels.astype(float) - healthy.pixels


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "new", patients=40, seed=3, size=96)


def test_one_state_of_the_generator_draws_one_picture() -> None:
    first, again = (draw_phantom(np.random.default_rng(5), abnormal=True, size=96) for _ in range(2))
    other = draw_phantom(np.random.default_rng(6), abnormal=True, size=96)
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.lesions == again.lesions
    assert first.pixels.tobytes() != other.pixels.tobytes()


@pytest.mark.parametrize("size", [64, 500])
@pytest.mark.parametrize("hospital", HOSPITALS, ids=NAMES)
def test_the_longer_side_has_the_size_and_the_hospital_its_aspect(size: int, hospital: object) -> None:
    assert hospital in HOSPITALS
    site = HOSPITALS[HOSPITALS.index(hospital)]
    drawn = draw_phantom(np.random.default_rng(0), abnormal=True, size=size, hospital=site.name)
    height, width = drawn.pixels.shape
    assert max(height, width) == size
    assert height / width == pytest.approx(site.aspect, abs=0.02)
    assert drawn.mask.shape == drawn.lungs.shape == drawn.pixels.shape
    assert drawn.pixels.dtype == np.uint8


@pytest.mark.parametrize("hospital", NAMES)
def test_air_is_dark_and_bone_is_bright(hospital: str) -> None:
    drawn = phantom(1, hospital=hospital)
    height, width = drawn.pixels.shape
    lung = ndimage.binary_erosion(drawn.lungs, iterations=4)
    middle = drawn.pixels[int(0.6 * height) : int(0.9 * height), int(0.47 * width) : int(0.53 * width)]
    assert np.percentile(drawn.pixels, 1) < 25
    assert drawn.pixels[lung].mean() + 50 < middle.mean()
    assert middle.mean() > 170


@pytest.mark.parametrize("seed", range(6))
def test_the_heart_points_to_the_pictures_right_and_the_right_lung_is_larger(seed: int) -> None:
    drawn = phantom(seed)
    height, width = drawn.pixels.shape
    low = drawn.pixels[int(0.5 * height) : int(0.62 * height)].astype(float)
    middle = np.argmax(ndimage.gaussian_filter1d(low.mean(axis=0), 3))
    reach = width // 5
    heart_right, heart_left = low[:, middle : middle + reach].mean(), low[:, middle - reach : middle].mean()
    assert heart_right > heart_left + 10
    dark = (drawn.pixels < np.percentile(drawn.pixels[drawn.lungs], 60)) & drawn.lungs
    assert dark[:, : width // 2].sum() > 1.05 * dark[:, width // 2 :].sum()


def test_no_opacity_means_no_lesion_and_no_mask() -> None:
    drawn = phantom(0)
    assert drawn.lesions == ()
    assert not drawn.mask.any()


@pytest.mark.parametrize("kind", ["consolidation", "interstitial"])
@pytest.mark.parametrize("seed", range(8))
def test_opacities_lie_in_the_lungs_and_brighten_them(seed: int, kind: str) -> None:
    drawn, difference = phantom(seed, abnormal=True, kind=kind), added(seed, kind=kind)
    assert drawn.mask.sum() > 100
    assert not (drawn.mask & ~drawn.lungs).any()
    assert difference[drawn.mask].mean() > 4
    assert difference[drawn.mask].mean() > 8 * abs(difference[~drawn.lungs].mean())
    assert {lesion.kind for lesion in drawn.lesions} == {kind}


@pytest.mark.parametrize("hospital", ["alder", "cedar"])
@pytest.mark.parametrize("kind", ["consolidation", "interstitial"])
def test_the_ellipses_say_where_the_grey_was_added(kind: str, hospital: str) -> None:
    for seed in range(8):
        lesions = phantom(seed, abnormal=True, hospital=hospital, kind=kind).lesions
        grey = added(seed, hospital=hospital, kind=kind).clip(min=0)
        grey[grey < 0.1 * grey.max()] = 0
        height, width = grey.shape
        y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
        within = np.zeros(grey.shape, bool)
        for one in lesions:
            within |= np.hypot((x - one.x) / one.radius_x, (y - one.y) / one.radius_y) < 1.3
        assert grey[within].sum() > 0.8 * grey.sum()
        assert within.mean() < 0.45


def test_an_ellipse_is_centred_on_the_grey_that_was_added() -> None:
    halves = {"consolidation": [np.s_[:]], "interstitial": [np.s_[: SIZE // 2], np.s_[SIZE // 2 :]]}
    for kind, columns in halves.items():
        for seed in range(12):
            lesions = phantom(seed, abnormal=True, kind=kind).lesions
            if len(lesions) != len(columns):
                continue
            grey = added(seed, kind=kind).clip(min=0)
            grey[grey < 0.1 * grey.max()] = 0
            for lesion, part in zip(lesions, columns, strict=True):
                y, x = ndimage.center_of_mass(grey[:, part])
                assert (x + (part.start or 0) + 0.5) / SIZE == pytest.approx(lesion.x, abs=0.03)
                assert (y + 0.5) / grey.shape[0] == pytest.approx(lesion.y, abs=0.04)


def test_an_ellipse_is_as_large_as_what_it_stands_for() -> None:
    for seed in range(12):
        drawn = phantom(seed, abnormal=True)
        if len(drawn.lesions) > 1:
            continue
        area = np.pi * drawn.lesions[0].radius_x * drawn.lesions[0].radius_y
        assert 0.4 < drawn.mask.mean() / area < 1.6


def test_interstitial_disease_is_in_both_lungs() -> None:
    for seed in range(5):
        left, right = phantom(seed, abnormal=True, kind="interstitial").lesions
        assert left.x < 0.45 < 0.55 < right.x


def test_visibility_is_contrast() -> None:
    def contrast(visibility: float) -> float:
        ill, healthy = (
            draw_phantom(
                np.random.default_rng(4),
                abnormal=abnormal,
                size=SIZE,
                patient=4,
                disease=Disease(visibility=visibility),
            )
            for abnormal in (True, False)
        )
        return float((ill.pixels.astype(float) - healthy.pixels)[ill.mask].mean())

    faint, usual = contrast(0.3), contrast(1.0)
    assert 0 < 2 * faint < usual


def test_opacities_differ_in_contrast_from_patient_to_patient() -> None:
    rises = [added(seed)[phantom(seed, abnormal=True).mask].mean() for seed in range(16)]
    assert max(rises) > 2 * min(rises)


def test_the_same_patients_have_another_histogram_in_every_hospital() -> None:
    def histogram(hospital: str) -> NDArray[np.float64]:
        grey = np.concatenate([phantom(seed, hospital=hospital).pixels.ravel() for seed in range(8)])
        return np.cumsum(np.histogram(grey, 64, (0, 256))[0]) / grey.size

    histograms = [histogram(name) for name in NAMES]
    for one, two in combinations(histograms, 2):
        assert np.abs(one - two).max() > 0.08  # Kolmogorov's distance


def test_a_marker_stands_in_its_corner_only() -> None:
    drawn = np.stack([phantom(seed, hospital="birch").pixels for seed in range(4)])
    height, width = drawn.shape[1:]
    assert (drawn[:, : height // 5, width * 4 // 5 :].max(axis=(1, 2)) > 240).all()
    assert (drawn[:, : height // 5, : width // 5].max(axis=(1, 2)) < 240).all()


def test_children_are_broader_for_their_height() -> None:
    def shape(age_group: str) -> float:
        ratios = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            lungs = draw_phantom(rng, abnormal=False, size=SIZE, hospital="alder", age_group=age_group).lungs
            ratios.append(lungs.any(axis=1).sum() / lungs.any(axis=0).sum())
        return float(np.mean(ratios))

    assert shape("child") < 0.9 * shape("adult")


def test_images_of_a_patient_share_anatomy_and_disease_but_not_pose_and_noise() -> None:
    def image(seed: int, patient: int) -> Phantom:
        rng = np.random.default_rng(seed)
        return draw_phantom(rng, abnormal=True, size=SIZE, hospital="alder", age_group="adult", patient=patient)

    def apart(one: Phantom, two: Phantom) -> float:
        centres = [np.array([(lesion.x, lesion.y) for lesion in each.lesions]) for each in (one, two)]
        return float(np.abs(centres[0][0] - centres[1][0]).sum())

    same = [apart(image(1, patient), image(2, patient)) for patient in range(8)]
    other = [apart(image(1, patient), image(1, patient + 1)) for patient in range(8)]
    assert max(same) < 0.12 < np.median(other)
    assert (image(1, 0).pixels != image(2, 0).pixels).mean() > 0.5


def test_the_same_arguments_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = write_phantoms(tmp_path / "again", patients=40, seed=3, size=96)
    other = write_phantoms(tmp_path / "other", patients=2, seed=4, size=96)
    assert digests(again) == digests(folder)
    assert not set(digests(other).values()) & set(digests(folder).values())


def test_more_patients_leave_the_first_ones_as_they_are(folder: Path, tmp_path: Path) -> None:
    few = write_phantoms(tmp_path / "few", patients=7, seed=3, size=96)
    images = {name: digest for name, digest in digests(few).items() if name.endswith(".jpeg")}
    assert len(images) >= 7
    assert images.items() <= digests(folder).items()


def test_the_folder_is_a_data_set_whose_tables_do_not_confuse_it(folder: Path) -> None:
    manifest, table = read_manifest(folder), rows(folder / "phantoms.csv")
    assert manifest.classes == ("NORMAL", "PNEUMONIA")
    assert sorted(manifest.paths) == sorted(folder / row["path"] for row in table)
    assert manifest.notes == ()
    for path, label in zip(manifest.paths, manifest.labels, strict=True):
        assert path.parent.name == manifest.classes[label]


def test_file_names_and_table_agree_on_the_patients(folder: Path) -> None:
    by_name, by_table = read_manifest(folder), read_manifest(folder / "phantoms.csv")
    assert sorted(by_name.paths) == sorted(by_table.paths)
    named = dict(zip(by_name.paths, by_name.patients, strict=True))
    pairs = {(named[path], patient) for path, patient in zip(by_table.paths, by_table.patients, strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}) == 40
    assert set(by_table.extra) == {"hospital", "age_group"}
    assert set(by_table.extra["hospital"]) == set(NAMES)


def test_patients_have_one_to_four_images_of_one_hospital_and_age(folder: Path) -> None:
    of_patient = defaultdict(list)
    for row in rows(folder / "phantoms.csv"):
        of_patient[row["patient"]].append((row["label"], row["hospital"], row["age_group"]))
    assert {len(images) for images in of_patient.values()} == {1, 2, 3, 4}
    assert all(len(set(images)) == 1 for images in of_patient.values())
    assert sum(images[0][0] == "PNEUMONIA" for images in of_patient.values()) == 20


def test_lesions_are_listed_for_the_ill_and_names_carry_the_agent(folder: Path) -> None:
    agents = {"consolidation": "bacteria", "interstitial": "virus"}
    listed = rows(folder / "lesions.csv")
    ill = {row["path"] for row in rows(folder / "phantoms.csv") if row["label"] == "PNEUMONIA"}
    assert {row["path"] for row in listed} == ill
    assert {row["kind"] for row in listed} == set(agents)
    for row in listed:
        assert agents[row["kind"]] in row["path"]
        assert all(0 < float(row[name]) < 1 for name in ("x", "y", "radius_x", "radius_y"))


def test_files_are_what_any_reader_of_radiographs_reads(folder: Path) -> None:
    paths = find_images(folder)
    assert len(paths) == len(rows(folder / "phantoms.csv"))
    radiograph = read_radiograph(paths[0])
    assert (radiograph.format, max(radiograph.width, radiograph.height)) == ("JPEG", 96)


@pytest.mark.parametrize(("prevalence", "ill"), [(0.0, 0), (0.25, 2), (1.0, 8)])
def test_prevalence_is_met_exactly(tmp_path: Path, prevalence: float, ill: int) -> None:
    table = rows(write_phantoms(tmp_path, patients=8, seed=0, size=64, prevalence=prevalence) / "phantoms.csv")
    assert len({row["patient"] for row in table if row["label"] == "PNEUMONIA"}) == ill


@pytest.mark.parametrize(("confounding", "lowest", "highest"), [(0.0, 0.05, 1.0), (1.0, 0.0, 1e-6)])
def test_the_hospital_tells_the_label_only_when_asked(
    tmp_path: Path, confounding: float, lowest: float, highest: float
) -> None:
    folder = write_phantoms(tmp_path, patients=40, seed=1, size=64, confounding=confounding)
    facts = {row["patient"]: (row["hospital"], row["label"]) for row in rows(folder / "phantoms.csv")}
    hospitals, labels = (np.array(column) for column in zip(*facts.values(), strict=True))
    counts = stats.contingency.crosstab(hospitals, labels).count
    assert lowest <= stats.chi2_contingency(counts).pvalue <= highest
    assert bool((counts == 0).any()) is (confounding == 1)


def test_grey_values_are_spread_as_in_real_radiographs(shared: Path) -> None:
    real = sorted((shared / "data" / "kermany_fullsize" / "NORMAL").iterdir())[:20]
    percents = (25, 50, 75, 95)
    of_real = [np.percentile(Image.open(path).convert("L").resize((96, 96)), percents) for path in real]
    drawn = [np.percentile(phantom(seed).pixels, percents) for seed in range(12)]
    assert np.abs(np.mean(of_real, axis=0) - np.mean(drawn, axis=0)).max() < 40


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"not empty. Name a new or an empty one"):
        write_phantoms(tmp_path, patients=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OutputError, match="Choose a place"):
        write_phantoms(tmp_path / "taken", patients=1, seed=0)


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"patients": 0}, "Choose patients from 1"),
        ({"seed": -1}, "Choose seed from 0"),
        ({"size": 8}, "Choose size from 64 to 2048"),
        ({"prevalence": 1.2}, "Choose prevalence from 0 to 1"),
        ({"confounding": -0.1}, "Choose confounding from 0 to 1"),
        ({"visibility": float("nan")}, "Choose visibility from 0.05 to 3"),
    ],
)
def test_a_data_set_out_of_range_is_refused_before_anything_is_made(
    tmp_path: Path, wrong: dict[str, float], remedy: str
) -> None:
    with pytest.raises(ConfigError, match=remedy):
        write_phantoms(tmp_path / "new", **{"patients": 1, "seed": 0} | wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"hospital": "oak"}, "alder, birch, cedar, maple, rowan"),
        ({"age_group": "elder"}, "adult, child"),
        ({"size": 4096}, "from 64 to 2048"),
        ({"patient": -1}, "Choose patient from 0"),
    ],
)
def test_an_unknown_or_impossible_phantom_is_refused(wrong: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        draw_phantom(np.random.default_rng(0), abnormal=True, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "remedy"), [({"kind": "nodule"}, "consolidation, interstitial"), ({"visibility": 0}, "from 0.05 to 3")]
)
def test_an_unknown_or_invisible_disease_is_refused(wrong: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        Disease(**wrong)  # type: ignore[arg-type]
